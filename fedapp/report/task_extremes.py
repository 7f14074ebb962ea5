"""The tasks that gained most and least; of the federated arm alone, those furthest above guessing and least so."""

from typing import Any

import polars as pl

from fedapp.evaluation.arms import AUC_PR, FEDERATED, LOCAL, column
from fedapp.report.kind_summary import KindSummary

EXTREMES = 10


def extremes(kind: KindSummary) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Best and worst tasks, with what each is ordered by: `score` of the main arm, `base`, and how far it is above that, `above`."""
    own, main = column(LOCAL, kind.metric), column(kind.main or FEDERATED, kind.metric)
    compares, guessing = own in kind.tasks.columns, pl.col("prevalence") if kind.metric == AUC_PR else pl.lit(0.0)
    if main not in kind.tasks.columns or kind.tasks.is_empty():
        return [], []
    base = pl.col(own) if compares else guessing
    judged = kind.tasks.with_columns(pl.col(main).alias("score"), base.alias("base")).with_columns(above=pl.col("score") - pl.col("base"))
    size = min(EXTREMES, max(1, len(judged) // 2))
    ordered = judged.sort("above", "partner", "task", descending=[True, False, False])
    return ordered.head(size).to_dicts(), ordered.reverse().head(size).to_dicts()
