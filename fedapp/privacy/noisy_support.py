"""Which rows of the first layer a partner supports, as a differentially private statement about its compounds.

The exact mask of `strategies.update.row_guard` tells of a compound whose presence decides whether a bit reaches the guard. Here the counts
get Gaussian noise before they are compared. A compound counts for at most `MOST_BITS` of its bits, drawn at random, so that adding or
removing it moves the vector of all counts by at most sqrt(MOST_BITS) in L2. Rows are chosen once and kept: a mask that is sent again, in
a later session, says nothing new.
"""

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from fedapp.privacy.accounting import NoiseEvent
from fedapp.privacy.noise import Noise

MOST_BITS = 64  # of a compound that count; drug-like molecules have 40 to 80 in ECFP6
MARGIN = 2.0  # standard deviations above the guard: else every second bit that no compound holds would pass
SHARE = 0.1  # of the budget, as zero-concentrated privacy


def support_event(epsilon: float, delta: float) -> NoiseEvent:
    """The noise with which choosing the rows costs about a tenth of the budget (as rho, so less than that of a large epsilon).

    Source: Bun and Steinke, TCC 2016: rho-zCDP is (rho + 2 sqrt(rho log(1/delta)), delta)-DP (proposition 1.3), and the Gaussian
    mechanism has rho = 1 / (2 noise_multiplier^2) (proposition 1.6).
    """
    rho = (sqrt(log(1 / delta) + epsilon) - sqrt(log(1 / delta))) ** 2
    return NoiseEvent(noise_multiplier=1 / sqrt(2 * SHARE * rho))


def noisy_support(
    indptr: NDArray[np.int64], indices: NDArray[np.int32], bits: int, least: int, event: NoiseEvent, noise: Noise
) -> NDArray[np.bool_]:
    """Fingerprint bits that, by a noisy count, surely `least` compounds hold: bool [bits].

    Args:
        indptr, indices: CSR over the training compounds alone, int64 [n + 1] and int32; each on bit occurs once.
        bits: Fingerprint length.
        least: As in `row_guard.support`.
        event: Says how much noise; the caller pays for it.
    """
    scale = event.noise_multiplier * sqrt(MOST_BITS)
    counts = np.bincount(at_most(MOST_BITS, indptr, indices, noise), minlength=bits)
    return counts + scale * noise.normal(bits) >= least + MARGIN * scale


def at_most(most: int, indptr: NDArray[np.int64], indices: NDArray[np.int32], noise: Noise) -> NDArray[np.int32]:
    """At most `most` bits of each compound, chosen at random and independently for each; all compounds' bits in one vector."""
    owners = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    shuffled = np.lexsort((noise.words(len(indices)), owners))
    place = np.arange(len(indices)) - indptr[owners]
    return indices[shuffled[place < most]]
