"""What a partner computes of each compound that it suspects with one of the others, once its own words are off every round's sum.

What is left is the others' sum, to the last word. Of each round it is looked at as trunks are, and by a ridge regression on the list of
candidates, which takes apart what candidates with bits in common move together: a compound that was trained on has a vector of its own
in most rounds, and these point alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulation.audit.regression import Structures
from simulation.audit.signals import TRUNK, Named, change_signals, standardised

OTHERS = (*(f"{name}_others" for name in TRUNK), "explained_others", "steady_others")
TINY = np.finfo(np.float32).tiny


def without_own(means: Sequence[NDArray[np.float32]], own: Sequence[NDArray[np.float32]], partners: int) -> list[NDArray[np.float32]]:
    """The mean update of each round without one partner's part: of the first layer, in listed rows, as `means` and `own` are."""
    return [mean - each / np.float32(partners) for mean, each in zip(means, own, strict=True)]


def others_signals(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], updates: Sequence[NDArray[np.float32]], structures: Structures, every: bool
) -> Named:
    """`OTHERS`, each standardised in each round and added up over rounds: float32 [N], those by regression equal for equal structures.

    movement_others, coherence_others, quietest_others: As in `change_signals`.
    explained_others: Length of the candidate's vector in the regression.
    steady_others: Length of the sum of its vectors over all rounds, each in units of what candidates have in that round.

    Args:
        indptr, indices: Fingerprints of N compounds, CSR; a bit is a row of the updates.
        updates: Of the others, float32 [listed bits, width] each.
        every: Whether the regression is of all rounds or, where without a row guard that takes long, of the last alone.
    """
    found: Named = {name: np.zeros(len(indptr) - 1, dtype=np.float32) for name in OTHERS}
    for update in updates:
        for name, values in change_signals(indptr, indices, update).items():
            found[f"{name}_others"] += standardised(values)
    whole = np.zeros((structures.regression.holds.shape[0], updates[-1].shape[1]), dtype=np.float32)
    for update in updates if every else updates[-1:]:
        vectors = structures.regression.vectors(update)
        lengths = np.linalg.norm(vectors, axis=1)
        found["explained_others"] += standardised(lengths)[structures.place]
        whole += vectors / (lengths.mean() + TINY)
    found["steady_others"] += np.linalg.norm(whole, axis=1)[structures.place]
    return found
