"""Which round counts: each partner's best on the validation fold. The test fold is looked at only there."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from fedapp.evaluation.arms import CHOOSING, COUNTS, METRICS
from fedapp.evaluation.counting import enough
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import reading
from fedapp.storage.sealed_table import read_table

VALIDATION = "validation"
TEST = "test"
METRICS_SCHEMA = {
    "round": pl.Int32,
    "fold": pl.String,
    "task": pl.Int32,
    **dict.fromkeys(COUNTS, pl.Int32),
    **dict.fromkeys(METRICS, pl.Float64),
}
COLUMNS = [
    pl.when(pl.col(name).cast(kind).is_finite()).then(pl.col(name).cast(kind)) if kind.is_float() else pl.col(name).cast(kind)
    for name, kind in METRICS_SCHEMA.items()
]
AGAIN = "remove it: that round then has no figures and cannot be chosen"


def with_every_column(metrics: pl.DataFrame) -> pl.DataFrame:
    """Metrics with the columns of `METRICS_SCHEMA` first; what one kind of task alone has is null where that kind is absent."""
    columns = [(pl.col(name) if name in metrics.columns else pl.lit(None)).cast(kind).alias(name) for name, kind in METRICS_SCHEMA.items()]
    return metrics.select(*columns, pl.exclude(*METRICS_SCHEMA))


def read_metrics(folder: Path) -> pl.DataFrame:
    """All rounds in one partner's folder, by round (columns as `fedapp.model.evaluation` writes them); empty without any.

    Raises:
        DamagedFileError: One of the files is damaged.
    """
    rounds = [read_round(path) for path in PartnerFolder(folder).metrics_by_round().values()]
    return pl.concat(rounds) if rounds else pl.DataFrame()


def read_round(path: Path) -> pl.DataFrame:
    """The metrics of one round; a value that is not finite counts as undefined.

    Raises:
        DamagedFileError: The file is damaged.
    """
    with reading(path, AGAIN):
        return read_table(path, AGAIN).select(COLUMNS)


def validation_scores(metrics: pl.DataFrame, minimum: int, by: tuple[str, ...]) -> pl.DataFrame:
    """Mean validation scores: the columns `by`, auc_pr of tasks of classes, spearman of tasks of values, and score, sorted.

    A mean is over the tasks of its kind that have `enough` labels in the validation fold, or over all defined ones where none has. The
    score is the mean of the two, or the one that there is; rounds without a defined value are absent. Spearman's correlation has bounds,
    where R² of a single task can fall far enough below 0 to choose the round for all.
    """
    validation = with_every_column(metrics).filter(pl.col("fold") == VALIDATION)
    means = validation.lazy().group_by(by).agg(kind_mean(name, minimum) for name in CHOOSING.values())
    score = pl.mean_horizontal(*CHOOSING.values()).alias("score")
    return means.with_columns(score).filter(pl.col("score").is_not_null()).sort(by).collect()


def kind_mean(name: str, minimum: int) -> pl.Expr:
    """The mean of the metric `name` over the tasks of a group that have it, with `enough` labels where one has; null where none has."""
    defined = pl.col(name).is_finite()
    chosen = defined & enough(minimum)
    return pl.when(chosen.any()).then(pl.col(name).filter(chosen).mean()).otherwise(pl.col(name).filter(defined).mean()).alias(name)


def validation_curve(metrics: pl.DataFrame, minimum: int, name: str = "score") -> dict[int, float]:
    """Round to a column of `validation_scores`, over the tasks of all partners in `metrics`."""
    if metrics.is_empty():
        return {}
    return dict(validation_scores(metrics, minimum, by=("round",)).select("round", name).drop_nulls().iter_rows())


def best_round(metrics: pl.DataFrame, minimum: int) -> int | None:
    """One partner's round: the highest of the curve, the earliest of equals; the last one if none is defined; None without metrics."""
    if metrics.is_empty():
        return None
    best = best_of(validation_curve(metrics, minimum))
    return int(metrics["round"].to_numpy().max()) if best is None else best


def best_of(curve: Mapping[int, float]) -> int | None:
    """The round of the highest value, the earliest of equals; None without any."""
    return max(curve, key=lambda number: (curve[number], -number), default=None)


def selected_rounds(metrics: pl.DataFrame, minimum: int) -> dict[str, int]:
    """Partner to its `best_round`, from the metrics of several partners with a column partner."""
    chosen = {str(name): best_round(rows, minimum) for (name,), rows in sorted(metrics.partition_by("partner", as_dict=True).items())}
    return {name: number for name, number in chosen.items() if number is not None}


def judged_metrics(metrics: pl.DataFrame, selected: Mapping[str, int]) -> pl.DataFrame:
    """The test fold's rows of each partner's selected round."""
    schema: dict[str, type[pl.DataType]] = {"partner": pl.String, "round": pl.Int32}
    chosen = pl.DataFrame({"partner": list(selected), "round": list(selected.values())}, schema=schema)
    return metrics.filter(pl.col("fold") == TEST).join(chosen, on=["partner", "round"], how="inner").sort("partner", "task")
