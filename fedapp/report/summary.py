"""From what a run saved to the figures of its report."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from fedapp.evaluation.arms import CHOOSING, CLASSIFICATION, FEDERATED, KINDS, LOCAL, METRICS, POOLED, REGRESSION, column
from fedapp.evaluation.selection import selected_rounds
from fedapp.report.counted_tasks import NO_TEST, NOT_TESTED, count_only, every_task, tested_tasks, uncounted_tasks
from fedapp.report.kind_summary import KindSummary, as_int, summarise_kind
from fedapp.report.saved_run import SavedRun

ROUNDS_SHOWN = (LOCAL, FEDERATED, POOLED)  # arms whose chosen round the page tells


@dataclass(frozen=True)
class PartnerSummary:
    """What a partner holds, and arm to the round that it selected; what is unknown is None."""

    name: str
    compounds: int | None
    tasks: int | None
    labels: int | None
    selected: Mapping[str, int | None]


@dataclass(frozen=True)
class Summary:
    """What the report says in numbers.

    Attributes:
        compares: Whether it can be told what the federation gains over training alone.
        kinds: Kind of task to what is said of its tasks; a kind without a task that counts has no figures.
        uncounted: partner, task, group, threshold, kind, unit, positives, negatives, exact (test fold), reason.
        tasks: Every task, by partner and number: partner, task, group, threshold, kind, unit, labels (all folds), positives, negatives,
            exact, censored (test fold), then <arm>_<metric> of the metrics of its kind, and the reason why it does not count, null where
            it does.
        selected: Arm to partner to the round that its validation fold chose.
    """

    compares: bool
    kinds: Mapping[str, KindSummary]
    uncounted: pl.DataFrame
    tasks: pl.DataFrame
    selected: Mapping[str, Mapping[str, int]]
    partners: tuple[PartnerSummary, ...]

    @property
    def classes(self) -> KindSummary:
        """Of tasks of classes."""
        return self.kinds[CLASSIFICATION]

    @property
    def values(self) -> KindSummary:
        """Of tasks of values."""
        return self.kinds[REGRESSION]

    @property
    def counted(self) -> int:
        """How many tasks count."""
        return sum(len(kind.tasks) for kind in self.kinds.values())

    def mean(self, arm: str, metric: str) -> float | None:
        """A mean over the tasks that count; None where no task has it."""
        return next((kind.arms[arm][metric] for kind in self.kinds.values() if metric in kind.arms.get(arm, {})), None)

    @property
    def shown(self) -> list[KindSummary]:
        """The kinds of which any task counts."""
        return [kind for kind in self.kinds.values() if len(kind.tasks)]


def summarise(run: SavedRun) -> Summary:
    """Everything the page shows in figures, from the arms that were compared, else from the federated arm alone."""
    minimum, comparison = run.minimum, run.comparison
    selected = {arm: selected_rounds(saved.metrics, minimum) for arm, saved in run.arms.items()}
    tested = tested_tasks(run, selected.get(FEDERATED, {}))
    key = ["partner", "task"]
    if comparison is None:
        table = tested.rename({metric: column(FEDERATED, metric) for metric in METRICS})
    else:
        known = tested.with_columns(pl.col("task").cast(comparison.tasks.schema["task"]))
        facts = [name for name in ("labels", "unit", "kind") if name not in comparison.tasks.columns]
        table = comparison.tasks.join(known.select(*key, *facts), on=key, how="left", maintain_order="left")
    counted = {kind: count_only(table, minimum, CHOOSING[kind]) for kind in KINDS}
    shares = pl.col("positives") / (pl.col("positives") + pl.col("negatives"))
    counted[CLASSIFICATION] = counted[CLASSIFICATION].with_columns(shares.alias("prevalence"))
    every = pl.concat(counted.values(), how="diagonal_relaxed")
    uncounted = uncounted_tasks(tested, every, minimum, selected.get(FEDERATED, {}), NOT_TESTED if run.tested else NO_TEST)
    kinds = {kind: summarise_kind(kind, tasks, comparison, run.partners) for kind, tasks in counted.items()}
    return Summary(
        compares=any(kind.gain is not None for kind in kinds.values()),
        kinds=kinds,
        uncounted=uncounted,
        tasks=every_task(tested, every, uncounted, None if comparison is None else comparison.tasks),
        selected=selected_by_arm(run, selected),
        partners=tuple(partner_summary(name, run, selected) for name in run.partners),
    )


def selected_by_arm(run: SavedRun, computed: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Arm to partner to selected round: the comparison's own where it tells, else by the same rule from the metrics."""
    saved = {} if run.comparison is None else run.comparison.selected
    chosen: dict[str, dict[str, int]] = {}
    for partner, arms in saved.items():
        for arm, number in arms.items():
            chosen.setdefault(arm, {})[partner] = int(number)
    return {arm: chosen.get(arm) or dict(rounds) for arm, rounds in computed.items()}


def partner_summary(name: str, run: SavedRun, selected: Mapping[str, Mapping[str, int]]) -> PartnerSummary:
    """One partner's row."""
    dataset = run.datasets.get(name, {})
    chosen = {} if run.comparison is None else run.comparison.selected.get(name, {})
    rounds = {arm: as_int(chosen.get(arm, selected.get(arm, {}).get(POOLED if arm == POOLED else name))) for arm in ROUNDS_SHOWN}
    return PartnerSummary(name, as_int(dataset.get("compounds")), as_int(dataset.get("tasks")), as_int(dataset.get("labels")), rounds)
