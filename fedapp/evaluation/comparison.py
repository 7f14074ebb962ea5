"""The figures of a comparison, from what every arm says of the same labels.

Labels are one table: partner, fold, row, task, value, censor, and a column of outputs named after each arm. From them follows a table with
one row a task (columns as `fedapp.evaluation.arms.column` names them), and from both all means, gains and what they hang on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.evaluation.arms import (
    ARMS,
    AUC_PR,
    BASES,
    BCE,
    CALIBRATION_ERROR,
    CHOOSING,
    CLASS_METRICS,
    CLASSIFICATION,
    COMBINED,
    CONFORMAL,
    COUNTS,
    EPSILONS,
    FEDERATED,
    LOCAL,
    MERGED,
    METRICS,
    POOLED,
    R2,
    SPEARMAN,
    UNGUARDED,
    column,
)
from fedapp.evaluation.calibration import expected_calibration_error
from fedapp.evaluation.conformal import conformal_figures, conformal_sets
from fedapp.evaluation.intervals import Interval, mean_interval
from fedapp.evaluation.scores import LABEL, metrics_of
from fedapp.evaluation.selection import TEST, VALIDATION

# Name -> the arm whose AUC-PR is looked at, and the one that it is held against.
DIFFERENCES = {
    "gain": (FEDERATED, LOCAL),
    "pooled_gain": (POOLED, LOCAL),
    "unguarded_gain": (UNGUARDED, LOCAL),
    "guard_effect": (FEDERATED, UNGUARDED),
}


def differences(columns: Collection[str]) -> list[pl.Expr]:
    """Those of `DIFFERENCES` for which a table has both arms, under their names."""
    return [
        (pl.col(column(more)) - pl.col(column(less))).alias(name)
        for name, (more, less) in DIFFERENCES.items()
        if {column(more), column(less)} <= set(columns)
    ]


def riptop(arm: str) -> pl.Expr:
    """Relative improvement of proximity to perfection (RIPtoP): the part of what `LOCAL` lacks of 1 that an arm gains; null if nothing."""
    local = pl.col(column(LOCAL))
    return pl.when(local < 1).then((pl.col(column(arm)) - local) / (1 - local))


def arms_in(columns: Collection[str]) -> list[str]:
    """The arms of which a table of tasks, or one of labels, has columns."""
    return [arm for arm in ARMS if {arm, column(arm)} & set(columns)]


def task_metrics_of_arms(labels: pl.DataFrame, kinds: Mapping[Any, NDArray[np.bool_]]) -> pl.DataFrame:
    """One row for each of a partner's tasks, on the test fold: task, `COUNTS`, then of each arm `METRICS` and `CONFORMAL`.

    Conformal sets are calibrated on the validation fold, which also chose the round and the combination: their coverage may fall short
    of what it should be by as much as that choice fits the fold.

    Args:
        labels: Of one partner.
        kinds: As `metrics_of` takes them.
    """
    table: pl.DataFrame | None = None
    classes = next((own for kind, own in kinds.items() if kind.name == CLASSIFICATION), np.zeros(0, dtype=np.bool_))
    for arm in arms_in(labels.columns):
        scores = labels.select(*LABEL, "value", "censor", pl.col(arm).alias("output"))
        metrics = metrics_of(scores, kinds, folds=[TEST])
        if table is None:
            table = metrics.select("task", *COUNTS)
        own = metrics.select("task", *(pl.col(name).alias(column(arm, name)) for name in METRICS))
        conformal = _conformal(arm, scores, classes)
        table = table.join(own, on="task", maintain_order="left").join(conformal, on="task", how="left", maintain_order="left")
    if table is None:
        raise ValueError("labels without an arm")
    return table


def _conformal(arm: str, scores: pl.DataFrame, classes: NDArray[np.bool_]) -> pl.DataFrame:
    """task, and `CONFORMAL` of each task of classes: null without a label in the test fold."""
    own = np.flatnonzero(classes)
    known, new = (scores.filter(pl.col("fold") == fold, pl.col("task").is_in(own.tolist())) for fold in (VALIDATION, TEST))
    tasks, values, outputs = (known[name].to_numpy() for name in ("task", "value", "output"))
    new_tasks, new_values, new_outputs = (new[name].to_numpy() for name in ("task", "value", "output"))
    figures: list[np.ndarray] = []
    for epsilon in EPSILONS:
        sets = conformal_sets(tasks, values, outputs, new_tasks, new_outputs, epsilon)
        figures += conformal_figures(sets, new_values, new_tasks, len(classes))
    columns = {column(arm, name): figure[own] for name, figure in zip(CONFORMAL, figures, strict=True)}
    return pl.DataFrame({"task": own.astype(np.int32)} | columns).fill_nan(None)


def figures(table: pl.DataFrame, labels: pl.DataFrame | None = None) -> dict[str, Any]:
    """Means over the tasks of a table that has each of `METRICS` for the arms that were compared.

    Args:
        table: The tasks that count.
        labels: Of these tasks or more; without them there is no calibration error.
    Returns:
        Per arm those of `METRICS` that some task has ("auc_pr", "auc_roc", "bce" of classes) and `CONFORMAL`, means over tasks, and
        "calibration_error", over labels; "pooled_gain_share", the federated gain in AUC-PR over the pooled one, null if pooling gains
        nothing; "row_guard_effect", the federated AUC-PR minus the unguarded one, null without that arm; "tasks"; "share_improved" and
        "riptop_mean", "riptop_median" of federated against local.
    """
    arms = arms_in(table.columns)
    of_arms: dict[str, Any] = {arm: arm_figures(table, arm, labels) for arm in arms}
    local, federated, pooled = (of_arms[arm][AUC_PR] for arm in (LOCAL, FEDERATED, POOLED))
    defined, classes = table["riptop"].drop_nulls().to_numpy(), local is not None
    both = table.drop_nulls([column(FEDERATED), column(LOCAL)])
    return of_arms | {
        "pooled_gain_share": (federated - local) / (pooled - local) if classes and pooled > local else None,
        "row_guard_effect": federated - of_arms[UNGUARDED][AUC_PR] if classes and UNGUARDED in arms else None,
        "tasks": len(table),
        "share_improved": mean((both[column(FEDERATED)] > both[column(LOCAL)]).cast(pl.Float64)),
        "riptop_mean": mean(table["riptop"]),
        "riptop_median": float(np.median(defined)) if len(defined) else None,
    }


def arm_figures(table: pl.DataFrame, arm: str, labels: pl.DataFrame | None) -> dict[str, float | None]:
    """Mean metrics of one arm, and its calibration error on the test labels of the table's tasks."""
    every = {name: mean(table[column(arm, name)]) for name in (*METRICS, *CONFORMAL) if column(arm, name) in table.columns}
    means = {name: value for name, value in every.items() if value is not None or name in CLASS_METRICS}
    if labels is None:
        return means
    classes = table.filter(pl.col(column(arm, BCE)).is_not_null()).select("partner", "task")
    tested = labels.filter(pl.col("fold") == TEST).join(classes, on=["partner", "task"], how="semi")
    return means | {CALIBRATION_ERROR: expected_calibration_error(tested["value"].to_numpy(), tested[arm].to_numpy())}


