"""Activities -> tasks of the kinds that are asked for: a group (an assay, or all assays of a target), for classes times a threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from fedapp.config import Tasks
from fedapp.data.notation import LABEL_UNIT, P_UNIT, PERCENT_UNIT
from fedapp.data.task_kinds import AUXILIARY, DEFAULTS, KIND, KINDS, TaskKind
from fedapp.errors import DataError
from fedapp.evaluation.arms import CLASSIFICATION, REGRESSION
from fedapp.evaluation.counting import enough

KEY = ["group", "threshold"]
UNDECIDED, UNUSED = "undecided", "unused"
COUNTS = ("positives", "negatives", "exact")  # columns that the quorum and a list of losses look at


@dataclass(frozen=True)
class TaskTable:
    """Tasks that passed the quorum and their labels.

    Attributes:
        tasks: task i32 (0 .. n - 1), group str, threshold f32 (null for 0/1 labels and values), weight f32, positives i32 and
            negatives i32 (null for values), kind str, unit str, auxiliary bool, exact i32 and censored i32 (null for classes), centre
            f32 and scale f32 (0 and 1 for classes); sorted by group, kind and threshold.
        labels: row i32 (of the prepared folder), task i32, value f32, censor i8; sorted by row and task; one per row and task.
        dropped: What gave no label, by reason: "unused" counts values of which no task is made, "undecided" values times thresholds,
            "tied" and "bounded on both sides" compounds times tasks, "below quorum" and "too few exact values" labels.
        offered: Of how many each.
        losses: The same for every group and threshold that lost some: group str, threshold f32, reason str, lost, positives,
            negatives i32; sorted by group, threshold and reason.
    """

    tasks: pl.DataFrame
    labels: pl.DataFrame
    dropped: dict[str, int]
    offered: dict[str, int]
    losses: pl.DataFrame


@dataclass(frozen=True)
class Candidates:
    """All tasks of one kind before the quorum: votes, labels, counts of `every` task, and of those that are `kept`."""

    kind: TaskKind
    votes: pl.DataFrame
    labels: pl.DataFrame
    every: pl.DataFrame
    kept: pl.DataFrame


def build_tasks(activities: pl.DataFrame, tasks: Tasks, owner: str, settings: pl.DataFrame | None = None) -> TaskTable:
    """Make all tasks of one partner.

    Args:
        activities: group str, row i32, relation, value f32, kind, as in a prepared folder.
        tasks: Kinds, thresholds and quorum; `group_by` has been applied by the caller.
        owner: Partner's name, for messages.
        settings: Each group's own, as `fedapp.data.assay_settings.group_settings` gives them; None means that none has any.
    Raises:
        DataError: No task has the quorum of its kind; it names the largest.
    """
    grid = thresholds_of_groups(activities, tasks.thresholds, settings)
    made = [candidates(KINDS[name], activities, grid, tasks.min_per_class) for name in KINDS if name in tasks.kinds]
    if all(each.kept.is_empty() for each in made):
        raise DataError(*explain_no_task(made, tasks, owner))
    unused = activities.filter(~pl.any_horizontal([each.kind.uses(grid) for each in made]))
    losses = pl.concat([lose(each) for each in made] + [lost(unused, UNUSED)])
    losses = losses.join(counts_of(made, "every"), on=[*KEY, KIND], how="left", nulls_equal=True)
    losses = losses.with_columns(pl.col("positives", "negatives").fill_null(0)).sort(*KEY, "reason")
    kept = numbered(counts_of(made, "kept"), activities, settings)
    every_label = pl.concat(each.labels.with_columns(pl.lit(each.kind.name).alias(KIND)) for each in made)
    chosen = every_label.join(kept.select("task", KIND, *KEY), on=[*KEY, KIND], nulls_equal=True)
    offered: dict[str, int] = {UNUSED: len(activities)} if len(unused) else {}
    for each in made:
        offered |= offers(each)
    return TaskTable(
        tasks=kept,
        labels=chosen.select("row", "task", "value", "censor").sort("row", "task"),
        dropped={reason: int(losses.filter(pl.col("reason") == reason)["lost"].sum()) for reason in offered},
        offered=offered,
        losses=losses.select(*KEY, "reason", "lost", "positives", "negatives"),
    )


def thresholds_of_groups(activities: pl.DataFrame, thresholds: Sequence[float], settings: pl.DataFrame | None) -> pl.DataFrame:
    """group, threshold (f32) of every group: its own thresholds, or those of the configuration, which are p-values, if its values are."""
    groups = activities.filter(pl.col("kind") != LABEL_UNIT).select("group", "kind").unique()
    common = pl.lit(np.unique(np.array(thresholds, dtype=np.float32)).tolist(), pl.List(pl.Float32))
    chosen: pl.Expr = pl.when(pl.col("kind") == P_UNIT).then(common)
    if settings is not None:
        groups = groups.join(settings.select("group", "thresholds"), on="group", how="left")
        chosen = pl.coalesce("thresholds", chosen)
    return groups.select("group", chosen.alias("threshold")).explode("threshold").drop_nulls().unique()


def candidates(kind: TaskKind, activities: pl.DataFrame, grid: pl.DataFrame, quorum: int) -> Candidates:
    """All tasks that could be made of activities."""
    votes = kind.vote(activities.filter(kind.uses(grid)), grid)
    labels = kind.settle(votes.drop_nulls("value"))
    every = kind.count(labels)
    absent = [pl.lit(None, pl.Int32).alias(name) for name in COUNTS if name not in every.columns]
    every = every.with_columns(*absent, pl.lit(kind.name).alias(KIND))
    return Candidates(kind, votes, labels, every, every.filter(enough(quorum)))


def counts_of(made: Sequence[Candidates], which: str) -> pl.DataFrame:
    """The counts of tasks of all kinds, one below the other."""
    return pl.concat([getattr(each, which) for each in made], how="diagonal")


def lose(each: Candidates) -> pl.DataFrame:
    """What gave no label, one row per group, threshold and reason: group, threshold, kind, reason, lost."""
    voted = each.votes.drop_nulls("value").unique([*KEY, "row"])
    few = each.labels.join(each.kept, on=KEY, how="anti", nulls_equal=True)
    parts = {
        UNDECIDED: each.votes.filter(pl.col("value").is_null()),
        each.kind.contradicted: voted.join(each.labels, on=[*KEY, "row"], how="anti", nulls_equal=True),
        each.kind.too_few: few,
    }
    return pl.concat(lost(part, reason, each.kind.name) for reason, part in parts.items())


def lost(rows: pl.DataFrame, reason: str, kind: str | None = None) -> pl.DataFrame:
    """How many rows of each group and threshold were lost."""
    if "threshold" not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.Float32).alias("threshold"))
    named = pl.lit(kind, pl.String).alias(KIND), pl.lit(reason).alias("reason")
    return rows.group_by(KEY).agg(pl.len().cast(pl.Int32).alias("lost")).select(*KEY, *named, "lost")


def offers(each: Candidates) -> dict[str, int]:
    """Of how many votes, compounds and labels of one kind some may be lost, by reason."""
    compounds = each.votes.drop_nulls("value").select(*KEY, "row").n_unique()
    decided = {UNDECIDED: len(each.votes)} if each.kind.name == CLASSIFICATION else {}
    return decided | {each.kind.contradicted: compounds, each.kind.too_few: len(each.labels)}


def numbered(kept: pl.DataFrame, activities: pl.DataFrame, settings: pl.DataFrame | None) -> pl.DataFrame:
    """Number the tasks; each weighs what its assays say, which the tasks of its kind in a group share."""
    units = activities.group_by("group").agg((pl.col("kind") == PERCENT_UNIT).any().alias("percent"))
    measured = pl.col("threshold").is_not_null() | (pl.col(KIND) == REGRESSION)
    unit = pl.when(~measured).then(pl.lit(LABEL_UNIT)).when("percent").then(pl.lit(PERCENT_UNIT)).otherwise(pl.lit(P_UNIT))
    kept = kept.sort("group", KIND, "threshold").with_row_index("task").join(units, on="group", how="left", maintain_order="left")
    own, auxiliary = pl.lit(1.0), pl.lit(False)
    if settings is not None:
        kept = kept.join(settings.select("group", "weight", AUXILIARY), on="group", how="left", maintain_order="left")
        own, auxiliary = pl.col("weight"), pl.col(AUXILIARY)
    absent = [DEFAULTS[name].alias(name) for name in ("censored", "centre", "scale") if name not in kept.columns]
    return kept.with_columns(absent).select(
        pl.col("task").cast(pl.Int32),
        "group",
        pl.col("threshold").cast(pl.Float32),
        (own / pl.len().over("group", KIND)).cast(pl.Float32).alias("weight"),
        "positives",
        "negatives",
        KIND,
        unit.alias("unit"),
        auxiliary.alias(AUXILIARY),
        "exact",
        "censored",
        pl.col("centre").fill_null(0.0),
        pl.col("scale").fill_null(1.0),
    )


def explain_no_task(made: Sequence[Candidates], tasks: Tasks, owner: str) -> tuple[str, str]:
    """Message and hint when the quorum leaves nothing."""
    least = tasks.min_per_class
    message = f"{owner}: " + "; ".join(each.kind.shortage(each.every, least) for each in made)
    if all(each.every.is_empty() for each in made):
        if [each.kind.name for each in made] == [REGRESSION]:
            return message, "no activity has a value with a unit: for 0/1 labels use tasks.kinds=[classification]"
        return message, f"no value decides a label at the thresholds {tasks.thresholds}"
    changes = ", change tasks.thresholds" if any(each.kind.name == CLASSIFICATION for each in made) else ""
    return message, f"lower tasks.min_per_class (now {least}){changes} or group more assays together with tasks.group_by"
