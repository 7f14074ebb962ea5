"""What partners learn about the others as a whole: which chemistry they work on, and how much or how good data each of them has.

Neither is gated. The first is told by design: the row list says which bits so many partners support. The second needs cohorts that
change from round to round, as they do when partners drop out and rounds go on without them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simulation.audit.findings import ON, AuditOutcome, Finding
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.statistics import Estimate, rate

PERMUTATIONS = 2000
INTERVAL = (0.025, 0.975)
FIXED = "The cohort never changed, so the sums say nothing of single partners."
CHANGED = "The cohort changed. federation.min_partners: null keeps it fixed: a round waits for every partner or does not count."
BY_DESIGN = "Told by design: partners must know which rows to send."


def attack(scenario: Scenario) -> AuditOutcome:
    """What the row list, where there is one, and the sums tell of the other partners as a whole."""
    pool, target, defences = scenario.pool, scenario.target, scenario.defences
    sizes = np.array([inside.sum() for inside in pool.split(target.members)], dtype=np.float64)
    cohorts = [range(len(pool.datasets))] * len(target.means)
    findings = quality_findings(signals(target.means), cohorts, sizes, ATTACKER, defences, scenario.generator)
    if defences == ON:
        findings += from_row_list(target.listed, target.supports, ATTACKER, defences)
    return AuditOutcome(findings=tuple(findings))


# Which chemistry the others work on


def from_row_list(listed: NDArray[np.bool_], supports: NDArray[np.bool_], attacker: int, defences: str) -> list[Finding]:
    """Bits that somebody else supports, guessed from the row list: precision, then recall; chance is what as many random guesses have.

    Args:
        listed: bool [bits], rows in the sum.
        supports: bool [partners, bits]; the attacker's own row is what it knows itself.
    """
    truth = np.asarray(np.delete(supports, attacker, axis=0).any(axis=0))
    right = int((listed & truth).sum())
    precision, recall = rate(right, int(listed.sum())), rate(right, int(truth.sum()))
    named = "Share of the fingerprint bits named that somebody else really trains on."
    there = "Share of the fingerprint bits that somebody else trains on that are named."
    return [bits_finding(precision, named, truth, defences), bits_finding(recall, there, listed, defences)]


def bits_finding(share: Estimate, what: str, guessing: NDArray[np.bool_], defences: str) -> Finding:
    """Told, without a gate; 0 where nothing was guessed.

    Args:
        guessing: bool [bits], of which as many are right by chance as there are in it.
    """
    return Finding(
        name="property",
        attack="row list",
        adversary="partner",
        defences=defences,
        what=what,
        chance=float(guessing.mean()),
        judged="lower",
        note=BY_DESIGN,
        **asdict(share) | {"value": 0.0 if np.isnan(share.value) else share.value, "finest": 0.0},
    )


# How much, or how good, data each of them has


def signals(means: Sequence[Sequence[np.ndarray]], metrics: Sequence[float] | None = None) -> dict[str, NDArray[np.float64]]:
    """What a partner watches, a value a round: [rounds].

    Args:
        means: The mean update of each round.
        metrics: A partner's own validation metric before the first round and after each, higher is better.
    Returns:
        "size of the sums": log norm of the mean update; "direction of the sums": cosine with those of all rounds together; with metrics
        "own validation metric": its improvement.
    """
    way = [np.sum(arrays, axis=0) for arrays in zip(*means, strict=True)]
    squares, products = np.zeros(len(means)), np.zeros(len(means))
    for number, mean in enumerate(means):
        squares[number] = sum(float(np.vdot(part, part)) for part in mean)
        products[number] = sum(float(np.vdot(part, whole)) for part, whole in zip(mean, way, strict=True))
    norms = np.sqrt(np.maximum(squares, 1e-30))
    cosines = products / (norms * np.sqrt(max(sum(float(np.vdot(whole, whole)) for whole in way), 1e-30)))
    watched = {"size of the sums": np.log(norms), "direction of the sums": cosines}
    return watched if metrics is None else watched | {"own validation metric": np.diff(np.asarray(metrics, dtype=np.float64))}


def contributions(signal: NDArray[np.float64], cohorts: Sequence[Sequence[int]], partners: int) -> NDArray[np.float64]:
    """What each partner's presence adds to a signal, by least squares on the changes from each round to the next: [partners].

    Counting such changes is how "The Good" and "The Bad" of B. Pejó and G. Biczók, "Quality inference in federated learning with
    secure aggregation" (arXiv 2007.06236), rank partners; least squares uses their sizes too. A partner that was always there, or
    never, gets 0.

    Args:
        signal: [rounds].
        cohorts: Numbers of the partners in each sum.
    """
    present = np.zeros((len(cohorts), partners))
    for number, cohort in enumerate(cohorts):
        present[number, list(cohort)] = 1.0
    changes = np.diff(present, axis=0)
    trend = np.ones((len(changes), 1))
    solution, *_ = np.linalg.lstsq(np.hstack([changes, trend]), np.diff(signal), rcond=None)
    return np.where(changes.any(axis=0), solution[:partners], 0.0)


def quality_findings(
    watched: Mapping[str, NDArray[np.float64]],
    cohorts: Sequence[Sequence[int]],
    truth: NDArray[np.floating],
    attacker: int,
    defences: str,
    generator: np.random.Generator,
) -> list[Finding]:
    """Spearman correlation of the others' guessed ranks with the true ones, one figure a signal.

    Args:
        watched: As `signals` gives them.
        cohorts: Numbers of the partners in each sum.
        truth: [partners], such as each one's training compounds.
        generator: Permutes the truth, for the interval.
    """
    others = np.delete(np.arange(len(truth)), attacker)
    note = FIXED if len({tuple(sorted(cohort)) for cohort in cohorts}) == 1 else CHANGED
    findings = []
    for name, signal in watched.items():
        guessed = contributions(signal, cohorts, len(truth))[others]
        value = float(spearman(guessed, truth[others]))
        null = spearman(guessed, generator.permuted(np.tile(truth[others], (PERMUTATIONS, 1)), axis=1))
        low, high = np.quantile(null, INTERVAL)
        findings.append(
            Finding(
                name="data_quality",
                attack=name,
                adversary="partner",
                defences=defences,
                what="Rank correlation of the others' amount or quality of data, as guessed from this, with the truth.",
                chance=0.0,
                judged="lower",
                note=note,
                **asdict(Estimate(value, max(value - float(high), -1.0), min(value - float(low), 1.0), len(others))),
            )
        )
    return findings


def spearman(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rank correlation with each row of `other`, [..., n]; 0 where one of the two is the same for everybody, since that ranks nobody."""
    ranks, others = (stats.rankdata(values, axis=-1) - (len(one) + 1) / 2 for values in (one, other))
    scale = np.sqrt((ranks @ ranks) * (others**2).sum(axis=-1))
    return np.asarray((others @ ranks) / np.where(scale > 0, scale, 1.0))
