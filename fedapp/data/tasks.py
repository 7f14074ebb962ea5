"""Activities -> binary tasks: a group (an assay, or all assays of a target) times a threshold."""

from dataclasses import dataclass

import polars as pl

from fedapp.config import Tasks
from fedapp.data.task_kinds import BINARY
from fedapp.errors import DataError

KEY = ["group", "threshold"]
REASONS = UNDECIDED, TIED, BELOW_QUORUM = "undecided", "tied", "below quorum"


@dataclass(frozen=True)
class TaskTable:
    """Tasks that passed the quorum and their labels.

    Attributes:
        tasks: task i32 (0 .. n - 1), group str, threshold f32 (null for 0/1 labels), weight f32, positives i32, negatives i32;
            sorted by group and threshold.
        labels: row i32 (of the prepared folder), task i32, label u8; sorted by row and task; one per row and task.
        dropped: What gave no label, by reason: "undecided" counts values times thresholds, "tied" compounds times tasks,
            "below quorum" labels.
        offered: Of how many each.
        losses: The same for every group and threshold that lost some: group str, threshold f32, reason str, lost, positives,
            negatives i32; sorted by group, threshold and reason.
    """

    tasks: pl.DataFrame
    labels: pl.DataFrame
    dropped: dict[str, int]
    offered: dict[str, int]
    losses: pl.DataFrame


def build_tasks(activities: pl.DataFrame, tasks: Tasks, owner: str) -> TaskTable:
    """Make all tasks of one partner.

    Args:
        activities: group str, row i32, relation, value f32, kind, as in a prepared folder.
        tasks: Thresholds and quorum; `group_by` has been applied by the caller.
        owner: Partner's name, for messages.
    Raises:
        DataError: No task has `min_per_class` of each class; it names the largest.
    """
    votes = BINARY.vote(activities, tasks.thresholds)
    labels = BINARY.settle(votes.drop_nulls("label"))
    every = BINARY.count(labels)
    kept = every.filter((pl.col("positives") >= tasks.min_per_class) & (pl.col("negatives") >= tasks.min_per_class))
    if kept.is_empty():
        raise DataError(*explain_no_task(every, tasks, owner))
    losses = lose(votes, labels, every, kept)
    kept = number(kept)
    joined = labels.join(kept.select("task", "group", "threshold"), on=KEY, nulls_equal=True)
    chosen = joined.select("row", "task", "label").sort("row", "task")
    dropped = {reason: int(losses.filter(pl.col("reason") == reason)["lost"].sum()) for reason in REASONS}
    offered = {UNDECIDED: len(votes), TIED: len(labels) + dropped[TIED], BELOW_QUORUM: len(labels)}
    return TaskTable(kept, chosen, dropped, offered, losses)


def lose(votes: pl.DataFrame, labels: pl.DataFrame, every: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """What gave no label: one row per group, threshold and reason, as `TaskTable.losses`."""
    compounds = votes.drop_nulls("label").group_by(KEY).agg(pl.col("row").n_unique().alias("voted"))
    labelled = labels.group_by(KEY).agg(pl.len().alias("labelled"))
    tied = compounds.join(labelled, on=KEY, how="left", nulls_equal=True)
    parts = {
        UNDECIDED: votes.filter(pl.col("label").is_null()).group_by(KEY).agg(pl.len().alias("lost")),
        TIED: tied.select(*KEY, (pl.col("voted") - pl.col("labelled").fill_null(0)).alias("lost")).filter(pl.col("lost") > 0),
        BELOW_QUORUM: every.join(kept, on=KEY, how="anti", nulls_equal=True).select(
            *KEY, (pl.col("positives") + pl.col("negatives")).alias("lost")
        ),
    }
    losses = pl.concat(part.select(*KEY, pl.lit(reason).alias("reason"), pl.col("lost").cast(pl.Int32)) for reason, part in parts.items())
    counts = [pl.col(name).fill_null(0) for name in ("positives", "negatives")]
    return losses.join(every, on=KEY, how="left", nulls_equal=True).with_columns(counts).sort(*KEY, "reason")


def number(kept: pl.DataFrame) -> pl.DataFrame:
    """Number the tasks and give each the weight 1 / number of tasks that its group keeps."""
    kept = kept.sort("group", "threshold").with_row_index("task")
    weight = (1 / pl.len().over("group")).cast(pl.Float32).alias("weight")
    return kept.select(pl.col("task").cast(pl.Int32), "group", pl.col("threshold").cast(pl.Float32), weight, "positives", "negatives")


def explain_no_task(every: pl.DataFrame, tasks: Tasks, owner: str) -> tuple[str, str]:
    """Message and hint when the quorum leaves nothing."""
    least = tasks.min_per_class
    message = f"{owner}: none of {len(every)} tasks has {least} actives and {least} inactives"
    hint = f"lower tasks.min_per_class (now {least}), change tasks.thresholds or group more assays together with tasks.group_by"
    if every.is_empty():
        return message, f"no value decides a label at the thresholds {tasks.thresholds}"
    best = every.sort(pl.min_horizontal("positives", "negatives"), descending=True).row(0, named=True)
    at = "" if best["threshold"] is None else f" at {best['threshold']:.3g}"
    return f"{message}; the largest, {best['group']}{at}, has {best['positives']} and {best['negatives']}", hint
