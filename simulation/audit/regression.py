"""How much of the updates of a federation each candidate explains, by a ridge regression of the rows on a list of candidates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedapp.data.csr import csr_positions
from simulation.audit.signals import Rounds, standardised
from strategies.update.leakage import Library
from strategies.update.regression import Regression

EXPLAINED = "explained"  # name of the signal


@dataclass(frozen=True)
class Structures:
    """A regression on every structure of a list of N compounds once.

    Attributes:
        regression: On n candidates.
        place: int64 [N], which of them each compound is.
    """

    regression: Regression
    place: NDArray[np.int64]

    @classmethod
    def of(cls, library: Library, structures: NDArray[np.int64], columns: NDArray[np.int64]) -> "Structures":
        """By the rows of these bits alone.

        Args:
            library: Full fingerprints.
            structures: int64 [N], equal for equal fingerprints.
            columns: Listed bits, ascending, int64.
        """
        _, first, place = np.unique(structures, return_index=True, return_inverse=True)
        indptr, positions = csr_positions(library.indptr, first)
        listed = np.zeros(library.bits, dtype=np.bool_)
        listed[columns] = True
        return cls(Regression.on(Library(indptr, library.indices[positions], library.bits), listed), place)


def explained(structures: Structures, rounds: Rounds, every: bool) -> NDArray[np.float32]:
    """How much of an update each candidate explains, standardised; the mean over updates: float32 [N], equal for equal structures.

    Args:
        rounds: Trunks with the listed rows alone.
        every: Whether the updates of all rounds are explained and the change over all of them, or, where without a row guard that takes
            long, the last and that.
    """
    means = rounds.means if every else rounds.means[-1:]
    updates = [mean[0] for mean in means] + [rounds.trunks[-1][0] - rounds.trunks[0][0]]
    found = [standardised(structures.regression.lengths(update)) for update in updates]
    return np.mean(found, axis=0).astype(np.float32)[structures.place]
