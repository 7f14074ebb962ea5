"""Which of a partner's own training compounds stand behind each fingerprint bit, as far as its self-audit asks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Holders:
    """The same throughout a run, and small: built once a process, kept between two rounds.

    Attributes:
        counts: Training compounds that hold each bit: int64 [bits].
        marks: A number for each set of compounds, equal fingerprints taken as one; 0 for none: float64 [bits]. Bits of the very same
            holders have the same.
        alone: The one fingerprint that has the bit, -1 where it is none or several: int64 [bits].
        fingerprints: How many different ones there are.
    """

    counts: NDArray[np.int64]
    marks: NDArray[np.float64]
    alone: NDArray[np.int64]
    fingerprints: int

    @classmethod
    def of(cls, indptr: NDArray[np.int64], indices: NDArray[np.int32], bits: int) -> "Holders":
        """From CSR over the training compounds, int64 [n + 1] and int32; each compound's bits ascend.

        Sums of random weights stand for sets: added in one order they are equal for equal sets, and by chance only for others.
        """
        random = np.random.default_rng(1)
        owner, prints = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), fingerprint_marks(indptr, indices, bits)
        first = np.zeros(len(prints), dtype=np.bool_)
        first[np.unique(prints, return_index=True)[1]] = True  # rows may well name one of several equal ones: to them it is one
        kept, bits_of = owner[first[owner]], indices[first[owner]]
        alone = np.full(bits, -1)
        alone[bits_of] = kept
        alone[np.bincount(bits_of, minlength=bits) != 1] = -1
        weights = random.random(len(prints))
        marks = np.bincount(bits_of, weights=weights[kept], minlength=bits).astype(np.float64)
        return cls(np.bincount(indices, minlength=bits), marks, alone, int(first.sum()))


def fingerprint_marks(indptr: NDArray[np.int64], indices: NDArray[np.int32], bits: int) -> NDArray[np.float64]:
    """A number for each fingerprint of a CSR, equal for equal ones and by chance only for others: float64 [n]."""
    owner = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    weights = np.random.default_rng(0).random(bits)[indices]
    return np.bincount(owner, weights=weights, minlength=len(indptr) - 1).astype(np.float64)
