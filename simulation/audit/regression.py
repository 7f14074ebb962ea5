"""How much of the updates of a federation each candidate explains, by a ridge regression of the rows on a list of candidates."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from fedapp.data.csr import csr_positions
from simulation.audit.signals import Rounds, standardised
from strategies.update.leakage import Library

EXPLAINED = "explained"  # name of the signal
RIDGE, BATCH = 10.0, 1024  # as many rows as a candidate's vector is shrunk by; candidates at a time


def explained(
    library: Library, structures: NDArray[np.int64], rounds: Rounds, columns: NDArray[np.int64], every: bool
) -> NDArray[np.float32]:
    """The mean over updates of `regressed`, each standardised: float32 [N], equal for compounds of one structure.

    Args:
        library: Full fingerprints of N compounds; every structure among them is a candidate once.
        structures: int64 [N], equal for equal fingerprints.
        rounds: Trunks with the rows of `columns` alone.
        every: Whether the updates of all rounds are explained and the change over all of them, or, where without a row guard that takes
            long, the last and that.
    """
    _, first, place = np.unique(structures, return_index=True, return_inverse=True)
    indptr, positions = csr_positions(library.indptr, first)
    listed = np.zeros(library.bits, dtype=np.bool_)
    listed[columns] = True
    means = rounds.means if every else rounds.means[-1:]
    updates = [mean[0] for mean in means] + [rounds.trunks[-1][0] - rounds.trunks[0][0]]
    lengths = regressed(updates, Library(indptr, library.indices[positions], library.bits), listed)
    return np.mean([standardised(each) for each in lengths], axis=0).astype(np.float32)[place]


def regressed(updates: Sequence[NDArray[np.float32]], library: Library, listed: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """How much of each update each candidate explains: length of its vector in a ridge regression of rows on candidates, float64 [n].

    The sum of plain gradients is linear in the fingerprints: rows X^T A, where compounds that were not trained on have zero vectors in A.
    With more rows than candidates A is determined; Adam and the row guard blur it. The equations take 4 bytes for each pair of candidates,
    or of rows if these are fewer: (X X^T + ridge)^-1 X = X (X^T X + ridge)^-1.

    Args:
        updates: float32 [listed bits, width] each, the listed rows alone.
        library: n candidates.
        listed: bool [bits], whose rows are in the sum.
    """
    count, ones = len(library.indptr) - 1, np.ones(len(library.indices), dtype=np.float32)
    holds = scipy.sparse.csr_array((ones, library.indices, library.indptr), shape=(count, library.bits))[:, listed]
    few_rows = holds.shape[1] < count
    left = holds.T.tocsr() if few_rows else holds
    gram = np.empty((left.shape[0], left.shape[0]), dtype=np.float32)
    for start in range(0, len(gram), BATCH):
        gram[start : start + BATCH] = (left[start : start + BATCH] @ left.T).toarray()
    gram[np.diag_indices(len(gram))] += np.float32(RIDGE)
    factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True)

    def solved(update: NDArray[np.float32]) -> NDArray[np.float32]:
        if few_rows:
            return np.asarray(holds @ scipy.linalg.cho_solve(factor, update))
        return np.asarray(scipy.linalg.cho_solve(factor, holds @ update))

    return [np.linalg.norm(solved(each).astype(np.float64), axis=1) for each in updates]
