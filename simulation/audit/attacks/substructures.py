"""Which substructures occur together in the others' compounds, and which act alike: what pairs of rows tell a partner.

A row of the first layer moves by the sum of what the compounds that hold its bit send back. Rows whose bits the same compounds hold
therefore move alike, and so do rows whose bits raise, or lower, the activity in the same assays. The attacker takes its own words off the
sum of every round and compares what is left, row by row.

Chance is not a coin. Chemistry says much of which bits occur together, and the attacker's own compounds and assays say it for nothing; so
figures stand beside what these say. One control needs no chemistry: a random half of the compounds is trained on, so pairs of bits that
occur together only in this half and pairs that do only in the other differ in nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fedapp.data.dataset import Dataset
from simulation.audit.findings import AuditOutcome, Finding
from simulation.audit.other_rows import moved_bits, others_updates
from simulation.audit.pool import Pool
from simulation.audit.row_pairs import (
    FEWEST_PAIRS,
    Judged,
    chemistry,
    cosines,
    every_pair,
    holders,
    judged,
    likeness,
    together,
    without_common,
)
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.signals import standardised
from simulation.audit.statistics import CONFIDENCE, DRAWS, Estimate

ROWS = 1000  # that are compared
LEAST = 5  # labelled compounds with a bit, and as many without, for its effect in an assay
FEWEST_BITS, FEWEST_ASSAYS = 10, 5  # with an effect, for an assay to be asked about; assays for a figure
ASKED, MOST_ALIKE = 1000, 0.9  # pairs of an assay; where its most alike tenth begins
UNKNOWN, NO_MORE = Estimate(nan, 0.0, 1.0, 0), Estimate(nan, -1.0, 1.0, 0)


def attack(scenario: Scenario) -> AuditOutcome:
    """Co-occurrence of bits in others' compounds, and the direction in which pairs of bits act there."""
    moved = moved_bits(scenario.pool, scenario.target)
    return AuditOutcome(findings=(*cooccurrence(scenario, moved), *directions(scenario, moved)))


def finding(scenario: Scenario, name: str, attack: str, what: str, estimate: Estimate, chance: float, note: str) -> Finding:
    """A figure that is told without a gate: what all partners' compounds have in common is what they train together for."""
    return Finding(
        name=name,
        attack=attack,
        adversary="partner",
        defences=scenario.defences,
        what=what,
        chance=chance,
        note=note,
        **asdict(estimate),
    )


# Which bits occur together


def cooccurrence(scenario: Scenario, moved: NDArray[np.int64]) -> list[Finding]:
    """Whether a compound of the others that was trained on holds both bits of a pair: of all pairs; of those that no compound of the
    attacker's own holds; and, as a control, of those that only one half of the others' compounds holds.

    Args:
        moved: Bits whose rows others moved, ascending.
    """
    pool, target, generator = scenario.pool, scenario.target, scenario.generator
    bits = np.sort(generator.permutation(moved)[:ROWS])
    if len(bits) < 2:
        return [*beyond(scenario, "co-occurring rows", None), in_one_half(scenario, None)]
    ends, own = every_pair(len(bits)), pool.owners == ATTACKER
    trained, left_out = (together(pool, bits, ~own & half)[ends] > 0 for half in (target.members, ~target.members))
    at_home = together(pool, bits, own)
    sums, known = likeness(others_updates(pool, target, bits), ends), chemistry(at_home, ends)
    scores = [standardised(known + sums / 2), known, sums]
    return [
        *beyond(scenario, "co-occurring rows", judged(scores, trained, np.ones_like(trained), ends, generator)),
        *beyond(scenario, "co-occurring rows, never together at home", judged(scores, trained, at_home[ends] == 0, ends, generator)),
        in_one_half(scenario, judged([sums], trained, trained ^ left_out, ends, generator)),
    ]


def beyond(scenario: Scenario, attack: str, found: Judged | None) -> list[Finding]:
    """How well sums and one's own chemistry tell pairs together, beside chemistry alone, and by how much better.

    Args:
        attack: Its name in the report.
        found: Of both together, of chemistry, and of sums; None if there were too few pairs.
    """
    tell = partial(finding, scenario, "cooccurrence")
    what = "Chance that two substructures that some compound of the others holds together are told from two that none does (AUC)."
    more = "By how much the sums make that chance better than the attacker's own compounds do alone."
    if found is None:
        note = f"Not tried: there are fewer than {FEWEST_PAIRS} pairs of a kind."
        return [tell(attack, what, UNKNOWN, 0.5, note), tell(f"{attack}, beyond chemistry", more, NO_MORE, 0.0, note)]
    note = f"Chance is what the attacker's own compounds say. The sums alone: {found.values[2]:.3f}."
    return [
        tell(attack, what, found.of(0), found.values[1], note),
        tell(f"{attack}, beyond chemistry", more, found.difference(0, 1), 0.0, "Of the AUC; 0 if the sums tell nothing new."),
    ]


