"""What is said of tasks of one kind, classes or values: means of arms, what the federation gains, at which partner and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import (
    ARMS,
    CALIBRATION_ERROR,
    CENSORED_RMSE,
    CHOOSING,
    CLASS_METRICS,
    CLASSIFICATION,
    COMBINED,
    CONFORMAL,
    FEDERATED,
    LOCAL,
    MERGED,
    POOLED,
    R2,
    REGRESSION,
    RMSE,
    UNGUARDED,
    VALUE_METRICS,
    column,
)
from fedapp.evaluation.comparison import mean
from fedapp.evaluation.intervals import Interval, mean_interval
from fedapp.report.saved_comparison import SavedComparison

Figures = Mapping[str, float | None]
IN_UNITS = (RMSE, CENSORED_RMSE)


@dataclass(frozen=True)
class PartnerFigures:
    """One partner's tasks that count: how many, arm to mean score, what its combined model gains over its own, and what that is made of."""

    counted: int
    means: Figures
    gain: Interval | None
    choice: str | None


@dataclass(frozen=True)
class KindSummary:
    """The tasks of one kind that count.

    Attributes:
        tasks: partner, task, group, positives, negatives, exact, censored (test fold), labels (all folds), unit, <arm>_<metric>; of classes
            also prevalence, the share of actives, which is the AUC-PR of guessing.
        main: The arm that the page is about: combined, or federated where that is not there; None without either.
        arms: Arm to its mean of each metric of the kind; of classes also calibration error and conformal figures, where known.
        scores: Arm to its mean score with an interval.
        gains: Arm to how far it is above training alone, task by task the same compounds; empty without the local arm.
        ahead: Arm to how far the main arm is above it.
        r2_gain: Of values, how far the main arm is above training alone in R².
        ratio: How many times as high the main arm's mean score is as that of training alone.
        share: Of what pooling gains over training alone, how much the main arm gains; and which of the two poolings is meant, the better.
        improved: Share of tasks in which the main arm is above training alone.
        guard_effect: How far the federated arm is above the same without row guard.
        errors: Unit to arm to its mean error with an interval (values alone: a mean over units means nothing).
        partners: Of every partner, whether any task of it counts or not.
        breakdown: Rows of this kind in `fedapp.evaluation.comparison.BREAKDOWN`.
    """

    kind: str
    tasks: pl.DataFrame
    main: str | None
    arms: Mapping[str, Figures]
    scores: Mapping[str, Interval]
    gains: Mapping[str, Interval]
    ahead: Mapping[str, Interval]
    r2_gain: Interval | None
    ratio: Interval | None
    share: tuple[str, Interval] | None
    improved: float | None
    guard_effect: Interval | None
    errors: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    partners: Mapping[str, PartnerFigures]
    breakdown: pl.DataFrame

    @property
    def metric(self) -> str:
        """By which arms are held against each other."""
        return CHOOSING[self.kind]

    @property
    def gain(self) -> Interval | None:
        """Of the main arm over training alone."""
        return self.gains.get(self.main) if self.main else None


def summarise_kind(kind: str, tasks: pl.DataFrame, comparison: SavedComparison | None, partners: tuple[str, ...]) -> KindSummary:
    """All figures of one kind.

    Args:
        tasks: As `KindSummary.tasks`; may have no row.
        comparison: None where there is the federated arm alone.
    """
    metric = CHOOSING[kind]
    scores = {arm: interval for arm in ARMS if (interval := interval_of(tasks, arm_column(tasks, arm, metric)))}
    main = COMBINED if COMBINED in scores else FEDERATED if FEDERATED in scores else None
    breakdown = None if comparison is None else comparison.breakdown.filter(pl.col("kind") == kind)
    above = difference_of(tasks, main, LOCAL, metric)
    return KindSummary(
        kind=kind,
        tasks=tasks,
        main=main,
        arms={arm: arm_figures(kind, tasks, arm, comparison) for arm in ARMS if column(arm, metric) in tasks.columns},
        scores=scores,
        gains=without_none({arm: interval_of(tasks, difference_of(tasks, arm, LOCAL, metric)) for arm in scores if arm != LOCAL}),
        ahead=without_none({arm: interval_of(tasks, difference_of(tasks, main, arm, metric)) for arm in scores if arm != main}),
        r2_gain=interval_of(tasks, difference_of(tasks, main, LOCAL, R2)) if kind == REGRESSION else None,
        ratio=ratio_of(tasks, main, metric),
        share=share_of(tasks, above, scores, metric),
        improved=None if above is None or tasks.is_empty() else mean(tasks.select((above > 0).cast(pl.Float64).alias("up"))["up"]),
        guard_effect=interval_of(tasks, difference_of(tasks, FEDERATED, UNGUARDED, metric)),
        errors=errors_of(tasks) if kind != CLASSIFICATION else {},
        partners={name: partner_figures(name, kind, tasks, main, comparison) for name in partners},
        breakdown=pl.DataFrame() if breakdown is None else breakdown,
    )


