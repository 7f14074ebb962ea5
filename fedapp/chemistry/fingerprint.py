"""Molecule -> ECFP, as positions of the bits that are on."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator


@cache
def generator(radius: int, bits: int) -> rdFingerprintGenerator.FingerprintGenerator64:
    """RDKit's Morgan generator without chirality; radius 3 is ECFP6 (the name counts the diameter in bonds)."""
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)


def fingerprint(mol: Chem.Mol, radius: int, bits: int) -> NDArray[np.int32]:
    """Positions of the on bits, ascending, int32, each in 0 .. bits - 1.

    Taken from the keys of the count fingerprint: they are the same bits, and a bit vector would have to be scanned to its end.
    """
    counts = generator(radius, bits).GetCountFingerprint(mol).GetNonzeroElements()
    return np.sort(np.fromiter(counts, dtype=np.int32, count=len(counts)))
