"""What rows of the trunk tell a receiver of the sum: which bits were trained, and which candidates those spell out.

The adversary has a list of candidates, here every structure of the pool, trained on or not, and knows how the defence works: which rows
are listed, and that a listed row has at least `least` holders. Nobody outside has so short a list; a longer one only makes guesses worse.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from fedapp.data.csr import csr_positions
from simulation.audit.federations import Trial
from simulation.audit.findings import ON, AuditOutcome, Finding, Recovered
from simulation.audit.pool import Pool
from simulation.audit.regression import EXPLAINED
from simulation.audit.scenario import Scenario
from simulation.audit.statistics import GuessScores, at_most, measured, rate
from strategies.update.leakage import Library, identify, present_rows, twins_within

IDENTIFIED_GATE, MEMBERSHIP_GATE, JUDGED_AT = 0.001, 0.003, 0.001
SHOWN = 6


@dataclass(frozen=True)
class RowsView:
    """An update that an adversary holds: of which round, the change of the first layer [bits, width], and that layer before it."""

    title: str
    update: NDArray[np.float32]
    before: NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """Candidates, one for each structure of the pool, n in all.

    Attributes:
        library: Their full fingerprints.
        members: bool [n], trained on.
        judged: bool [n], that the adversary does not know of already.
        copies: int64 [n], compounds with that structure.
        rows: int64 [n], one of them, by its number in the pool.
        least: int64 [bits], fewest compounds that hold a row of the update: 1 without a row guard.
    """

    library: Library
    members: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    copies: NDArray[np.int64]
    rows: NDArray[np.int64]
    least: NDArray[np.int64]

    @staticmethod
    def of(pool: Pool, trial: Trial, row_guard: int = 0, least_supporters: int = 1, adversary: int | None = None) -> "Target":
        """Structures of the pool; of an adversary that has taken its own update off the sum, those of all other partners.

        Args:
            row_guard, least_supporters: The trial's own. So many compounds hold a row at each partner that sends it, and so many partners
                send it: others than the adversary, unless it sends the row itself.
            adversary: Number of a partner.
        """
        others = np.flatnonzero(pool.owners != (-1 if adversary is None else adversary))
        structures, first, copies = np.unique(pool.structures[others], return_index=True, return_counts=True)
        rows = others[first]
        known = pool.structures[:0] if adversary is None else pool.structures[pool.owners == adversary]
        indptr, positions = csr_positions(pool.indptr, rows)
        library = Library(indptr, pool.indices[positions], pool.bits)
        least = np.full(pool.bits, least_supporters * row_guard if row_guard > 1 else 1)
        if adversary is not None and row_guard > 1:
            least -= row_guard * trial.supports[adversary]
        return Target(library, trial.members[rows], ~np.isin(structures, known), copies, rows, least)


def attack(scenario: Scenario) -> AuditOutcome:
    """Every attack by rows on the target, and regression on all trials; if the target's updates are kept, partners' own are taken off the
    last sum, too."""
    pool, trial, defences = scenario.pool, scenario.target, scenario.defences
    target = Target.of(pool, trial, scenario.row_guard, scenario.least_supporters)
    sums = list(views(trial, defences))
    named = {view.title: named_by_twins(view, target.library, trial.listed) for view in sums}
    worst = max(named, key=lambda title: int(target.members[named[title]].sum()))
    present = present_rows(sums[0].update) & trial.listed
    findings = [
        bits_finding(present, target, defences),
        union_finding(present, trial.listed, target, defences),
        identified("identified_by_rows", "twin rows", named[worst], target, defences, f"Worst of {len(sums)} updates: {worst}."),
        identified("identified_by_elimination", "last candidate left", last_left(present, trial.listed, target), target, defences),
        regression_finding(scenario),
    ]
    if trial.updates is not None:
        findings += without_own(scenario)
    return AuditOutcome(findings=tuple(findings), recovered=recovered(named[worst], pool, target, defences))


def without_own(scenario: Scenario) -> list[Finding]:
    """Twin rows and elimination on the last sum minus the adversary's own update; of all partners as adversaries the worst."""
    trial, defences = scenario.target, scenario.defences
    assert trial.updates is not None
    total, before = trial.updates.sum(axis=0), trial.trunks[-2][0]
    twins, left = [], []
    for adversary, update in enumerate(trial.updates):
        target = Target.of(scenario.pool, trial, scenario.row_guard, scenario.least_supporters, adversary)
        view = RowsView("others", total - update, before)
        note = f"Worst of {len(trial.updates)} partners, which take their own update off the last sum."
        named, present = named_by_twins(view, target.library, trial.listed), present_rows(view.update) & trial.listed
        twins.append(identified("identified_by_rows", "twin rows of the others", named, target, defences, note))
        forced = last_left(present, trial.listed, target)
        left.append(identified("identified_by_elimination", "last candidate left of the others", forced, target, defences, note))
    return [max(findings, key=lambda finding: finding.value) for findings in (twins, left)]


def views(trial: Trial, defences: str) -> Iterator[RowsView]:
    """The mean update of each round, last first, and the change over all rounds; with the defences off the last round and all of them are
    enough to show that an attack works."""
    first = [arrays[0] for arrays in trial.trunks]
    for number in range(len(first) - 1, 0 if defences == ON else len(first) - 2, -1):
        yield RowsView(f"round {number}", trial.means[number - 1][0], first[number - 1])
    if len(first) > 2:
        yield RowsView("all rounds", first[-1] - first[0], first[0])


