"""Molecule -> cross-validation fold, the same at every partner that holds the consortium's key.

The fold is a keyed hash of the Bemis-Murcko scaffold, so a chemical series never lies on both sides of a split, neither within a
partner nor between partners who never met. Acyclic molecules have no scaffold; hashed alike they would all share one fold, so
each is hashed by its own SMILES.
"""

import codecs
import hashlib
import hmac
import re
import string
import unicodedata
from contextlib import suppress
from pathlib import Path

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from fedapp.errors import DataError
from fedapp.wording import plural

PUBLIC_KEY = b"polyphony public fold key, for simulations only"
MIN_KEY_BYTES = 16
HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")
AROUND = string.whitespace + "\ufeff\u200b\u00a0"
QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c", "\u00ab": "\u00bb"}


def read_key(path: str | None) -> bytes:
    """The consortium's fold key.

    What editors and mail programs put around a key does not count: whitespace, a byte order mark, UTF-16, quotes, and capitals in a
    hexadecimal key. So one key gives one set of folds, however each partner saved it.

    Args:
        path: File that holds it, one line of text or other bytes. None gives the public simulation key.
    Raises:
        DataError: The file cannot be read, holds several lines, or its key is shorter than 16 bytes.
    """
    if path is None:
        return PUBLIC_KEY
    try:
        key = _plain(Path(path).read_bytes())
    except OSError as error:
        raise DataError(
            f"cannot read the fold key {path}: {error.strerror}",
            "chemistry.fold_key_file names the file with the consortium's key; null uses the public simulation key",
        ) from error
    except ValueError as error:
        raise DataError(f"the fold key in {path} {error}", "keep the key alone in the file, as one line of UTF-8 text") from error
    if len(key) < MIN_KEY_BYTES:
        raise DataError(
            f"the fold key in {path} has {plural(len(key), 'byte')}, fewer than {MIN_KEY_BYTES}",
            "all partners use one long random key, for example 32 random bytes in hexadecimal",
        )
    return key


def key_digest(key: bytes) -> str:
    """Twelve hexadecimal digits by which partners see that they hold the same key; of a random key they tell nothing."""
    return hmac.digest(key, b"polyphony/fold-key/v1", hashlib.sha256).hex()[:12]


def _plain(content: bytes) -> bytes:
    """The key alone, in UTF-8; bytes that are no text are taken as they are, but for whitespace around them.

    Raises:
        ValueError: The text is not one key.
    """
    text = _text(content)
    if text is None:
        return content.strip()
    if "\0" in text:
        raise ValueError("holds zero bytes, as UTF-16 without a mark does")
    key = unicodedata.normalize("NFC", text).strip(AROUND)
    if key[:1] in QUOTES and key[-1:] == QUOTES[key[0]] and not {*key[1:-1]} & {key[0], key[-1]}:
        key = key[1:-1].strip(AROUND)
    if len(key.splitlines()) > 1:
        raise ValueError(f"has {len(key.splitlines())} lines")
    return (key.lower() if HEXADECIMAL.fullmatch(key) else key).encode()


def _text(content: bytes) -> str | None:
    """The content as text, or None where it is none."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"), (b"", "utf-8-sig")):
        if content.startswith(mark):
            with suppress(UnicodeDecodeError):
                return content.decode(encoding)
    return None


def scaffold(mol: Chem.Mol) -> str:
    """Canonical SMILES of the Bemis-Murcko scaffold; empty for an acyclic molecule."""
    if mol.GetRingInfo().NumRings() == 0:
        return ""
    return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(mol))


def series_of(smiles: str, mol: Chem.Mol, key: bytes) -> int:
    """Number of a standardised molecule's chemical series: one for all molecules of a scaffold, and one for each acyclic molecule.

    Args:
        smiles: Its standardised SMILES.
        mol: The molecule parsed from `smiles`.
        key: From `read_key`.
    Returns:
        HMAC-SHA256 as a number of 256 bits.
    """
    core = scaffold(mol)
    message = f"polyphony/fold/v1/scaffold/{core}" if core else f"polyphony/fold/v1/acyclic/{smiles}"
    return int.from_bytes(hmac.digest(key, message.encode(), hashlib.sha256), "big")


def fold_of(series: int, folds: int) -> int:
    """Fold of a series, 0 .. folds - 1; of a number of 256 bits the bias of a modulus is negligible."""
    return series % folds
