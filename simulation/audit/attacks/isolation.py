"""Whose rows are they? Rows that a partner can lay at one other's door: by the number of supporters, by rows that move alike, by drop-outs.

All partners know how many support each listed row, and each knows whether it does itself. What is left of a row that one other partner
supports is that one's own: no secure aggregation can prevent it, and so many supporters are asked for that there is none. Rows of several
are sums; they may still be linked, and whoever drops out of a round takes its part of them away.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import nan

import numpy as np
from numpy.typing import NDArray

from simulation.audit.attacks.attribution import LEVEL, PERMUTATIONS, clustered
from simulation.audit.findings import AuditOutcome, Finding
from simulation.audit.other_rows import moved_bits, others_updates
from simulation.audit.row_pairs import cosines, holders, together, unit
from simulation.audit.scenario import ATTACKER, Scenario
from simulation.audit.signals import standardised
from simulation.audit.statistics import DRAWS, Estimate, GuessScores, measured, rate

ROWS = 1000  # that are compared
TINY = 1e-9  # added to the length of a row
FEWEST = 20  # rows, for a figure of rows of several partners
NOTHING = Estimate(0.0, 0.0, 0.0, 0)
UNKNOWN = Estimate(nan, 0.0, 1.0, 0)
NOT_BY_DEFAULT = (
    "Of rounds whose cohort changes, which federation.min_partners: null does not allow; a row list that is made anew without the partner "
    "tells all of its rows by their counts."
)


@dataclass(frozen=True)
class OthersRows:
    """Rows that others moved, n in all.

    Attributes:
        bits: int64 [n], ascending.
        owners: bool [others, n], which other partners have compounds enough behind a row: its supporters, or, without a row guard, all
            whose trained compounds hold the bit.
        by_counts: Whether the row list tells of each row how many they are.
    """

    bits: NDArray[np.int64]
    owners: NDArray[np.bool_]
    by_counts: bool

    @classmethod
    def of(cls, scenario: Scenario) -> "OthersRows":
        """Of the target."""
        pool, target, guarded = scenario.pool, scenario.target, scenario.row_guard > 1
        bits = moved_bits(pool, target)
        owners = target.supports[:, bits] if guarded else held_by(scenario, bits)
        return cls(bits, np.delete(owners, ATTACKER, axis=0), guarded)

    @property
    def count(self) -> NDArray[np.int64]:
        """Other partners behind each row: int64 [n]."""
        return np.asarray(self.owners.sum(axis=0))

    def of_rows(self, chosen: NDArray[np.integer]) -> "OthersRows":
        """Rows at these places."""
        return OthersRows(self.bits[chosen], self.owners[:, chosen], self.by_counts)


def held_by(scenario: Scenario, bits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which partners' trained compounds hold which bits: bool [partners, bits]."""
    pool, members = scenario.pool, scenario.target.members
    held = holders(pool, bits)
    mine = [np.flatnonzero(members & (pool.owners == partner)) for partner in range(len(pool.datasets))]
    return np.stack([np.asarray(held[rows].sum(axis=0)) > 0 for rows in mine])


def attack(scenario: Scenario) -> AuditOutcome:
    """Rows of one other partner, rows that are linked, and rows of a partner that drops out."""
    rows = OthersRows.of(scenario)
    return AuditOutcome(
        findings=(of_one(scenario, rows), linked(scenario, rows), linked_of_several(scenario, rows), dropped(scenario, rows))
    )


def finding(
    scenario: Scenario, attack: str, what: str, estimate: Estimate, note: str, chance: float = 0.0, gate: float | None = None
) -> Finding:
    """A figure of one of the ways; a gate is at chance."""
    return Finding(
        name="isolated_rows",
        attack=attack,
        adversary="partner",
        defences=scenario.defences,
        what=what,
        chance=chance,
        gate=gate,
        judged="lower",
        note=note,
        **asdict(estimate),
    )


# Rows of one other partner


def of_one(scenario: Scenario, rows: OthersRows) -> Finding:
    """Rows behind which there is one other partner: what is left of them without the attacker's own words is that one's update."""
    one, two = (int((rows.count == count).sum()) for count in (1, 2))
    note = f"Of {len(rows.bits):,} rows, {two:,} are two other partners'."
    note += " The number of supporters tells which." if rows.by_counts else " Without a row list nobody is told which."
    what = "Share of the others' rows in the sum that one other partner alone is behind, and that whoever takes its own off sees bare."
    return finding(scenario, "rows of one other partner", what, replace(rate(one, len(rows.bits)), finest=0.0), note, gate=0.0)


def linked(scenario: Scenario, rows: OthersRows) -> Finding:
    """Rows of one other partner, put together by how they move: purity of the clusters less that of owners dealt out at random."""
    generator, others = scenario.generator, len(rows.owners)
    chosen = rows.of_rows(np.sort(generator.permutation(np.flatnonzero(rows.count == 1))[:ROWS]))
    tell = partial(
        finding, scenario, "linking of rows", "How much more often rows of one other partner are put with others of its own than by chance."
    )
    if others < 2 or len(chosen.bits) <= others:
        return tell(NOTHING, f"{len(chosen.bits)} rows are one other partner's, of {others}: there is nothing to tell apart.", gate=0.0)
    clusters = clustered(moving_alike(others_updates(scenario.pool, scenario.target, chosen.bits)), others, generator)
    value, null = purity(clusters, chosen.owners), dealt_out(clusters, chosen.owners, generator)
    low, high = np.quantile(null, [LEVEL / 2, 1 - LEVEL / 2])
    note = f"Purity {value:.3f}, at random {null.mean():.3f}; the interval is of {PERMUTATIONS} permutations."
    return tell(Estimate(value - float(null.mean()), value - float(high), value - float(low), len(chosen.bits)), note, gate=0.0)