def named_by_twins(view: RowsView, library: Library, listed: NDArray[np.bool_]) -> list[int]:
    """Candidates that twin rows name."""
    return list(identify(twins_within(view.update, library, listed, view.before), library, listed))


def without_absent(present: NDArray[np.bool_], listed: NDArray[np.bool_], library: Library) -> NDArray[np.bool_]:
    """Candidates none of whose listed bits is absent, the union test: bool [n]."""
    absent = listed & ~present
    return np.asarray(np.bincount(library.owner, weights=absent[library.indices], minlength=len(library.indptr) - 1) == 0)


def last_left(present: NDArray[np.bool_], listed: NDArray[np.bool_], target: Target) -> list[int]:
    """Candidates that must have been trained on, since a row's possible holders, all together, are no more than it needs.

    Never wrong for a list that holds everybody's compounds. Absent rows rule candidates out, but not with a row guard: a partner with too
    few holders of a bit leaves its row out.
    """
    library = target.library
    left = without_absent(present, listed, library) if target.least.max() == 1 else np.ones(len(target.rows), dtype=np.bool_)
    holders = np.bincount(library.indices, weights=(left * target.copies)[library.owner], minlength=library.bits)
    forced = present & listed & (holders <= target.least)
    return sorted(set(library.owner[forced[library.indices] & left[library.owner]].tolist()))


def bits_finding(present: NDArray[np.bool_], target: Target, defences: str) -> Finding:
    """How many of the bits that compounds trained on hold have a row in the last update."""
    library = target.library
    trained = np.zeros(library.bits, dtype=np.bool_)
    trained[library.indices[target.members[library.owner]]] = True
    shown = int((present & trained).sum())
    precision = rate(shown, int(present.sum()))
    return Finding(
        name="bits_present",
        attack="present rows",
        adversary="partner",
        defences=defences,
        what="Share of the bits of compounds trained on that the sum shows.",
        chance=float(trained.sum() / max(int((library.counts > 0).sum()), 1)),
        note=f"Of the rows that changed, {precision.value:.1%} belong to such a bit; of all bits of the list, as many as chance says.",
        **asdict(rate(shown, int(trained.sum()))),
    )


def union_finding(present: NDArray[np.bool_], listed: NDArray[np.bool_], target: Target, defences: str) -> Finding:
    """The union test: a candidate all of whose listed bits changed is taken for one that was trained on."""
    claimed = without_absent(present, listed, target.library)
    true = rate(int(claimed[target.members].sum()), int(target.members.sum()))
    false = rate(int(claimed[~target.members].sum()), int((~target.members).sum()))
    return Finding(
        name="membership_by_union",
        attack="union of present rows",
        adversary="partner",
        defences=defences,
        what="Share of compounds trained on whose bits are all present; the chance is the share among the others.",
        chance=float(false.value),
        **asdict(true),
    )


def identified(name: str, attack: str, named: list[int], target: Target, defences: str, note: str = "") -> Finding:
    """Of the compounds trained on, those that an attack names."""
    chosen = np.zeros(len(target.rows), dtype=np.bool_)
    chosen[named] = True
    chosen &= target.judged
    right, members = int((chosen & target.members).sum()), int((target.judged & target.members).sum())
    wrong, others = int((chosen & ~target.members).sum()), int((target.judged & ~target.members).sum())
    return Finding(
        name=name,
        attack=attack,
        adversary="partner",
        defences=defences,
        what="Share of compounds trained on that a list of candidates and the rows of the sum name one by one.",
        chance=float(wrong / max(others, 1)),
        gate=IDENTIFIED_GATE,
        judged="upper",
        note=f"{note} {wrong} of {others} compounds that were not trained on were named too.".strip(),
        **asdict(at_most(rate(right, members), right)),
    )


def regression_finding(scenario: Scenario) -> Finding:
    """Membership guessed from how much of the updates of all rounds a candidate explains, in all trials."""
    pool, trials = scenario.pool, scenario.trials
    structures, first = np.unique(pool.structures, return_index=True)
    scores = np.stack([trial.signals[EXPLAINED][first] for trial in trials])
    members = np.stack([trial.members[first] for trial in trials])
    scored = GuessScores(scores.ravel(), members.ravel(), np.tile(structures, len(trials)))
    (judged,), area = measured(scored, (JUDGED_AT,), scenario.generator)
    return Finding(
        name="membership_by_regression",
        attack="regression on candidates",
        adversary="partner",
        defences=scenario.defences,
        what="Share of compounds trained on that a regression of the rows on a list of candidates finds at 0.1 % false positives.",
        chance=float(max(JUDGED_AT, 1 / (int((~members).sum()) + 1))),
        gate=MEMBERSHIP_GATE,
        note=f"AUC {area.value:.3f}. The list holds no compound that is in nobody's pool: a real list is longer, and explains less.",
        **asdict(judged),
    )


def recovered(named: list[int], pool: Pool, target: Target, defences: str) -> tuple[Recovered, ...]:
    """The first few compounds that were named rightly."""
    names = list(pool.datasets)
    right = [int(target.rows[candidate]) for candidate in sorted(named) if target.members[candidate]][:SHOWN]
    return tuple(Recovered("twin rows", defences, pool.smiles[row], pool.smiles[row], 1.0, names[pool.owners[row]]) for row in right)
