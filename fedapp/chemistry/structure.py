"""SMILES -> everything that is computed from a structure, or the reason why it cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import rdBase

from fedapp.chemistry.fingerprint import fingerprint
from fedapp.chemistry.fold import fold_of
from fedapp.chemistry.standardise import RejectedError, standardise
from fedapp.config import Chemistry


@dataclass(frozen=True)
class Structure:
    """A usable structure: standardised SMILES, positions of its on bits (int32, ascending), fold."""

    smiles: str
    bits: NDArray[np.int32]
    fold: int


def describe(smiles: str, chemistry: Chemistry, key: bytes) -> Structure | str:
    """Standardise, fingerprint and fold one SMILES; a bad one gives its reason as a str, never an exception.

    Args:
        smiles: Any SMILES.
        chemistry: Radius, bits, folds and size limit; `fold_key_file` is not read here.
        key: From `fedapp.chemistry.fold.read_key`.
    """
    return describe_all([smiles], chemistry, key)[0]


def describe_all(smiles: Sequence[str], chemistry: Chemistry, key: bytes) -> list[Structure | str]:
    """`describe` for several SMILES, in order."""
    with rdBase.BlockLogs():  # the reason is reported, RDKit's own lines on stderr would only repeat it
        return [_describe(each, chemistry, key) for each in smiles]


def _describe(smiles: str, chemistry: Chemistry, key: bytes) -> Structure | str:
    try:
        plain, mol = standardise(smiles, chemistry.max_heavy_atoms)
    except RejectedError as rejected:
        return str(rejected)
    bits = fingerprint(mol, chemistry.radius, chemistry.bits)
    return Structure(plain, bits, fold_of(plain, mol, chemistry.folds, key))
