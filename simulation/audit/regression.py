"""How much of the updates of a federation each candidate explains, by a ridge regression of the rows on a list of candidates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedapp.data.csr import csr_positions
from simulation.audit.signals import Rounds, standardised
from strategies.update.leakage import Library
from strategies.update.regression import Regression

EXPLAINED = "explained"  # name of the signal


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
    """How much of each update each candidate explains: float64 [n]; see `strategies.update.regression`.

    Args:
        updates: float32 [listed bits, width] each, the listed rows alone.
        library: n candidates.
        listed: bool [bits], whose rows are in the sum.
    """
    regression = Regression.on(library, listed)
    return [regression.lengths(each) for each in updates]