def gains(table: pl.DataFrame) -> dict[str, Any]:
    """What the arms gain over one another, with 95 % bootstrap intervals over tasks.

    Returns:
        "gain", {"value", "low", "high"} of combined over local as a difference of mean AUC-PR, and "gain_ratio" as the ratio of both means;
        "value_gain", such differences by "spearman" and "r2" of tasks of values; "gains", difference and ratio in AUC-PR of every arm
        against each of `BASES`, {base: {arm: {"difference", "ratio"}}}; "merged_gain_share", as `merged_gain_share` says. What no task
        has is null.
    """
    arms = arms_in(table.columns)
    every = {
        base: {arm: {"difference": difference(table, arm, base), "ratio": ratio(table, arm, base)} for arm in arms if arm != base}
        for base in BASES
        if base in arms
    }
    return {
        "gain": difference(table, COMBINED, LOCAL),
        "gain_ratio": ratio(table, COMBINED, LOCAL),
        "value_gain": {name: difference(table, COMBINED, LOCAL, name) for name in (SPEARMAN, R2)},
        "gains": every,
        "merged_gain_share": merged_gain_share(table),
    }


def merged_gain_share(table: pl.DataFrame) -> dict[str, float | None] | None:
    """How much of what a trusted third party would gain the combined arm does: its gain in AUC-PR over local by the merged one's.

    Returns:
        value, low and high; None if merging gains nothing, and no bounds unless its whole interval lies above zero: a share of what may be
        nothing has none.
    """
    gain, whole = (pl.col(column(arm)) - pl.col(column(LOCAL)) for arm in (COMBINED, MERGED))
    if not table.select((gain * whole).is_not_null().any()).item():
        return None
    merged, share = mean_interval(table, whole), mean_interval(table, gain, over=whole)
    if merged.value <= 0:
        return None
    return asdict(share if merged.sign > 0 else Interval(share.value))


def difference(table: pl.DataFrame, arm: str, base: str, metric: str = AUC_PR) -> dict[str, float | None] | None:
    """How much higher the mean of one arm is than that of another: value, low and high; None if no task has the metric."""
    both = pl.col(column(arm, metric)) - pl.col(column(base, metric))
    return asdict(mean_interval(table, both)) if table.select(both.is_not_null().any()).item() else None


def ratio(table: pl.DataFrame, arm: str, base: str) -> dict[str, float | None] | None:
    """How many times as high the mean AUC-PR of one arm is as that of another: value, low and high; None if no task has one."""
    above, below = column(arm), column(base)
    return (
        asdict(mean_interval(table, above, over=below))
        if table.select((pl.col(above) * pl.col(below)).is_not_null().any()).item()
        else None
    )


def breakdown(kind: str, name: str, parts: Sequence[tuple[pl.DataFrame, pl.DataFrame, float, float]]) -> pl.DataFrame:
    """Figures of every arm in each part of the tasks or labels of one kind: columns of `BREAKDOWN`.

    Args:
        kind: Of the tasks; their gain over local is in the metric that chooses rounds for it.
        name: By what the parts differ.
        parts: The tasks that count there, their labels, and the least and the most there of what they differ by.
    """
    metric = CHOOSING[kind]
    rows = [
        {"kind": kind, "by": name, "part": number, "least": least, "most": most, "tasks": len(table), "arm": arm}
        | arm_figures(table, arm, labels)
        | {f"gain_{key}": value for key, value in ((difference(table, arm, LOCAL, metric) or {}) if arm != LOCAL else {}).items()}
        for number, (table, labels, least, most) in enumerate(parts)
        for arm in arms_in(table.columns)
    ]
    return pl.DataFrame(rows, schema=BREAKDOWN)


BREAKDOWN = {
    "kind": pl.String,
    "by": pl.String,
    "part": pl.Int32,
    "least": pl.Float64,
    "most": pl.Float64,
    "tasks": pl.Int32,
    "arm": pl.String,
} | dict.fromkeys((*METRICS, *CONFORMAL, CALIBRATION_ERROR, "gain_value", "gain_low", "gain_high"), pl.Float64)


def mean(values: pl.Series) -> float | None:
    """Mean of the defined values, None without any."""
    defined = values.drop_nulls().to_numpy()
    return float(defined.mean()) if len(defined) else None
