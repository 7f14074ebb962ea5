"""In which order of size partners are: what a fixed cohort tells a partner, and what two sums or two row lists of different cohorts do.

None of it is gated. In a fixed cohort only whoever knows compounds of each partner has something to go by. Two sums of one round, of which
one lacks a partner, differ by that partner's update, and two row lists by its rows: limits on repetition and on changes of the cohort keep
these few.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from math import nan

import numpy as np
from numpy.typing import NDArray

from simulation.audit.attacks.properties import INTERVAL, PERMUTATIONS, spearman
from simulation.audit.findings import AuditOutcome, Finding
from simulation.audit.fresh_signals import KNOWN_LIST, ROWS, UPDATE
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.statistics import Estimate

WAYS = {
    KNOWN_LIST: ("sizes from one row list", "A fixed cohort. The attacker is given 20 compounds of each partner, a strong assumption."),
    ROWS: (
        "sizes from two row lists",
        "Two lists, with each partner and without it: what a partner that joins, leaves or is late gives away.",
    ),
    UPDATE: ("sizes from two sums", "Two sums of one round, with each partner and without it: what a repeated round gives away."),
}
NOT_TRIED = "Not tried: there were no federations of partners of different sizes."


def attack(scenario: Scenario) -> AuditOutcome:
    """Rank correlation of the others' sizes with each of `WAYS` for which there are figures, over federations of unequal partners."""
    consortia = scenario.consortia
    finding = partial(
        Finding,
        name="partner_sizes",
        adversary="partner",
        defences=scenario.defences,
        what="Rank correlation of the other partners' numbers of compounds, as guessed from this, with the truth.",
        chance=0.0,
        judged="lower",
    )
    findings = []
    for name, (title, note) in WAYS.items():
        if not consortia:
            findings.append(finding(attack=title, note=NOT_TRIED, **asdict(Estimate(nan, -1.0, 1.0, 0))))
        elif name in consortia[0].of_partners:
            guessed, sizes = ([np.delete(values, ATTACKER) for values in column] for column in zip(*pairs(scenario, name), strict=True))
            estimate = order(guessed, sizes, scenario.generator)
            note = f"{note} The mean over {len(consortia)} federations; the interval is of {PERMUTATIONS} permutations."
            findings.append(finding(attack=title, note=note, **asdict(estimate)))
    return AuditOutcome(findings=tuple(findings))


def pairs(scenario: Scenario, name: str) -> list[tuple[NDArray[np.floating], NDArray[np.floating]]]:
    """A signal of partners, and their sizes, of each federation."""
    return [(each.of_partners[name], each.sizes) for each in scenario.consortia]


def order(guessed: Sequence[NDArray[np.floating]], sizes: Sequence[NDArray[np.floating]], generator: np.random.Generator) -> Estimate:
    """Mean rank correlation over federations, each [others], with what permuted sizes give taken off it on either side."""
    value = float(np.mean([spearman(one, other) for one, other in zip(guessed, sizes, strict=True)]))
    null = [spearman(one, generator.permuted(np.tile(other, (PERMUTATIONS, 1)), axis=1)) for one, other in zip(guessed, sizes, strict=True)]
    low, high = np.quantile(np.mean(null, axis=0), INTERVAL)
    return Estimate(value, max(value - float(high), -1.0), min(value - float(low), 1.0), sum(map(len, sizes)))
