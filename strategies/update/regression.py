"""How much of an update each candidate explains: a ridge regression of the rows of the first layer on a list of fingerprints.

The sum of plain gradients is linear in the fingerprints: rows X^T A, where compounds that were not trained on have zero vectors in A.
With more rows than candidates A is determined; Adam, the row guard and compounds that are not in the list blur it.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from strategies.update.leakage import Library

RIDGE, BATCH = 10.0, 256  # as many rows as a candidate's vector is shrunk by; rows of the equations that are made at a time


@dataclass(frozen=True)
class Regression:
    """Equations that are solved once for all updates: (X X^T + ridge)^-1 X = X (X^T X + ridge)^-1, the smaller of both.

    They take 4 bytes for each pair of candidates, or of rows if these are fewer.

    Attributes:
        holds: X, float32 CSR [n, listed bits]: which candidate holds which.
        factor: Cholesky's, of the smaller matrix: float32, lower.
    """

    holds: scipy.sparse.csr_array
    factor: NDArray[np.float32]

    @classmethod
    def on(cls, library: Library, listed: NDArray[np.bool_]) -> "Regression":
        """On n candidates, by the rows of these bits alone: bool [bits]."""
        count, ones = len(library.indptr) - 1, np.ones(len(library.indices), dtype=np.float32)
        holds = scipy.sparse.csr_array((ones, library.indices, library.indptr), shape=(count, library.bits))[:, listed]
        left = holds.T.tocsr() if holds.shape[1] < count else holds
        gram = np.empty((left.shape[0], left.shape[0]), dtype=np.float32)
        for start in range(0, len(gram), BATCH):
            gram[start : start + BATCH] = (left[start : start + BATCH] @ left.T).toarray()
        gram[np.diag_indices(len(gram))] += np.float32(RIDGE)
        return cls(holds, scipy.linalg.cholesky(gram.T, lower=True, overwrite_a=True))  # symmetric: its transpose needs no copy

    def vectors(self, update: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each candidate seems to have added, of an update's listed rows: [listed bits, width] to [n, width]."""
        factor = (self.factor, True)
        if self.holds.shape[1] < self.holds.shape[0]:
            return np.asarray(self.holds @ scipy.linalg.cho_solve(factor, update))
        return np.asarray(scipy.linalg.cho_solve(factor, self.holds @ update))

    def lengths(self, update: NDArray[np.float32]) -> NDArray[np.float64]:
        """How much of it each candidate explains, the length of its vector: float64 [n]."""
        return np.asarray(np.linalg.norm(self.vectors(update).astype(np.float64), axis=1))