def arm_column(tasks: pl.DataFrame, arm: str, metric: str) -> pl.Expr | None:
    """A metric of an arm; None where it is not known."""
    return pl.col(column(arm, metric)) if column(arm, metric) in tasks.columns else None


def difference_of(tasks: pl.DataFrame, arm: str | None, base: str, metric: str) -> pl.Expr | None:
    """How far an arm is above another; None where one of them is not known."""
    above, below = arm_column(tasks, arm or "", metric), arm_column(tasks, base, metric)
    return None if above is None or below is None else above - below


def interval_of(tasks: pl.DataFrame, value: pl.Expr | None) -> Interval | None:
    """The mean of a value over tasks with its interval; None where no task has it."""
    if value is None or not tasks.select(value.is_not_null().any()).item():
        return None
    return mean_interval(tasks, value)


def without_none(intervals: Mapping[str, Interval | None]) -> dict[str, Interval]:
    """Those that are known."""
    return {name: interval for name, interval in intervals.items() if interval is not None}


def ratio_of(tasks: pl.DataFrame, main: str | None, metric: str) -> Interval | None:
    """How many times as high the main arm's mean is as that of training alone."""
    above, below = arm_column(tasks, main or "", metric), arm_column(tasks, LOCAL, metric)
    if above is None or below is None or not tasks.select((above * below).is_not_null().any()).item():
        return None
    return mean_interval(tasks, above, over=below) if (mean(tasks.select(below.alias("below"))["below"]) or 0) > 0 else None


def share_of(tasks: pl.DataFrame, above: pl.Expr | None, scores: Mapping[str, Interval], metric: str) -> tuple[str, Interval] | None:
    """`KindSummary.share`; None unless pooling gained for sure: a share of nothing is any number."""
    poolings = [arm for arm in (MERGED, POOLED) if arm in scores]
    if above is None or not poolings:
        return None
    yardstick = max(poolings, key=lambda arm: scores[arm].value)
    theirs = difference_of(tasks, yardstick, LOCAL, metric)
    gain = interval_of(tasks, theirs)
    if theirs is None or gain is None or gain.sign <= 0:
        return None
    return yardstick, mean_interval(tasks, above, over=theirs)


def arm_figures(kind: str, tasks: pl.DataFrame, arm: str, comparison: SavedComparison | None) -> dict[str, float | None]:
    """An arm's mean figures: those that the comparison saved where it has them, else means over the tasks that count."""
    saved = {} if comparison is None else comparison.arms.get(arm, {})
    figures: dict[str, float | None] = {}
    for name in (*CLASS_METRICS, *CONFORMAL, CALIBRATION_ERROR) if kind == CLASSIFICATION else VALUE_METRICS:
        computed = mean(tasks[column(arm, name)]) if column(arm, name) in tasks.columns else None
        known = as_float(saved.get(name))
        figures[name] = computed if known is None or tasks.is_empty() else known
    return figures


def errors_of(tasks: pl.DataFrame) -> dict[str, dict[str, dict[str, Interval]]]:
    """`KindSummary.errors`: unit, then arm, then the metrics that are in the unit."""
    units = {} if "unit" not in tasks.columns else tasks.partition_by("unit", as_dict=True, maintain_order=True)
    errors: dict[str, dict[str, dict[str, Interval]]] = {}
    for (unit,), own in units.items():
        of_unit = {arm: without_none({name: interval_of(own, arm_column(own, arm, name)) for name in IN_UNITS}) for arm in ARMS}
        errors[str(unit or "p")] = {arm: figures for arm, figures in of_unit.items() if figures}
    return errors


def partner_figures(name: str, kind: str, tasks: pl.DataFrame, main: str | None, comparison: SavedComparison | None) -> PartnerFigures:
    """One partner's figures over the tasks of its own that count."""
    own = tasks.filter(pl.col("partner") == name)
    metric = CHOOSING[kind]
    known = [arm for arm in ARMS if column(arm, metric) in own.columns]
    choice = None if comparison is None else comparison.choices.get(name, {}).get(kind)
    gain = interval_of(own, difference_of(own, main, LOCAL, metric))
    return PartnerFigures(len(own), {arm: mean(own[column(arm, metric)]) for arm in known}, gain, choice)


def as_float(value: Any) -> float | None:
    """A finite number as it is; anything else, truth values too, as None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


def as_int(value: Any) -> int | None:
    """A finite number without its fraction; anything else as None."""
    whole = as_float(value)
    return None if whole is None else int(whole)
