"""Who was trained on? How well a regression of a vector tells a partner's own training compounds from compounds that it keeps aside.

Those that choose and judge its model are of the partner's own chemistry and were never trained on: the best controls that it has. Each
candidate is scored by how much longer its vector is than in rows as long that point anywhere: a compound that holds few listed bits has a
long vector by that alone.

Where folds are split by series, compounds that were kept aside are of other series. So a little more than chance may be what the update
says of series, and not of a compound. Hence the margin of `beyond_chance`.
"""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strategies.update.candidates import Candidates

if TYPE_CHECKING:
    from strategies.update.regression import Regression

LEAST = 20  # of either kind, to be judged at all
FALSE_POSITIVES, ENOUGH = 0.01, 500  # share of the others that may be taken for trained ones; how many it takes for that to be five
MARGIN, DEVIATIONS = 0.1, 2.33  # beyond 0.5 that the lower end of the AUC must lie, and where that end is: at 99 %, one-sided
COLUMNS = 64  # of a vector that are regressed at a time
RANDOM_COLUMNS = 64  # of rows that point anywhere: enough for lengths within a tenth
TINY = 1e-30


@dataclass(frozen=True)
class ToldApart:
    """How well it went; nothing was tried where both counts are 0.

    Attributes:
        auc: Chance that a compound trained on is scored higher than one that was not.
        trained, others: How many there were.
        found: Share of those trained on whose score only `FALSE_POSITIVES` of the others reach; 0 where these are not `ENOUGH`.
    """

    auc: float = 0.5
    trained: int = 0
    others: int = 0
    found: float = 0.0


def told_apart(change: NDArray[np.signedinteger], rows: NDArray[np.int64], candidates: Candidates, seed: int) -> ToldApart:
    """Regress a vector's first layer on candidates.

    Args:
        change: Of the listed rows, [rows, width].
        rows: Bits that these stand for, ascending.
        seed: Of the rows that point anywhere.
    """
    # Imported where it is needed: most messages of a round regress nothing, and its library takes long to load.
    from strategies.update.regression import Regression

    trained = candidates.trained
    if min(trained.sum(), (~trained).sum()) < LEAST:
        return ToldApart()
    held = candidates.library.counts[rows] > 0  # rows that no candidate holds change no equation
    places, listed = np.flatnonzero(held), np.zeros(candidates.library.bits, dtype=np.bool_)
    listed[rows[held]] = True
    if not change[places].any():
        return ToldApart()
    scores = surplus(change, places, Regression.on(candidates.library, listed), np.random.default_rng(seed))
    members, others = scores[trained], scores[~trained]
    found = float((members > np.quantile(others, 1 - FALSE_POSITIVES)).mean()) if len(others) >= ENOUGH else 0.0
    return ToldApart(round(area(members, others), 4), len(members), len(others), round(found, 4))


def surplus(
    change: NDArray[np.signedinteger], places: NDArray[np.int64], regression: "Regression", generator: np.random.Generator
) -> NDArray[np.float64]:
    """How much longer each candidate's vector is than in random rows of the same lengths, by their logarithms, but for a constant that is
    one for all: float64 [n].

    Args:
        change: [rows, width]; columns are taken a few at a time, so that no second vector lies in memory.
        places: Rows that are regressed.
    """
    anywhere = generator.standard_normal((len(places), RANDOM_COLUMNS), dtype=np.float32) * norms(change, places)[:, None]
    squares, chance = np.zeros(regression.holds.shape[0]), regression.lengths(anywhere) ** 2
    for start in range(0, change.shape[1], COLUMNS):
        squares += regression.lengths(change[places, start : start + COLUMNS].astype(np.float32)) ** 2
    return np.asarray(np.log(squares + TINY) - np.log(chance + TINY))


def norms(change: NDArray[np.signedinteger], places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Root mean square of each of these rows: float32 [places]."""
    squares = np.zeros(len(places))
    for start in range(0, change.shape[1], COLUMNS):
        squares += (change[places, start : start + COLUMNS].astype(np.float64) ** 2).sum(axis=1)
    return np.sqrt(squares / change.shape[1]).astype(np.float32)


def area(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Share of pairs in which a member's score is the higher; a tie is half a pair."""
    ordered = np.sort(others)
    below, upto = np.searchsorted(ordered, members), np.searchsorted(ordered, members, side="right")
    return float((below + upto).sum() / (2 * len(members) * len(others)))


def beyond_chance(told: ToldApart) -> bool:
    """Whether the area's lower end lies clearly beyond 0.5.

    Source of its standard error: J. A. Hanley, B. J. McNeil, Radiology 143 (1982), 29-36.
    """
    if not told.trained or not told.others:
        return False
    area, members, others = told.auc, told.trained, told.others
    pairs_of_members, pairs_of_others = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (members - 1) * (pairs_of_members - area**2) + (others - 1) * (pairs_of_others - area**2)
    return area - DEVIATIONS * sqrt(max(variance, 0.0) / (members * others)) > 0.5 + MARGIN