def in_one_half(scenario: Scenario, found: Judged | None) -> Finding:
    """Pairs that occur together in trained compounds alone, told from pairs that do in left out ones alone."""
    what = "Chance that two substructures that only compounds trained on hold together are told from two that only left out ones do (AUC)."
    tell = partial(finding, scenario, "cooccurrence", "co-occurring rows, trained against left out", what)
    if found is None:
        return tell(UNKNOWN, 0.5, f"Not tried: there are fewer than {FEWEST_PAIRS} pairs of a kind.")
    return tell(found.of(0), 0.5, "From the sums alone: chemistry is the same on both sides, for the halves are random.")


# Which bits act alike


@dataclass(frozen=True)
class Answers:
    """Of the assays asked about, n in all: how often the sums, and one's own assays, are right of whether two bits act alike.

    Attributes:
        partners: int64 [n], whose assay it is.
        right, most_alike: float64 [n, 2], of all pairs, and of the tenth that looks most alike: share right by the sums, and by one's own.
        alike: float64 [n], share of pairs that do act alike.
    """

    partners: NDArray[np.int64]
    right: NDArray[np.float64]
    most_alike: NDArray[np.float64]
    alike: NDArray[np.float64]


def directions(scenario: Scenario, moved: NDArray[np.int64]) -> list[Finding]:
    """Whether two bits both raise, or both lower, the activity in an assay of another partner: share right by the sums, with what one's
    own assays say as chance.

    The truth is of one assay and two bits that enough of its trained compounds hold: the sign of the product of their effects, an effect
    being the mean label of compounds with the bit less that of those without. Guessed is the sign of the cosine of both rows' changes
    over all rounds, less the mean row; or, at home, that of the products of effects in one's own assays.
    """
    pool, target, generator = scenario.pool, scenario.target, scenario.generator
    others = holders(pool, moved)[np.flatnonzero((pool.owners != ATTACKER) & target.members)].sum(axis=0)
    bits = np.sort(generator.permutation(moved[others >= LEAST])[:ROWS])
    answers = asked(scenario, bits) if len(bits) >= FEWEST_BITS else None
    if answers is None or len(answers.partners) < FEWEST_ASSAYS:
        return directions_untold(scenario)
    return directions_told(scenario, answers)


def asked(scenario: Scenario, bits: NDArray[np.int64]) -> Answers:
    """Up to `ASKED` pairs of each assay of each other partner, guessed by the sums and by one's own assays."""
    pool, target, generator = scenario.pool, scenario.target, scenario.generator
    own, *others = (effects(*each) for each in zip(pool.datasets.values(), held_by_each(pool, bits), insides(scenario), strict=True))
    known = np.array([effect for effect in own if effect.any()]).reshape(-1, len(bits))
    guesses = acting_alike(others_updates(pool, target, bits)), known.T @ known
    told = [(partner, *each) for partner, assays in enumerate(others, 1) for each in answers_of(assays, guesses, generator)]
    partners, right, most_alike, alike = zip(*told, strict=True) if told else ((), (), (), ())
    return Answers(np.array(partners, dtype=np.int64), *(np.array(each, dtype=np.float64) for each in (right, most_alike, alike)))


def held_by_each(pool: Pool, bits: NDArray[np.int64]) -> list[csr_array]:
    """Which compounds of each partner hold which of these bits."""
    held, last = holders(pool, bits), np.cumsum([len(dataset.folds) for dataset in pool.datasets.values()])
    return [held[end - len(dataset.folds) : end] for end, dataset in zip(last.tolist(), pool.datasets.values(), strict=True)]


def insides(scenario: Scenario) -> list[NDArray[np.bool_]]:
    """Which compounds of each partner count: those that were trained on, and all of the attacker's own."""
    return scenario.pool.split(scenario.target.members | (scenario.pool.owners == ATTACKER))


