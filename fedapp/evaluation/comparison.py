"""The figures of a comparison, from a table with one row a task: columns as `fedapp.evaluation.arms.column` names them, and `riptop`."""

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import ARMS, AUC_PR, CLASS_METRICS, FEDERATED, LOCAL, METRICS, POOLED, UNGUARDED, column

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


def figures(table: pl.DataFrame) -> dict[str, Any]:
    """Means over the tasks of a table that has each of `METRICS` for the arms that were compared.

    Returns:
        Per arm {"auc_pr", "auc_roc", "bce"} and, with tasks of values, {"r2", "spearman", "rmse", "censored_rmse"}, means over the tasks
        that have them; "pooled_gain_share", the federated gain in AUC-PR over the pooled one,
        null if pooling gains nothing; "row_guard_effect", the federated AUC-PR minus the unguarded one, null without that arm; "tasks";
        "share_improved" and "riptop_mean", "riptop_median" of federated against local.
    """
    arms = [arm for arm in ARMS if column(arm) in table.columns]
    columns = {metric: [column(arm, metric) for arm in arms if column(arm, metric) in table.columns] for metric in METRICS}
    known = {metric for metric, names in columns.items() if any(table[name].is_not_null().any() for name in names)}
    measured = [metric for metric in METRICS if metric in CLASS_METRICS or metric in known]
    of_arms: dict[str, Any] = {arm: {metric: mean(table[column(arm, metric)]) for metric in measured} for arm in arms}
    local, federated, pooled = (of_arms[arm][AUC_PR] for arm in (LOCAL, FEDERATED, POOLED))
    gains = None if local is None else (federated - local, pooled - local)
    classes = table.drop_nulls([column(FEDERATED), column(LOCAL)])
    defined = table["riptop"].drop_nulls().to_numpy()
    return of_arms | {
        "pooled_gain_share": gains[0] / gains[1] if gains and gains[1] > 0 else None,
        "row_guard_effect": federated - of_arms[UNGUARDED][AUC_PR] if gains and UNGUARDED in arms else None,
        "tasks": len(table),
        "share_improved": mean((classes[column(FEDERATED)] > classes[column(LOCAL)]).cast(pl.Float64)),
        "riptop_mean": mean(table["riptop"]),
        "riptop_median": float(np.median(defined)) if len(defined) else None,
    }


def mean(values: pl.Series) -> float | None:
    """Mean of the defined values, None without any."""
    defined = values.drop_nulls().to_numpy()
    return float(defined.mean()) if len(defined) else None
