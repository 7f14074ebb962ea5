"""How well something that is in play is told from something that is not, over federations that differ in it; for targets and for series."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from simulation.audit.attacks.membership import combined
from simulation.audit.findings import Finding
from simulation.audit.scenario import Scenario
from simulation.audit.signals import Named, standardised
from simulation.audit.statistics import Estimate, GuessScores, measured

NOT_TRIED = "Not tried: among so few compounds too few {things} are in play in one federation and not in another."


@dataclass(frozen=True)
class Asked:
    """Things that are in play in some federations, C of them, and not in others; T things.

    Attributes:
        truth: bool [C, T].
        told: For each federation, name to float32 [T].
    """

    truth: NDArray[np.bool_]
    told: Sequence[Named]

    @property
    def answerable(self) -> bool:
        """Whether there are both kinds."""
        return bool(self.truth.any() and not self.truth.all())

    def signal(self, name: str) -> NDArray[np.float32]:
        """Of all federations: [C, T]."""
        return np.stack([told[name] for told in self.told])

    def without_shadows(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Signals standardised within each federation and added up: all that a single one tells. [C, T]."""
        return np.sum([standardised(self.signal(name).astype(np.float64)) for name in names], axis=0)

    def with_shadows(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood ratios from all other federations, added up; see `membership.lira`. [C, T]."""
        return combined([self.signal(name) for name in names], self.truth)

    def area(self, scores: NDArray[np.float64], generator: np.random.Generator) -> Estimate:
        """AUC, with an interval that resamples things."""
        things = np.tile(np.arange(self.truth.shape[1]), len(self.truth))
        return measured(GuessScores(scores.ravel(), self.truth.ravel(), things), (), generator)[1]


@dataclass(frozen=True)
class Way:
    """One way to guess: its title, who can do it, from which signals, and whether with other federations as shadows."""

    title: str
    adversary: str
    signals: tuple[str, ...]
    shadows: bool


def findings(name: str, things: str, what: str, ways: Sequence[Way], asked: Asked | None, scenario: Scenario) -> list[Finding]:
    """Told, without a gate: one AUC for each way whose signals there are; figures that are not numbers where nothing can be asked.

    Args:
        name: Of the findings.
        things: What is asked about, in words.
        what: As in `Finding`.
        asked: None without federations.
    """
    found = []
    for way in ways:
        estimate, note = Estimate(nan, 0.0, 1.0, 0), NOT_TRIED.format(things=things)
        if asked is not None and asked.answerable:
            if not set(way.signals) <= set(asked.told[0]):
                continue
            scores = (asked.with_shadows if way.shadows else asked.without_shadows)(way.signals)
            estimate, note = asked.area(scores, scenario.generator), described(asked, things, way)
        found.append(
            Finding(
                name=name,
                attack=way.title,
                adversary=way.adversary,
                defences=scenario.defences,
                what=what,
                chance=0.5,
                note=note,
                **asdict(estimate),
            )
        )
    return found


def described(asked: Asked, things: str, way: Way) -> str:
    """The scale of a figure."""
    count, total = asked.truth.shape
    how = "each attacked with all others as shadows" if way.shadows else "each by itself"
    return f"{total} {things}, in {count} federations of which each leaves some out, {how}; the interval resamples {things}."
