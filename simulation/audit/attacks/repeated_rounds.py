"""What one partner's update tells, which two sums of one round give away whose cohorts differ by that partner.

Secure aggregation cannot prevent it: whoever has both sums subtracts them. What does is that each partner counts how often it lets a round
be repeated, and refuses beyond its policy (`strategies/secagg/repetition.py`); what is left to see then is limited by the row guard alone.
None of it is gated: this is what a repeated round would cost, beside what the sum of the same round tells of the same compounds.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from math import nan

import numpy as np
from numpy.typing import NDArray

from fedapp.data.csr import csr_positions
from simulation.audit.attacks.rows import RowsView, Target, last_left, named_by_twins
from simulation.audit.findings import AuditOutcome, Finding
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.signals import change_signals, standardised
from simulation.audit.statistics import Estimate, GuessScores, measured, rate
from strategies.update.leakage import Library, present_rows
from strategies.update.regression import Regression

JUDGED_AT = 0.001
ALONE, TOGETHER = "repeated round", "the same round's sum"
NOTE = "Candidates are the pool's compounds of the one partner that is attacked; every other partner in turn."


@dataclass(frozen=True)
class Suspects:
    """One partner's compounds, a candidate for each structure, and its update of the last round.

    Attributes:
        target: The candidates.
        structures: int64 [n].
        update: float32 [bits, width].
    """

    target: Target
    structures: NDArray[np.int64]
    update: NDArray[np.float32]


def attack(scenario: Scenario) -> AuditOutcome:
    """Membership and naming, from each other partner's update and from the sum."""
    suspects = list(suspected(scenario))
    mean, before = scenario.target.means[-1][0], scenario.target.trunks[-2][0]
    seen: dict[str, Callable[[Suspects], NDArray[np.float32]]] = {ALONE: lambda each: each.update, TOGETHER: lambda _: mean}
    findings = [recognised(scenario, title, suspects, [update(each) for each in suspects]) for title, update in seen.items()]
    return AuditOutcome(findings=(*findings, named(scenario, suspects, before)))


def suspected(scenario: Scenario) -> Iterator[Suspects]:
    """Every partner but the attacker."""
    pool, trial = scenario.pool, scenario.target
    assert trial.updates is not None
    least = np.full(pool.bits, max(scenario.row_guard, 1))
    for partner in range(len(pool.datasets)):
        if partner == ATTACKER:
            continue
        own = np.flatnonzero(pool.owners == partner)
        structures, first, copies = np.unique(pool.structures[own], return_index=True, return_counts=True)
        rows = own[first]
        indptr, positions = csr_positions(pool.indptr, rows)
        library = Library(indptr, pool.indices[positions], pool.bits)
        target = Target(library, trial.members[rows], np.ones(len(rows), dtype=np.bool_), copies, rows, least)
        yield Suspects(target, structures, trial.updates[partner])


def recognised(scenario: Scenario, title: str, suspects: list[Suspects], updates: list[NDArray[np.float32]]) -> Finding:
    """Share of those trained on that an update tells from the partner's other compounds, at 0.1 % false positives."""
    listed = scenario.target.listed
    scores = [scored(each.target.library, listed, update) for each, update in zip(suspects, updates, strict=True)]
    members = np.concatenate([each.target.members for each in suspects])
    finding = partial(
        Finding,
        name="membership_repeated_round",
        attack=title,
        adversary="partner",
        defences=scenario.defences,
        what="Share of one partner's compounds trained on that are recognised by this, with 0.1 % false positives among its others.",
        chance=max(JUDGED_AT, 1 / (int((~members).sum()) + 1)),
    )
    if members.all() or not members.any():
        return finding(note="Not tried: nothing, or everything, was trained on.", **asdict(Estimate(nan, 0.0, 1.0, 0)))
    guesses = GuessScores(np.concatenate(scores), members, np.concatenate([each.structures for each in suspects]))
    (judged,), area = measured(guesses, (JUDGED_AT,), scenario.generator)
    return finding(note=f"{NOTE} AUC {area.value:.3f}.", **asdict(judged))


def scored(library: Library, listed: NDArray[np.bool_], update: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much candidates look trained on by one update, without any other federation: how far and how much alike it moved their rows, the
    least of them too, and how much of it each explains; each standardised. float64 [n]."""
    explains = Regression.on(library, listed).lengths(update[listed])
    moved = change_signals(library.indptr, library.indices, np.where(listed[:, None], update, np.float32(0)))
    return np.sum([standardised(np.asarray(each, dtype=np.float64)) for each in (*moved.values(), explains)], axis=0)


def named(scenario: Scenario, suspects: list[Suspects], before: NDArray[np.float32]) -> Finding:
    """Share of those trained on that twin rows, or elimination, name in their partner's update."""
    listed, right, wrong = scenario.target.listed, 0, 0
    for each in suspects:
        twins = named_by_twins(RowsView(ALONE, each.update, before), each.target.library, listed)
        found = np.union1d(twins, last_left(present_rows(each.update) & listed, listed, each.target)).astype(np.int64)
        right += int(each.target.members[found].sum())
        wrong += int((~each.target.members[found]).sum())
    members, others = (sum(int((each.target.members == side).sum()) for each in suspects) for side in (True, False))
    return Finding(
        name="identified_repeated_round",
        attack=f"names from a {ALONE}",
        adversary="partner",
        defences=scenario.defences,
        what="Share of one partner's compounds trained on that a list of candidates and the rows of its update name one by one.",
        chance=wrong / max(others, 1),
        note=f"{NOTE} {wrong} of {others} compounds that were not trained on were named too.",
        **asdict(rate(right, members)),
    )
