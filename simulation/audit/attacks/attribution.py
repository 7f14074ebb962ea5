"""Whose compound is it? What partners find out about each other's compounds from the sums, their own updates and their own compounds.

Chemistry alone tells: partners work on different targets, so a compound resembles its owner's other compounds whether it was trained
on or not. Chance is therefore the same attack on compounds of the same partners that were *not* trained on, and a figure is the
difference between the two. Where all partners but one attack together, there is nothing to measure: a sum less all updates but one is
that one, and no secure aggregation can prevent it.

Heads are private, so what a partner's compounds send back into the first layer lies in directions of its own. The attacks compare
directions by squared cosine, since actives and inactives of one task point opposite ways.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.cluster.vq import kmeans2

from simulation.audit.findings import CONTROL, OFF, ON, AuditOutcome, Finding
from simulation.audit.ownership import Case, TooFewError, draw
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.statistics import Estimate, newcombe
from strategies.update.leakage import twin_groups

LEVEL = 0.05
LAST_ROUNDS = 5  # that are attacked with the defences off
GATED = 3  # figures that are judged, for the confidence of each
MOST_GROUPS, PERMUTATIONS = 2000, 1000


def attack(scenario: Scenario) -> AuditOutcome:
    """Whose compound it is: from the sums, from what is left of the last one without the attacker's own, and, as a control, in the
    clear. With the defences off the last rounds are enough to show that it works."""
    pool, target, defences, generator = scenario.pool, scenario.target, scenario.defences, scenario.generator
    assert target.updates is not None
    case = Case.of(pool, target.members, (ATTACKER,), defences)
    first = 0 if defences == ON else -LAST_ROUNDS
    before, means = ([arrays[0] for arrays in kept[first:]] for kept in (target.trunks[:-1], target.means))
    own = target.updates[ATTACKER] / np.float32(len(target.updates))
    sums, others = list(steps(before, means)), steps(before[-1:], [means[-1] - own])
    groups = [twin_groups(mean, trunk) for mean, trunk in zip(means, before, strict=True)]
    findings = [
        from_sums(case, sums, generator, looks=GATED),
        from_sums(case, others, generator, attack="source inference without one's own", looks=GATED),
        from_groups(case, sums, groups, generator, looks=GATED),
    ]
    if defences == OFF:
        findings.append(from_updates(Case.of(pool, target.members, (), defences), target.updates, generator))
    return AuditOutcome(findings=tuple(findings))


# Ways to guess


def from_sums(
    case: Case,
    updates: Iterable[NDArray[np.float32]],
    generator: np.random.Generator,
    *,
    attack: str = "source inference",
    looks: int = 1,
) -> Finding:
    """Compare a compound's direction in every round with those of known compounds; guess the partner that it is most alike.

    Args:
        updates: As `steps` gives them, of the whole sum or less the insiders' own.
        attack: Its name in the report.
        looks: Gated figures that share one level of 5 % (Bonferroni).
    Returns:
        Where there are too few compounds to guess at, a figure that is not a number.
    """
    what = "How much more often the right partner is named for compounds that were trained on than for its other compounds."
    try:
        anchors, targets = draw(case, generator)
    except TooFewError as error:
        return case.finding(attack, what, Estimate(nan, -1.0, 1.0, 0), f"Not tried: {error}.")
    scores = np.zeros((len(targets), len(case.others)))
    for update in updates:
        scores += likeness(case, anchors, targets, update)
    inside, outside = right(case, targets, scores, generator)
    note = (
        f"Right for {in_words(inside)} trained on and {in_words(outside)} others: what chemistry alone tells. The attacker is given a "
        "quarter of every other partner's trained compounds, a strong assumption."
    )
    difference = inside[0] / inside[1] - outside[0] / outside[1]
    return case.finding(attack, what, Estimate(difference, *newcombe(*inside, *outside, LEVEL / looks), len(targets)), note)


def from_updates(case: Case, updates: NDArray[np.float32], generator: np.random.Generator) -> Finding:
    """Control: each update is in the clear, as under plain averaging, and the one that moved all bits of a compound most is its owner's.

    A row that did not move is of a bit that no compound of that partner holds.

    Args:
        updates: First layer, [partners, bits, hidden].
    Returns:
        How often the guess is right for compounds that were trained on; chance is that for the others.
    """
    attack = "source inference from separate updates"
    what = "How often the right partner is named for compounds that were trained on, from every partner's own update."
    try:
        _, targets = draw(case, generator)
    except TooFewError as error:
        nothing = case.finding(attack, what, Estimate(nan, 0.0, 1.0, 0), f"Not tried: {error}.")
        return replace(nothing, adversary="coordinator", defences=CONTROL, gate=None)
    moved = np.log(np.linalg.norm(updates[case.others], axis=2) + 1e-9)
    inside, outside = right(case, targets, case.fingerprints[targets] @ moved.T, generator)
    limits = stats.binomtest(*inside).proportion_ci(1 - LEVEL)
    share = Estimate(inside[0] / inside[1], limits.low, limits.high, inside[1])
    finding = case.finding(attack, what, share, "Plain averaging: no masks.")
    return replace(finding, adversary="coordinator", defences=CONTROL, chance=outside[0] / outside[1], gate=None)


def from_groups(
    case: Case,
    updates: Iterable[NDArray[np.float32]],
    groups: Sequence[Sequence[NDArray[np.integer]]],
    generator: np.random.Generator,
    *,
    looks: int = 1,
) -> Finding:
    """Twin rows that were found in half of the rounds or more, put together by their common directions, one cluster a partner.

    A figure is purity, the share of groups whose cluster is mostly their owner's, less that of owners dealt out at random. The idea of
    grouping what was recovered is SRATTA's (Marchand et al., ICML 2023, arXiv 2306.07644).

    Args:
        updates: As `steps` gives them.
        groups: Each round's groups of rows, as `strategies.update.leakage.twin_groups` finds them.
        looks: As in `from_sums`.
    """
    twins = lasting(groups)
    owners = np.array([owner_of(case, rows) for rows in twins], dtype=np.int64)
    kept = generator.permutation(np.flatnonzero(np.isin(owners, case.others)))[:MOST_GROUPS]
    attack, what = "grouping of twin rows", "How much more often groups of rows are put with others of their owner than by chance."
    note = f"Of {len(twins)} groups found, {len(kept)} are of one other partner alone."
    if len(kept) <= len(case.others):
        return case.finding(attack, what, Estimate(0.0, 0.0, 0.0, len(kept)), f"{note} There is nothing to attribute.")
    clusters = clustered(alike(updates, [twins[place] for place in kept]), len(case.others), generator)
    value = purity(clusters, owners[kept])
    null = np.array([purity(clusters, generator.permutation(owners[kept])) for _ in range(PERMUTATIONS)])
    low, high = np.quantile(null, [LEVEL / looks / 2, 1 - LEVEL / looks / 2])
    note += f" Purity {value:.3f}, at random {null.mean():.3f}; the interval is of {PERMUTATIONS} permutations."
    excess = Estimate(value - float(null.mean()), value - float(high), value - float(low), len(kept))
    return case.finding(attack, what, excess, note)


# Their parts


def steps(before: Iterable[NDArray[np.float32]], means: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """What data did to the first layer in each round: [bits, hidden].

    Adam makes full steps out of weight decay alone wherever a compound sends nothing back, which hides what rows have in common. Weight
    decay only ever goes towards zero, so coordinates that went there are left out.

    Args:
        before: The first layer before each round.
        means: Its mean update in that round, or what is left of it without some partners' own.
    """
    for weights, mean in zip(before, means, strict=True):
        yield np.where(mean * weights < 0, np.float32(0), mean)


def likeness(case: Case, anchors: NDArray[np.int64], targets: NDArray[np.int64], update: NDArray[np.float32]) -> NDArray[np.floating]:
    """Mean squared cosine of each target with the anchors of each other partner: [targets, others].

    A compound's direction is the mean of the rows of its bits, less what is expected of any compound. A bit counts the less the more
    of the others' compounds hold it: the row of a rare one is mostly this compound's own doing.
    """
    everybody = case.fingerprints[np.flatnonzero(np.isin(case.owners, case.others))]
    rarity = (1 / np.maximum(everybody.sum(axis=0), 1)).astype(np.float32)
    asked = case.fingerprints[np.concatenate([anchors, targets])] * rarity
    rows = asked @ update / np.maximum(asked.sum(axis=1), 1e-12)[:, None]
    known, unknown = np.split(unit(rows - rows.mean(axis=0)), [len(anchors)])
    squared = (unknown @ known.T) ** 2
    return np.stack([squared[:, case.owners[anchors] == partner].mean(axis=1) for partner in case.others], axis=1)


def right(case: Case, targets: NDArray[np.int64], scores: NDArray[np.floating], generator: np.random.Generator) -> list[tuple[int, int]]:
    """Right guesses, and how many there were, of targets that were trained on and of others. Equal scores are guessed among."""
    best = scores == scores.max(axis=1, keepdims=True)
    guessed = np.array(case.others)[np.argmax(best * (1 - generator.random(scores.shape)), axis=1)]
    hits, trained = guessed == case.owners[targets], case.members[targets]
    return [(int(hits[trained == inside].sum()), int((trained == inside).sum())) for inside in (True, False)]


def in_words(counts: tuple[int, int]) -> str:
    """A share of compounds in words."""
    return f"{counts[0] / counts[1]:.1%} of {counts[1]}"


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Vectors of length 1; those of length 0 stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def lasting(groups: Sequence[Sequence[NDArray[np.integer]]]) -> list[NDArray[np.int64]]:
    """Groups of the same rows in half of the rounds or more."""
    seen = Counter(tuple(sorted(rows.tolist())) for twins in groups for rows in twins)
    return [np.array(rows, dtype=np.int64) for rows, times in seen.items() if 2 * times >= len(groups)]


def owner_of(case: Case, rows: NDArray[np.int64]) -> int:
    """The partner of every trained compound that holds all these bits; -1 if it is several partners, or no compound."""
    holds_all = case.fingerprints[:, rows].sum(axis=1) == len(rows)
    owners = np.unique(case.owners[holds_all & case.members])
    return int(owners[0]) if len(owners) == 1 else -1


def alike(updates: Iterable[NDArray[np.float32]], groups: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Squared cosines of groups' mean rows, added up over rounds: [groups, groups]."""
    total = np.zeros((len(groups), len(groups)))
    for update in updates:
        directions = unit(np.stack([update[rows].mean(axis=0) for rows in groups]))
        total += (directions @ directions.T) ** 2
    return total


def clustered(likeness: NDArray[np.float64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Spectral clustering (Ng, Jordan, Weiss, NIPS 2001) of what is alike: int64 [groups], 0 to count - 1."""
    affinity = likeness - np.diag(np.diag(likeness))
    scale = 1 / np.sqrt(np.maximum(affinity.sum(axis=1), 1e-12))
    _, vectors = np.linalg.eigh(affinity * scale[:, None] * scale)
    _, clusters = kmeans2(unit(vectors[:, -count:]), count, minit="++", seed=generator)
    return np.asarray(clusters, dtype=np.int64)


def purity(clusters: NDArray[np.int64], owners: NDArray[np.int64]) -> float:
    """Share of groups that belong to the owner that is commonest in their cluster."""
    table = np.bincount(clusters * (owners.max() + 1) + owners, minlength=(clusters.max() + 1) * (owners.max() + 1))
    return float(table.reshape(clusters.max() + 1, -1).max(axis=1).sum() / len(owners))
