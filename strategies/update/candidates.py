"""Own compounds that were trained on beside own compounds that were not: whoever tells these from each other knows who was trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.update.holders import Holders
from strategies.update.leakage import Library

MOST = 1000  # of either kind that a round draws: the equations then take a fraction of a second, and 16 MB


@dataclass(frozen=True)
class Candidates:
    """A round's draw of both kinds, n in all, of different fingerprints.

    Attributes:
        library: Their whole fingerprints.
        trained: Which were trained on: bool [n].
    """

    library: Library
    trained: NDArray[np.bool_]


@dataclass(frozen=True)
class OwnCompounds:
    """What a partner holds its vectors against: who stands behind each bit, and a round's candidates."""

    holders: Holders
    candidates: Candidates


def drawn(rows: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """At most `MOST` of them, ascending."""
    return np.sort(generator.choice(rows, min(MOST, len(rows)), replace=False)) if len(rows) else rows
