"""SMILES -> everything that is computed from a structure, or the reason why it cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import rdBase

from fedapp.chemistry.fingerprint import fingerprint
from fedapp.chemistry.fold import fold_of, series_of
from fedapp.chemistry.rejection import RejectedError
from fedapp.chemistry.standardise import standard_form
from fedapp.config import Chemistry


@dataclass(frozen=True)
class Structure:
    """A usable structure.

    Attributes:
        smiles: Standardised.
        bits: Positions of its on bits, int32, ascending.
        fold: Its fold; None where no key was given.
        series: Number of its chemical series, 64 bits: molecules of one scaffold have the same; None where no key was given.
        against_size: The record also held a larger fragment that is known to form salts.
        mixture: The record also held another compound that is not known to form salts.
    """

    smiles: str
    bits: NDArray[np.int32]
    fold: int | None
    series: int | None
    against_size: bool = False
    mixture: bool = False


def describe(smiles: str, chemistry: Chemistry, key: bytes | None) -> Structure | str:
    """Standardise, fingerprint and fold one SMILES; a bad one gives its reason as a str, never an exception.

    Args:
        smiles: Any SMILES.
        chemistry: Radius, bits, folds and size limit; `fold_key_file` is not read here.
        key: From `fedapp.chemistry.fold.read_key`; None finds no folds, whose scaffolds take time.
    """
    return describe_all([smiles], chemistry, key)[0]


def describe_all(smiles: Sequence[str], chemistry: Chemistry, key: bytes | None) -> list[Structure | str]:
    """`describe` for several SMILES, in order."""
    with rdBase.BlockLogs():  # the reason is reported, RDKit's own lines on stderr would only repeat it
        return [_describe(text, chemistry, key) for text in smiles]


def _describe(smiles: str, chemistry: Chemistry, key: bytes | None) -> Structure | str:
    try:
        form = standard_form(smiles, chemistry.max_heavy_atoms)
    except RejectedError as rejected:
        return str(rejected)
    bits = fingerprint(form.mol, chemistry.radius, chemistry.bits)
    if key is None:
        return Structure(form.smiles, bits, None, None, form.against_size, form.mixture)
    series = series_of(form.smiles, form.mol, key)
    return Structure(form.smiles, bits, fold_of(series, chemistry.folds), series >> 192, form.against_size, form.mixture)
