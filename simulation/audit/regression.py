"""How much of the updates of a federation each candidate explains, by a ridge regression of the rows on a list of candidates."""

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from fedapp.data.csr import csr_positions
from simulation.audit.signals import Rounds, standardised
from strategies.update.leakage import Library

EXPLAINED = "explained"  # name of the signal
RIDGE, BATCH = 10.0, 1024  # as many rows as a candidate's vector is shrunk by; candidates at a time


class Regression:
    """Takes updates apart into a vector for each candidate.

    The sum of plain gradients is linear in the fingerprints: rows X^T A, where compounds that were not trained on have zero vectors in A.
    With more rows than candidates A is determined; Adam and the row guard blur it. The equations take 4 bytes for each pair of candidates,
    or of rows if these are fewer: (X X^T + ridge)^-1 X = X (X^T X + ridge)^-1. They are solved once, for all updates.

    Args:
        library: Full fingerprints of N compounds; every structure among them is a candidate once, n in all.
        structures: int64 [N], equal for equal fingerprints.
        columns: The listed bits, ascending, int64, whose rows are in the sum.

    Attributes:
        place: int64 [N], which candidate each compound is.
    """

    def __init__(self, library: Library, structures: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        _, first, self.place = np.unique(structures, return_index=True, return_inverse=True)
        indptr, positions = csr_positions(library.indptr, first)
        indices = library.indices[positions]
        ones = np.ones(len(indices), dtype=np.float32)
        self.holds = scipy.sparse.csr_array((ones, indices, indptr), shape=(len(first), library.bits))[:, columns]
        self.few_rows = len(columns) < len(first)
        left = self.holds.T.tocsr() if self.few_rows else self.holds
        gram = np.empty((left.shape[0], left.shape[0]), dtype=np.float32)
        for start in range(0, len(gram), BATCH):
            gram[start : start + BATCH] = (left[start : start + BATCH] @ left.T).toarray()
        gram[np.diag_indices(len(gram))] += np.float32(RIDGE)
        self.factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True)

    def vectors(self, updates: Sequence[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Each candidate's vector, float32 [n, width], of one update after another: float32 [listed bits, width] each."""
        for update in updates:
            if self.few_rows:
                yield np.asarray(self.holds @ scipy.linalg.cho_solve(self.factor, update))
            else:
                yield np.asarray(scipy.linalg.cho_solve(self.factor, self.holds @ update))


def lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much of an update each candidate explains: the length of its vector, float64 [n]."""
    return np.asarray(np.linalg.norm(vectors.astype(np.float64), axis=1))


def explained(regression: Regression, rounds: Rounds, every: bool) -> NDArray[np.float32]:
    """The mean over updates of `lengths`, each standardised: float32 [N], equal for compounds of one structure.

    Args:
        rounds: Trunks with the listed rows alone.
        every: Whether the updates of all rounds are explained and the change over all of them, or, where without a row guard that takes
            long, the last and that.
    """
    means = rounds.means if every else rounds.means[-1:]
    updates = [mean[0] for mean in means] + [rounds.trunks[-1][0] - rounds.trunks[0][0]]
    found = [standardised(lengths(vectors)) for vectors in regression.vectors(updates)]
    return np.mean(found, axis=0).astype(np.float32)[regression.place]
