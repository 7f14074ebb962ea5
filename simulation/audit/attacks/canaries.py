"""How much one training run gives away at least, as an epsilon: made-up compounds, some trained on, and a guess at which.

A stated epsilon is an upper bound, from a proof. Canaries give a lower one, from an experiment: if it is the larger, then the proof or
the program is wrong. If it is small that proves little, since a better attack may exist.

Beside it stands what the same guesses refute of a whole curve of trade-offs, that of Gaussian noise: such a bound is nearer to the truth
where the true curve is of that kind, since it does not allow for the worst at every rate of errors at once.

Source: T. Steinke, M. Nasr, M. Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023, arXiv 2305.08846.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, expit, logit
from scipy.stats import binom

from fedapp.config import RECORD_DP, Config
from fedapp.data.catalogue import catalogue_of
from fedapp.data.csr import csr_positions
from fedapp.data.dataset import Dataset
from fedapp.data.labels import Labels
from fedapp.errors import DataError
from fedapp.model.shared_heads import in_common_units
from simulation.audit.federations import federate, held_bits, set_up, states, whole
from simulation.audit.findings import AuditOutcome, Finding
from simulation.audit.gaussian_bound import FARTHEST, LARGEST, epsilon_of, gaussian_lower_bound
from simulation.audit.pool import Pool
from simulation.audit.scenario import Scenario
from simulation.audit.shared_signals import SharedLabels, head_signals
from simulation.audit.signals import Rounds, class_labels, standardised, trunk_signals
from simulation.audit.statistics import CONFIDENCE, Estimate, rate
from simulation.federation import Guarded, guard

CANARIES, BITS, LABELS = 400, 40, 8  # how many, and the bits and labels of each
GUESSED = (1 / 8, 1 / 4, 1 / 2, 1.0)  # shares of the canaries that are guessed at, chosen before any score is seen


def attack(scenario: Scenario) -> AuditOutcome:
    """Train a federation on all compounds of the pool, its first partner on about half of 400 canaries, too, and guess which.

    With record-level privacy the bound is held against the stated epsilon.
    """
    pool, config, generator = scenario.pool, scenario.config, scenario.generator
    first, *_ = pool.datasets
    with states() as folder:
        bits, own = bits_to_draw(pool, guard(pool.datasets, config, folder / "rows")), pool.datasets[first]
        made = canaries(bits, len(own.tasks), count=CANARIES, size=BITS, labels=LABELS, generator=generator)
        made = replace(made, labels=in_units(made.labels, own))
        included = generator.random(CANARIES) < 0.5
        datasets = pool.datasets | {first: with_canaries(own, made, included, config.training_folds()[0])}
        setting = set_up(datasets, config, folder, held_bits(pool))
        rounds = whole(federate(setting).rounds, setting.columns, pool.bits)
    scores = canary_scores(made, rounds) + head_scores(made, own, setting.partners[first].slot_of_task, config, rounds)
    stated = config.privacy.epsilon if config.privacy.profile == RECORD_DP else None
    delta = config.privacy.delta
    bound, distance = audit(scores, included, delta), audit_gaussian(scores, included)
    return AuditOutcome(
        findings=(finding(bound, scenario.defences, stated), gaussian_finding(distance, scenario.defences, CANARIES, delta))
    )


def bits_to_draw(pool: Pool, guarded: Guarded) -> NDArray[np.bool_]:
    """Bits that canaries of the first partner are made of: bool [bits].

    With a row guard these are the listed ones that it supports without any canary, since a canary of others would say nothing.

    Raises:
        DataError: There is none.
    """
    bits = (guarded.listed & guarded.supports[0])[: pool.bits] & held_bits(pool)
    if not bits.any():
        raise DataError("no fingerprint bit is listed, so no canary can be made", "lower privacy.row_guard or use more data")
    return bits


@dataclass(frozen=True)
class Canaries:
    """Made-up compounds with made-up labels, m in all, drawn before anybody tosses which of them are trained on.

    Attributes:
        x_indptr, x_indices: Fingerprints, CSR, int64 [m + 1] and int32, ascending bits.
        labels: As many of each.
    """

    x_indptr: NDArray[np.int64]
    x_indices: NDArray[np.int32]
    labels: Labels


@dataclass(frozen=True)
class Bound:
    """What the guesses show.

    Attributes:
        epsilon: Lower bound, at 95 % confidence.
        correct, guesses, canaries: Right guesses, all of them, and canaries.
    """

    epsilon: float
    correct: int
    guesses: int
    canaries: int


def canaries(bits: NDArray[np.bool_], tasks: int, count: int, size: int, labels: int, generator: np.random.Generator) -> Canaries:
    """Random combinations of bits, such as no molecule has, with coin-tossed labels in random tasks.

    Args:
        bits: bool [bits], those to draw from, one at least.
        tasks: The partner's.
        count: Canaries.
        size: Bits of each, as many as a compound usually has; all there are if there are fewer.
        labels: Labels of each; at most `tasks` are given.
    """
    choice = np.flatnonzero(bits)
    size, labels = min(size, len(choice)), min(labels, tasks)
    drawn = [np.sort(generator.choice(choice, size, replace=False)) for _ in range(count)]
    measured = [np.sort(generator.choice(tasks, labels, replace=False)) for _ in range(count)]
    return Canaries(
        x_indptr=np.arange(count + 1, dtype=np.int64) * size,
        x_indices=np.concatenate(drawn).astype(np.int32),
        labels=Labels.exact(
            indptr=np.arange(count + 1, dtype=np.int64) * labels,
            tasks=np.concatenate(measured).astype(np.int32),
            values=generator.integers(0, 2, count * labels, dtype=np.uint8).astype(np.float32),
        ),
    )


def in_units(labels: Labels, dataset: Dataset) -> Labels:
    """Classes of tasks of values made values that are as usual there: the centre, and by the scale more or less."""
    classes = class_labels(replace(dataset, labels=labels))
    values = dataset.normalisation.in_units(labels.tasks, 2 * labels.values - 1)
    return replace(labels, values=np.where(classes, labels.values, values).astype(np.float32))


def with_canaries(dataset: Dataset, made: Canaries, included: NDArray[np.bool_], fold: int) -> Dataset:
    """The dataset with the canaries of `included`, bool [m], behind its compounds, in this fold; in memory, all else shared.

    `smiles`, the header and the counts of the task table do not know them.
    """
    chosen = np.flatnonzero(included)
    x_indptr, positions = csr_positions(made.x_indptr, chosen)
    return replace(
        dataset,
        folds=np.concatenate([dataset.folds, np.full(len(chosen), fold, dtype=np.uint8)]),
        x_indptr=np.concatenate([dataset.x_indptr, dataset.x_indptr[-1] + x_indptr[1:]]),
        x_indices=np.concatenate([dataset.x_indices, made.x_indices[positions]]),
        labels=dataset.labels.followed_by(made.labels.of(chosen)),
    )


def canary_scores(made: Canaries, rounds: Rounds) -> NDArray[np.float64]:
    """How much each canary looks trained on, from the trunks alone: movement and coherence over all rounds; float64 [m].

    Args:
        rounds: With all rows.
    """
    signals = trunk_signals(made.x_indptr, made.x_indices, rounds)
    return np.asarray(standardised(signals["movement_rounds"]) + standardised(signals["coherence_rounds"]), dtype=np.float64)


def head_scores(made: Canaries, own: Dataset, slots: NDArray[np.int32], config: Config, rounds: Rounds) -> NDArray[np.float64]:
    """How much each canary looks trained on by the shared heads that have its labels: float64 [m], 0 where there are none.

    Args:
        own: The dataset of whose tasks the labels are.
        slots: The shared head that each task has a part in, -1 without: int32 [tasks].
    """
    count = len(made.x_indptr) - 1
    if not (slots >= 0).any():
        return np.zeros(count)
    alone = replace(own, folds=np.zeros(count, np.uint8), x_indptr=made.x_indptr, x_indices=made.x_indices, labels=made.labels)
    labels = SharedLabels.of([in_common_units(alone, slots, catalogue_of(config))], [slots])
    signals = head_signals(labels, count, [alone], rounds)
    return np.asarray(standardised(signals["shared_confidence"]) + standardised(signals["shared_pull"]), dtype=np.float64)


def audit(scores: NDArray[np.floating], included: NDArray[np.bool_], delta: float, shares: Sequence[float] = GUESSED) -> Bound:
    """The best lower bound over several numbers of guesses, each at a confidence raised so that all hold together (Bonferroni).

    Args:
        scores: Higher for canaries that look trained on, [m]; equal ones are taken in order, which says nothing of `included`.
        included: bool [m], by a fair coin each, independently.
        delta: Of the guarantee.
        shares: Of the canaries to guess at, half of them the highest as trained on, half the lowest as not; the others are passed over.
    """
    confidence, count = 1 - (1 - CONFIDENCE) / len(shares), len(scores)
    bounds = [
        Bound(epsilon_lower_bound(correct, guesses, count, delta, confidence), correct, guesses, count)
        for correct, guesses in guessed(scores, included, shares)
    ]
    return max(bounds, key=lambda bound: bound.epsilon)


def guessed(scores: NDArray[np.floating], included: NDArray[np.bool_], shares: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Right guesses and all of them, for each share of the canaries that are guessed at; arguments as in `audit`."""
    order, count = np.argsort(-scores, kind="stable"), len(scores)
    for share in shares:
        half = int(count * share) // 2
        yield int(included[order[:half]].sum() + (~included[order[count - half :]]).sum()), 2 * half


