"""Rows of different lengths in one vector (compressed sparse rows): row i is values[indptr[i]:indptr[i + 1]]."""

import numpy as np
from numpy.typing import NDArray


def csr_positions(indptr: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row pointers of a selection of rows, in the order given, and where its elements lie in the whole: int64 [rows + 1], [elements]."""
    starts = np.asarray(indptr[rows], dtype=np.int64)
    lengths = indptr[np.asarray(rows) + 1] - starts
    chosen = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=chosen[1:])
    return chosen, np.arange(chosen[-1]) + np.repeat(starts - chosen[:-1], lengths)