def linked_of_several(scenario: Scenario, rows: OthersRows) -> Finding:
    """The same of rows of few partners, up to half of the others or two, but not of all: a row counts where its cluster's partner is one
    of them. Chance is what clusters by one's own chemistry give; no gate, since so many stand behind each row that none is one's own."""
    pool, generator, others = scenario.pool, scenario.generator, len(rows.owners)
    few = (rows.count > 0) & (rows.count <= max(2, others // 2)) & (rows.count < others)
    chosen = rows.of_rows(np.sort(generator.permutation(np.flatnonzero(few))[:ROWS]))
    what = "How often a row of few other partners is put with rows of one of them, as clusters by movement have it."
    tell = partial(finding, scenario, "linking of rows of few partners", what)
    if others < 2 or len(chosen.bits) < max(FEWEST, others + 1):
        return tell(UNKNOWN, f"Not tried: {len(chosen.bits)} rows are of few other partners, of {others}.")
    at_home = cosines(together(pool, chosen.bits, pool.owners == ATTACKER)).astype(np.float64)
    clusters, by_chemistry = (
        clustered(alike, others, generator) for alike in (moving_alike(others_updates(pool, scenario.target, chosen.bits)), at_home)
    )
    null = dealt_out(clusters, chosen.owners, generator)
    draws = generator.integers(len(chosen.bits), size=(DRAWS, len(chosen.bits)))
    low, high = np.quantile([purity(clusters[drawn], chosen.owners[:, drawn]) for drawn in draws], [LEVEL / 2, 1 - LEVEL / 2])
    value = purity(clusters, chosen.owners)
    estimate = Estimate(value, min(value, float(low)), max(value, float(high)), len(chosen.bits))
    note = f"Chance is what the attacker's own compounds say; supporters dealt out at random give {null.mean():.3f}."
    return tell(estimate, note, purity(by_chemistry, chosen.owners))


def moving_alike(updates: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Squared cosines of rows less their mean, added up over rounds: [rows, rows]. Each partner's private heads have directions of their
    own, and its actives and inactives pull opposite ways."""
    total = np.zeros((len(updates[0]), len(updates[0])))
    for update in updates:
        total += cosines(update - update.mean(axis=0)) ** 2
    return total


def purity(clusters: NDArray[np.int64], owners: NDArray[np.bool_]) -> float:
    """Share of rows of which that partner is an owner who owns most of their cluster.

    Args:
        clusters: int64 [rows].
        owners: bool [partners, rows].
    """
    counts = np.stack([np.bincount(clusters, mine, minlength=int(clusters.max()) + 1) for mine in owners])
    return float(counts.max(axis=0).sum() / len(clusters))


def dealt_out(clusters: NDArray[np.int64], owners: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.float64]:
    """Purity of the same clusters if rows' owners are dealt out at random, so many times."""
    return np.array([purity(clusters, owners[:, generator.permutation(len(clusters))]) for _ in range(PERMUTATIONS)])


# Rows of a partner that drops out


def dropped(scenario: Scenario, rows: OthersRows) -> Finding:
    """Rows of a partner, told by how they change between the last two rounds if it is missing in the last; of each other in turn."""
    pool, target, generator = scenario.pool, scenario.target, scenario.generator
    what = "Chance that a row of the partner that drops out of a round is told from a row that is not its own (AUC)."
    tell = partial(finding, scenario, "rows of a partner that drops out", what)
    chosen = rows.of_rows(np.sort(generator.permutation(len(rows.bits))[:ROWS]))
    if len(rows.owners) < 2 or len(target.means) < 2 or chosen.owners.all() or not chosen.owners.any():
        return tell(UNKNOWN, "Not tried: it takes two rounds, two other partners, and rows that not all of them have.", 0.5)
    assert target.updates is not None
    before, last = others_updates(pool, target, chosen.bits)[-2:]
    partners = np.float32(len(pool.datasets))
    missing = [last - update[chosen.bits] / partners for update in np.delete(target.updates, ATTACKER, axis=0)]
    scores, control = np.stack([change(before, each) for each in missing]), np.tile(change(before, last), (len(missing), 1))
    told, usual = (
        measured(GuessScores(each.ravel(), chosen.owners.ravel(), np.tile(chosen.bits, len(missing))), (), generator)[1]
        for each in (scores, control)
    )
    return tell(told, f"{NOT_BY_DEFAULT} Chance is what the same change says where nobody is missing.", usual.value)


def change(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much shorter each row became, and how far it turned, among all rows: float64 [rows]."""
    shorter, turned = -np.log((norms(after) + TINY) / (norms(before) + TINY)), -(unit(before) * unit(after)).sum(axis=1)
    return np.asarray(standardised(shorter.astype(np.float64)) + standardised(turned.astype(np.float64)))


def norms(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lengths of rows."""
    return np.asarray(np.linalg.norm(rows, axis=1))