def audit_gaussian(scores: NDArray[np.floating], included: NDArray[np.bool_], shares: Sequence[float] = GUESSED) -> float:
    """The best lower bound of the distance mu of Gaussian differential privacy over several numbers of guesses, as in `audit`."""
    level = (1 - CONFIDENCE) / len(shares)
    return max(gaussian_lower_bound(*each, len(scores), level) for each in guessed(scores, included, shares))


def epsilon_lower_bound(correct: int, guesses: int, canaries: int, delta: float = 0.0, confidence: float = CONFIDENCE) -> float:
    """The largest epsilon so that no (epsilon, delta)-private training gives that many right guesses with 1 - `confidence` or more.

    0 where the guesses show nothing; at most 50. The number of guesses must not depend on which are right.
    """
    low, high = 0.0, LARGEST
    if p_value(correct, guesses, canaries, low, delta) > 1 - confidence:
        return low
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(correct, guesses, canaries, middle, delta) <= 1 - confidence else (low, middle)
    return low


def p_value(correct: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """The most likely that (epsilon, delta)-private training makes that many right guesses, or more.

    With W binomial of `guesses` trials with chance e^epsilon / (1 + e^epsilon) each, and v right guesses:
    P[W >= v] + delta * canaries * max over i of (2 / i) P[v > W >= v - i].

    Args:
        correct, guesses, canaries: 0 <= correct <= guesses <= canaries.
        epsilon, delta: 0 or more.
    Source: Theorem 5.2.
    """
    if not 0 <= correct <= guesses <= canaries:
        raise ValueError(f"{correct} right of {guesses} guesses at {canaries} canaries")
    chance = float(expit(epsilon))
    value = float(betainc(correct, guesses - correct + 1, chance)) if correct > 0 else 1.0  # P[W >= v], faster than binom.sf
    if delta > 0 and correct > 0:
        below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, chance))
        value += delta * canaries * float((2 * below / np.arange(1, correct + 1)).max())
    return min(value, 1.0)


