"""Molecule -> cross-validation fold, the same at every partner that holds the consortium's key.

The fold is a keyed hash of the Bemis-Murcko scaffold, so a chemical series never lies on both sides of a split, neither within a
partner nor between partners who never met. Acyclic molecules have no scaffold; hashed alike they would all share one fold, so
each is hashed by its own SMILES.
"""

import hashlib
import hmac
from pathlib import Path

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from fedapp.errors import DataError

PUBLIC_KEY = b"polyphony public fold key, for simulations only"
MIN_KEY_BYTES = 16


def read_key(path: str | None) -> bytes:
    """The consortium's fold key.

    Args:
        path: File that holds it; whitespace around it (an editor's final newline) does not count. None gives the public
            simulation key.
    Raises:
        DataError: The file cannot be read or its key is shorter than 16 bytes.
    """
    if path is None:
        return PUBLIC_KEY
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        raise DataError(
            f"cannot read the fold key {path}: {error.strerror}",
            "chemistry.fold_key_file names the file with the consortium's key; null uses the public simulation key",
        ) from error
    if len(key) < MIN_KEY_BYTES:
        raise DataError(
            f"the fold key in {path} has {len(key)} bytes, fewer than {MIN_KEY_BYTES}",
            "all partners use one long random key, for example 32 random bytes in hexadecimal",
        )
    return key


def scaffold(mol: Chem.Mol) -> str:
    """Canonical SMILES of the Bemis-Murcko scaffold; empty for an acyclic molecule."""
    if mol.GetRingInfo().NumRings() == 0:
        return ""
    return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(mol))


def fold_of(smiles: str, mol: Chem.Mol, folds: int, key: bytes) -> int:
    """Fold of a standardised molecule.

    Args:
        smiles: Its standardised SMILES.
        mol: The molecule parsed from `smiles`.
        folds: Number of folds.
        key: From `read_key`.
    Returns:
        0 .. folds - 1. HMAC-SHA256 is taken modulo `folds` as a 256-bit number, so the bias is negligible.
    """
    core = scaffold(mol)
    message = f"polyphony/fold/v1/scaffold/{core}" if core else f"polyphony/fold/v1/acyclic/{smiles}"
    return int.from_bytes(hmac.digest(key, message.encode(), hashlib.sha256), "big") % folds