def effects(dataset: Dataset, held: csr_array, inside: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """Of each assay the mean label of compounds that hold a bit less that of the others; 0 where either are fewer than `LEAST`.

    Of an assay's tasks that one counts whose labels are divided most evenly.

    Args:
        held: float32 [compounds, bits].
        inside: bool [compounds], which of them count.
    """
    labels, names = dataset.labels, dataset.tasks["group"].to_list()
    owners, chosen = labels.owners, inside[labels.owners]
    best: dict[str, tuple[int, NDArray[np.int64], NDArray[np.float32]]] = {}
    for task, name in enumerate(names):
        compounds, values = (each[chosen & (labels.tasks == task)] for each in (owners, labels.values))
        above = int((values > values.mean()).sum()) if len(values) else 0
        best[name] = max(
            best.get(name, (0, compounds, values)), (min(above, len(values) - above), compounds, values), key=lambda each: each[0]
        )
    for _, compounds, values in best.values():
        yield mean_differences(held[compounds], values.astype(np.float64))


def mean_differences(held: csr_array, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the values with each bit less the mean of those without it; 0 where either are fewer than `LEAST`: float64 [bits]."""
    count, total = np.asarray(held.sum(axis=0), dtype=np.float64), held.T @ values
    without = len(values) - count
    difference = total / np.maximum(count, 1) - (values.sum() - total) / np.maximum(without, 1)
    return np.where((count >= LEAST) & (without >= LEAST), difference, 0.0)


def acting_alike(updates: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Above 0 for two rows that go the same way, beside the way that rows have most in common: float64 [rows, rows].

    Cosines of what was added up over all rounds, and of each round by itself.
    """
    whole = cosines(without_common(np.sum(updates, axis=0), 1))
    return np.asarray(whole + sum(cosines(without_common(update, 1)) for update in updates) / len(updates), dtype=np.float64)


def answers_of(
    assays: Iterator[NDArray[np.float64]], guesses: Sequence[NDArray[np.float64]], generator: np.random.Generator
) -> Iterator[tuple[list[float], list[float], float]]:
    """Share right of all pairs asked about and of the most alike, one figure a guess, and how many act alike; of each assay."""
    for effect in assays:
        known = np.flatnonzero(effect)
        if len(known) >= FEWEST_BITS:
            ends = every_pair(len(known))
            pairs = generator.permutation(len(ends[0]))[:ASKED]
            one, other = (known[places[pairs]] for places in ends)
            truth = np.sign(effect[one] * effect[other])
            said = [guess[one, other] for guess in guesses]
            yield [right(each, truth) for each in said], [right_of_most_alike(each, truth) for each in said], float((truth > 0).mean())


def right(said: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share of pairs whose sign is said right; to say nothing is right half of the time."""
    return float(np.where(said == 0, 0.5, np.sign(said) == truth).mean())


def right_of_most_alike(said: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Share that does act alike, of the tenth that is said to be most alike; of more if the last are equal."""
    return float((truth[said >= np.quantile(said, MOST_ALIKE)] > 0).mean())


def mean_of(values: NDArray[np.float64], generator: np.random.Generator, looks: int = 1) -> Estimate:
    """Mean over assays with the middle 95 % of resamples of assays; of several `looks` of which the greatest is told, wider ones."""
    draws = values[generator.integers(len(values), size=(DRAWS, len(values)))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2 / looks
    lower, upper = np.quantile(draws, [tail, 1 - tail])
    return Estimate(float(values.mean()), float(lower), float(upper), len(values))


OF_ALL = "How often it is told rightly whether two substructures both raise, or both lower, activity in an assay of another partner."
OF_ALIKE = "Share of the most alike tenth of pairs of substructures that do raise, or lower, activity in an assay of another partner both."
OF_ONE = "The same share for the assays of the one partner of which most is told."
MORE = "By how much the sums are right more often than the attacker's own assays."


def directions_told(scenario: Scenario, answers: Answers) -> list[Finding]:
    """Figures of `directions`."""
    generator, tell = scenario.generator, partial(finding, scenario, "label_direction")
    of_each = {int(partner): answers.right[answers.partners == partner] for partner in np.unique(answers.partners)}
    of_many = [each for each in of_each.values() if len(each) >= FEWEST_ASSAYS]
    note = (
        f"{len(answers.partners)} assays of {len(of_each)} partners. Chance is what the attacker's own assays say; of all pairs "
        f"{answers.alike.mean():.1%} act alike."
    )
    found = [
        tell("directions of rows", OF_ALL, mean_of(answers.right[:, 0], generator), float(answers.right[:, 1].mean()), note),
        tell("directions of rows, beyond one's own assays", MORE, mean_of(answers.right @ [1.0, -1.0], generator), 0.0, note),
        tell(
            "directions of rows, most alike",
            OF_ALIKE,
            mean_of(answers.most_alike[:, 0], generator),
            float(answers.most_alike[:, 1].mean()),
            note,
        ),
    ]
    if of_many:
        worst = max(of_many, key=lambda each: float(each[:, 0].mean()))
        share, note = mean_of(worst[:, 0], generator, len(of_many)), f"The worst of {len(of_many)} partners."
        found.append(tell("directions of rows, one partner", OF_ONE, share, float(worst[:, 1].mean()), note))
    return found


def directions_untold(scenario: Scenario) -> list[Finding]:
    """The same where there is too little to ask about."""
    note = (
        f"Not tried: fewer than {FEWEST_ASSAYS} assays of others have {FEWEST_BITS} bits each with {LEAST} compounds, and {LEAST} without."
    )
    tell = partial(finding, scenario, "label_direction")
    return [
        tell("directions of rows", OF_ALL, UNKNOWN, 0.5, note),
        tell("directions of rows, beyond one's own assays", MORE, NO_MORE, 0.0, note),
        tell("directions of rows, most alike", OF_ALIKE, UNKNOWN, 0.5, note),
    ]