def finding(bound: Bound, defences: str, stated: float | None) -> Finding:
    """The bound, which must not exceed the stated epsilon; only told where none is stated.

    `upper` is what the same guesses would show at best, were no confidence asked for in that direction: logit of the upper limit of
    their accuracy.
    """
    accuracy = rate(bound.correct, bound.guesses)
    upper = max(bound.epsilon, min(float(logit(accuracy.upper)), LARGEST))
    return Finding(
        name="canary_epsilon",
        attack="canaries",
        adversary="partner",
        defences=defences,
        what="Epsilon that the training has at least, as far as made-up compounds show, at 95 % confidence.",
        chance=0.0,
        gate=stated,
        note=f"{bound.correct:,} of {bound.guesses:,} guesses at {bound.canaries:,} canaries are right; a better attack may show more",
        **asdict(Estimate(bound.epsilon, bound.epsilon, upper, bound.canaries)),
    )


def gaussian_finding(mu: float, defences: str, canaries: int, delta: float) -> Finding:
    """What the guesses refute of Gaussian differential privacy; told beside the epsilon, without a gate: no such curve is promised."""
    return Finding(
        name="canary_gaussian",
        attack="canaries, by the whole curve",
        adversary="partner",
        defences=defences,
        what="Distance of two normal curves, in standard deviations, that are told apart as well as trainings with and without a compound.",
        chance=0.0,
        gate=None,
        note=f"If noise were Gaussian: epsilon {epsilon_of(mu, delta):.2f} at delta {delta:g}, at least, at 95 % confidence.",
        **asdict(Estimate(mu, mu, FARTHEST, canaries)),
    )
