"""Pairs of rows: how alike they move, how often one's own compounds hold both bits, and how well that tells what is true of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from simulation.audit.pool import Pool
from simulation.audit.signals import standardised
from simulation.audit.statistics import DRAWS, Estimate, GuessScores, Ordered, area, around

PAIRS, FEWEST_PAIRS = 10_000, 30  # of each kind: as many as are judged, and as it takes
COMMON = 8  # directions that all rows have most in common
Ends = tuple[NDArray[np.int64], NDArray[np.int64]]  # places of both rows, or bits, of each pair


def every_pair(count: int) -> Ends:
    """All pairs of two of so many."""
    one, other = np.triu_indices(count, 1)
    return one, other


def together(pool: Pool, bits: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How many of the compounds chosen, bool [N], hold both of two bits: [bits, bits], on the diagonal how many hold one."""
    held = holders(pool, bits)[np.flatnonzero(chosen)]
    return np.asarray((held.T @ held).toarray())


def holders(pool: Pool, bits: NDArray[np.int64]) -> csr_array:
    """Which compounds hold which of these bits: float32 [N, bits], 0 or 1."""
    ones = np.ones(len(pool.indices), dtype=np.float32)
    return csr_array((ones, pool.indices, pool.indptr), shape=(len(pool.owners), pool.bits))[:, bits]


def chemistry(counts: NDArray[np.float32], ends: Ends) -> NDArray[np.float64]:
    """What one's own compounds say of pairs of bits, standardised, float64 [pairs].

    How often they occur together, how alike what occurs with them is, and how common they are.

    Args:
        counts: As `together` counts one's own compounds.
    """
    common = counts.diagonal().astype(np.float64)
    one, other = common[ends[0]], common[ends[1]]
    parts = counts[ends] / np.sqrt(np.maximum(one * other, 1)), cosines(counts)[ends], np.log(one + 0.5) + np.log(other + 0.5)
    return added_up(parts)


def likeness(updates: Sequence[NDArray[np.float32]], ends: Ends) -> NDArray[np.float64]:
    """How alike both rows of each pair move: cosines, as they are and without what all rows have in common, summed over rounds.

    Args:
        updates: float32 [rows, width] each.
    Returns:
        Standardised, float64 [pairs].
    """
    tables = [sum(map(cosines, rows), np.float32(0)) for rows in (updates, map(without_common, updates))]
    return added_up([np.asarray(table)[ends] for table in tables])


def added_up(parts: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Standardised scores, added up and standardised."""
    return np.asarray(standardised(np.sum([standardised(part.astype(np.float64)) for part in parts], axis=0)), dtype=np.float64)


def cosines(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of any two rows; 0 with a row of length 0."""
    ways = unit(rows)
    return np.asarray(ways @ ways.T)


def without_common(rows: NDArray[np.float32], directions: int = COMMON) -> NDArray[np.float32]:
    """Rows less their part along so many directions that they have most in common."""
    ways = unit(rows)
    common = np.linalg.eigh(ways.T @ ways)[1][:, -directions:]
    return np.asarray(rows - (rows @ common) @ common.T)


@dataclass(frozen=True)
class Judged:
    """Areas under the curve of several scores of the same pairs.

    Attributes:
        values: One a score.
        draws: float64 [draws, scores], of resamples of bits.
        pairs: How many were asked about.
    """

    values: list[float]
    draws: NDArray[np.float64]
    pairs: int

    def of(self, score: int) -> Estimate:
        """One score's area."""
        return self._around(self.values[score], self.draws[:, score])

    def difference(self, score: int, other: int) -> Estimate:
        """By how much one area is greater than another, on the same resamples."""
        return self._around(self.values[score] - self.values[other], self.draws[:, score] - self.draws[:, other])

    def _around(self, value: float, draws: NDArray[np.float64]) -> Estimate:
        return around(value, draws, self.pairs, Estimate(value, value, value, 0))


def judged(
    scores: Sequence[NDArray[np.floating]],
    truth: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    ends: Ends,
    generator: np.random.Generator,
) -> Judged | None:
    """Areas under the curve of scores of pairs, on up to `PAIRS` of each kind; bits, not pairs, are resampled: a pair weighs as often as
    both of its bits were drawn. None if there are too few of a kind.

    Args:
        scores: Float [pairs] each.
        truth: bool [pairs].
        asked: bool [pairs], which of them count.
    """
    kinds = [generator.permutation(np.flatnonzero(asked & (truth == kind)))[:PAIRS] for kind in (True, False)]
    if min(map(len, kinds)) < FEWEST_PAIRS:
        return None
    chosen = np.concatenate(kinds)
    one, other = (places[chosen] for places in ends)
    ordered = [Ordered.of(GuessScores(each[chosen], truth[chosen], np.arange(len(chosen)))) for each in scores]
    count = int(ends[1].max()) + 1
    draws = []
    for _ in range(DRAWS):
        times = np.bincount(generator.integers(count, size=count), minlength=count)
        weights = (times[one] * times[other]).astype(np.float64)
        if weights[truth[chosen]].any() and weights[~truth[chosen]].any():
            draws.append([area(*each.totals(weights[each.cluster])) for each in ordered])
    values = [area(*each.totals(np.ones(len(chosen)))) for each in ordered]
    return Judged(values, np.array(draws), len(chosen))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Vectors of length 1; those of length 0 stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
