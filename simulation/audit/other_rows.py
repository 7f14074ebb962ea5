"""Rows of the others: what is left of the first layer's mean updates once the first partner, who attacks, takes its own words off.

A partner knows the sum of every round and what it sent itself. The difference is the sum of all others' updates, to the last word.
"""

import numpy as np
from numpy.typing import NDArray

from simulation.audit.federations import Trial, held_bits
from simulation.audit.others_signals import without_own
from simulation.audit.pool import Pool


def listed_bits(pool: Pool, trial: Trial) -> NDArray[np.int64]:
    """Bits of the listed rows that a compound of the pool holds, ascending, as the rows of `Trial.own` are: int64."""
    return np.flatnonzero(trial.listed & held_bits(pool))


def moved_bits(pool: Pool, trial: Trial) -> NDArray[np.int64]:
    """Bits whose rows others moved in the last round, ascending: int64. Nothing is left of other rows without one's own words."""
    assert trial.words is not None
    bits, words = listed_bits(pool, trial), trial.words[1:, : trial.own[-1].size]
    left = words.sum(axis=0, dtype=words.dtype).reshape(len(bits), -1)
    return bits[left.any(axis=1)]


def others_updates(pool: Pool, trial: Trial, bits: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """The mean update of each round without the attacker's own part, in the rows of `bits`: float32 [len(bits), width] each."""
    places = np.searchsorted(listed_bits(pool, trial), bits)
    return without_own([mean[0][bits] for mean in trial.means], [own[places] for own in trial.own], len(pool.datasets))
