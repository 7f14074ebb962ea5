"""From saved metrics to the figures of the report: which tasks count, what they gained, how sure the mean is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import (
    ARMS,
    AUC_PR,
    CLASS_METRICS,
    CLASSIFICATION,
    CONSTANT,
    COUNTS,
    DRAWN,
    FEDERATED,
    LOCAL,
    METRICS,
    POOLED,
    REGRESSION,
    SPEARMAN,
    column,
)
from fedapp.evaluation.comparison import DIFFERENCES, arms_in, differences, riptop
from fedapp.evaluation.counting import VALUES_PER_CLASS, enough
from fedapp.evaluation.intervals import CLUSTERS_FOR_AN_INTERVAL, Interval, mean_interval, ratio_interval
from fedapp.evaluation.selection import judged_metrics, selected_rounds
from fedapp.report.saved_run import SavedRun

SIZES = 4
NOT_TESTED, NO_TEST = "no labelled compound in the test fold", "no fold was kept for judging"
NOT_EVALUATED = "not evaluated yet"
HELPS_OTHERS = "auxiliary: trained on for the others' sake"
UNDEFINED = "undefined in one of the arms"
FACTS = ("group", "threshold", "kind", "unit", "auxiliary")  # of a task, beside its counts


@dataclass(frozen=True)
class PartnerSummary:
    """One row of the per-partner table; what is unknown is None."""

    name: str
    compounds: int | None
    tasks: int | None
    labels: int | None
    counted: int
    auc_pr: Mapping[str, float | None]
    gain: Interval | None
    improved: float | None
    selected: Mapping[str, int | None]


@dataclass(frozen=True)
class Summary:
    """What the report says in numbers.

    judged: the tasks of classes that count: partner, task, group, threshold, positives, negatives (test fold), labels (all folds),
        prevalence, federated_auc_pr, and in a comparison <arm>_auc_pr of the others, gain, riptop, pooled_riptop; with an unguarded
        arm also unguarded_gain and guard_effect, federated minus unguarded AUC-PR.
    valued: the tasks of values that count: partner, task, group, labels (all folds), exact, censored (test fold), and the value metrics of
        each arm.
    gains: arm to its gain in mean AUC-PR over the local one.
    uncounted: partner, task, group, threshold, positives, negatives, exact (test fold), reason.
    tasks: every task, by partner and number: partner, task, group, threshold, kind, unit, labels (all folds), positives, negatives, exact,
        censored (test fold), then <arm>_<metric> of the metrics of its kind, and the reason why it does not count, null where it does.
    arms: arm to the mean of each metric over the tasks that count and have it.
    """

    compares: bool
    judged: pl.DataFrame
    valued: pl.DataFrame
    uncounted: pl.DataFrame
    tasks: pl.DataFrame
    arms: Mapping[str, Mapping[str, float | None]]
    gain: Interval | None
    pooled_gain: Interval | None
    unguarded_gain: Interval | None
    gains: Mapping[str, Interval]
    guard_effect: Interval | None
    pooled_share: Interval | None
    improved: float | None
    riptop_mean: float | None
    riptop_median: float | None
    selected: Mapping[str, Mapping[str, int]]
    partners: tuple[PartnerSummary, ...]


def summarise(run: SavedRun) -> Summary:
    """Everything the page shows in figures, from a comparison if there is one, else from the federated arm alone."""
    minimum = run.minimum
    selected = {arm: selected_rounds(saved.metrics, minimum) for arm, saved in run.arms.items()}
    tested = tested_tasks(run, selected.get(FEDERATED, {}))
    compared = run.compared if run.comparison is not None else None
    if compared is None:
        counted = tested.rename({metric: column(FEDERATED, metric) for metric in METRICS})
        judged = count_only(counted, minimum, AUC_PR)
    else:
        counted = compared.join(sizes_of(tested, compared), on=["partner", "task"], how="left")
        judged = judged_in_all_arms(counted, minimum)
    valued = count_only(counted, minimum, SPEARMAN)
    judged = judged.with_columns((pl.col("positives") / (pl.col("positives") + pl.col("negatives"))).alias("prevalence"))
    both = pl.concat([judged, valued], how="diagonal_relaxed")
    arms = {arm: arm_means(both, arm, run.comparison) for arm in arms_in(both.columns)}
    means = {name: mean_interval(judged, name) for name in DIFFERENCES if name in judged.columns and len(judged)}
    pooled_gain = means.get("pooled_gain")
    uncounted = uncounted_tasks(tested, both, minimum, selected.get(FEDERATED, {}), NOT_TESTED if run.tested else NO_TEST)
    return Summary(
        compares=compared is not None,
        judged=judged,
        valued=valued,
        uncounted=uncounted,
        tasks=every_task(tested, both, uncounted, compared),
        arms=arms,
        gain=means.get("gain"),
        pooled_gain=pooled_gain,
        unguarded_gain=means.get("unguarded_gain"),
        gains=gains_over_local(judged, arms),
        guard_effect=means.get("guard_effect"),
        pooled_share=None if pooled_gain is None else share_interval(judged, pooled_gain, run.comparison or {}),
        improved=number(run.comparison, "share_improved"),
        riptop_mean=number(run.comparison, "riptop_mean"),
        riptop_median=number(run.comparison, "riptop_median"),
        selected=selected_by_arm(run, selected),
        partners=tuple(partner_row(name, run, judged, selected) for name in run.partners),
    )


def tested_tasks(run: SavedRun, selected: Mapping[str, int]) -> pl.DataFrame:
    """Every task with its test-fold figures in the federated arm (null where it has none); `labels` counts all folds."""
    columns = ["partner", "task", *COUNTS, *METRICS]
    known = run.tasks.select("partner", "task", *FACTS, pl.sum_horizontal(*COUNTS).alias("labels"))
    if FEDERATED not in run.arms:
        return known.with_columns(*(pl.lit(None, dtype=pl.Int64).alias(name) for name in COUNTS)).with_columns(
            *(pl.lit(None, dtype=pl.Float64).alias(name) for name in METRICS)
        )
    tested = judged_metrics(run.arms[FEDERATED].metrics, selected).select(columns)
    if known.is_empty():
        kind = pl.when(pl.col("exact").is_null()).then(pl.lit(CLASSIFICATION)).otherwise(pl.lit(REGRESSION)).alias("kind")
        known = tested.select("partner", "task", pl.format("task {}", "task").alias("group"), kind).with_columns(
            pl.lit(None, pl.Float64).alias("threshold"),
            pl.lit(None, pl.String).alias("unit"),
            pl.lit(False).alias("auxiliary"),
            pl.lit(None, pl.Int64).alias("labels"),
        )
    return known.join(tested, on=["partner", "task"], how="left")


def count_only(table: pl.DataFrame, minimum: int, metric: str) -> pl.DataFrame:
    """The tasks with `enough` labels in the test fold and this metric, which tells their kind, defined in every arm that predicts.

    A constant has no rank correlation with anything.
    """
    if "exact" not in table.columns:
        table = table.with_columns(pl.lit(None, pl.Int64).alias("exact"))
    scores = [pl.col(name).is_not_null() for name in table.columns if name.endswith(f"_{metric}") and name != column(CONSTANT, metric)]
    return table.filter(enough(minimum), *(scores or [pl.lit(False)]))


def sizes_of(tested: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    """partner, task and labels (all folds), to be joined to the comparison's tasks."""
    return tested.select("partner", pl.col("task").cast(compared.schema["task"]), "labels")


def judged_in_all_arms(compared: pl.DataFrame, minimum: int) -> pl.DataFrame:
    """The comparison's tasks of classes that count, with the differences between arms."""
    counted = count_only(compared, minimum, AUC_PR)
    return counted.with_columns(*differences(counted.columns), riptop(POOLED).alias("pooled_riptop"))


def uncounted_tasks(tested: pl.DataFrame, judged: pl.DataFrame, minimum: int, evaluated: Collection[str], untested: str) -> pl.DataFrame:
    """The tasks that do not count, each with the reason; `untested` is that of a task without a label in the test fold."""
    few_positives, few_negatives = pl.col("positives") < minimum, pl.col("negatives") < minimum
    missing = pl.sum_horizontal(*COUNTS) == 0
    least = VALUES_PER_CLASS * minimum
    reason = (
        pl.when(~pl.col("partner").is_in(list(evaluated)))
        .then(pl.lit(NOT_EVALUATED))
        .when(pl.col("auxiliary"))
        .then(pl.lit(HELPS_OTHERS))
        .when(missing)
        .then(pl.lit(untested))
        .when(few_positives & few_negatives)
        .then(pl.lit(f"fewer than {minimum} actives and fewer than {minimum} inactives in the test fold"))
        .when(few_positives)
        .then(pl.lit(f"fewer than {minimum} actives in the test fold"))
        .when(few_negatives)
        .then(pl.lit(f"fewer than {minimum} inactives in the test fold"))
        .when(pl.col("exact") < least)
        .then(pl.lit(f"fewer than {least} exact values in the test fold"))
        .otherwise(pl.lit(UNDEFINED))
    )
    counted = judged.select("partner", pl.col("task").cast(tested.schema["task"]))
    left = tested.join(counted, on=["partner", "task"], how="anti").with_columns(reason.alias("reason"))
    columns = ("partner", "task", "group", "threshold", "kind", "positives", "negatives", "exact", "reason")
    return left.select(columns).sort("reason", "partner", maintain_order=True)


def every_task(tested: pl.DataFrame, judged: pl.DataFrame, uncounted: pl.DataFrame, compared: pl.DataFrame | None) -> pl.DataFrame:
    """`Summary.tasks`: the scores that count are those of `judged`; the other tasks have theirs of `compared`, else what the federated arm
    gave, and the reason."""
    key, first = ["partner", "task"], ["partner", "task", *(name for name in FACTS if name != "auxiliary"), "labels", *COUNTS]
    scores = [name for arm in ARMS for metric in METRICS if (name := column(arm, metric)) in judged.columns]
    absent = [name for name in first if name not in judged.columns]  # what a comparison's own table does not say of a task
    counted = judged.select(pl.col("task").cast(tested.schema["task"]), pl.exclude("task")).join(
        tested.select(*key, *absent), on=key, how="left"
    )
    left = tested.rename({metric: column(FEDERATED, metric) for metric in METRICS}).join(counted, on=key, how="anti")
    reasons = uncounted.select(*key, "reason")
    rest = left.join(reasons, on=key, how="left").select(*first, *(column(FEDERATED, metric) for metric in METRICS), "reason")
    if compared is not None:
        known = [name for name in scores if name in compared.columns]
        saved = compared.select("partner", pl.col("task").cast(tested.schema["task"]), *known)
        rest = rest.join(saved, on=key, how="left", suffix="_saved")
        rest = rest.with_columns(pl.coalesce(f"{name}_saved", name).alias(name) for name in scores if f"{name}_saved" in rest.columns)
    return pl.concat([counted.select(*first, *scores), rest], how="diagonal_relaxed").select(*first, *scores, "reason").sort(key)


def arm_means(judged: pl.DataFrame, arm: str, comparison: Mapping[str, Any] | None) -> dict[str, float | None]:
    """An arm's mean metrics: those of comparison.json where it has them, else means over the tasks that count."""
    saved = (comparison or {}).get(arm)
    means: dict[str, float | None] = {}
    for metric in (metric for metric in METRICS if metric in CLASS_METRICS or metric_is_known(judged, arm, metric)):
        name = column(arm, metric)
        computed = judged[name].mean() if name in judged.columns and len(judged) else None
        mean = number(saved, metric)
        if mean is not None or computed is not None or metric in CLASS_METRICS:
            means[metric] = mean if mean is not None else as_float(computed)
    return means


def metric_is_known(counted: pl.DataFrame, arm: str, metric: str) -> bool:
    """Whether any task that counts has a metric in an arm."""
    return column(arm, metric) in counted.columns and bool(counted[column(arm, metric)].is_not_null().any())


def selected_by_arm(run: SavedRun, computed: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Arm to partner to selected round: the comparison's own where it tells, else by the same rule from the metrics."""
    chosen_rounds: dict[str, dict[str, int]] = {}
    for partner, facts in run.compared_partners.items():
        for arm, chosen in (facts.get("selected") or {}).items():
            if chosen is not None:
                chosen_rounds.setdefault(str(arm), {})[str(partner)] = int(chosen)
    return {arm: chosen_rounds.get(arm) or dict(rounds) for arm, rounds in computed.items()}


def partner_row(name: str, run: SavedRun, judged: pl.DataFrame, selected: Mapping[str, Mapping[str, int]]) -> PartnerSummary:
    """One partner's figures, over the tasks of its own that count."""
    tasks = judged.filter(pl.col("partner") == name)
    dataset = run.datasets.get(name, {})
    saved = run.compared_partners.get(name, {})
    chosen = saved.get("selected") or {}
    auc_pr: dict[str, float | None] = {}
    for arm in DRAWN:
        computed = as_float(tasks[column(arm)].mean()) if column(arm) in tasks.columns else None
        mean = number(saved.get(arm), "auc_pr") if isinstance(saved.get(arm), Mapping) else as_float(saved.get(arm))
        auc_pr[arm] = mean if mean is not None else computed
    return PartnerSummary(
        name=name,
        compounds=as_int(dataset.get("compounds")),
        tasks=as_int(dataset.get("tasks")),
        labels=as_int(dataset.get("labels")),
        counted=len(tasks),
        auc_pr=auc_pr,
        gain=mean_interval(tasks, "gain") if "gain" in tasks.columns and len(tasks) else None,
        improved=number(saved, "share_improved"),
        selected={arm: as_int(chosen.get(arm, selected.get(arm, {}).get(POOLED if arm == POOLED else name))) for arm in DRAWN},
    )


def gains_over_local(judged: pl.DataFrame, arms: Collection[str]) -> dict[str, Interval]:
    """The gain in mean AUC-PR of each arm but the local one; nothing where that is not there."""
    if LOCAL not in arms or judged.is_empty():
        return {}
    return {arm: mean_interval(judged, pl.col(column(arm)) - pl.col(column(LOCAL))) for arm in arms if arm != LOCAL}


def share_interval(judged: pl.DataFrame, pooled_gain: Interval, comparison: Mapping[str, Any]) -> Interval | None:
    """Federated gain over pooled gain; None if pooling gained nothing, and no interval unless pooling gained for sure."""
    saved = number(comparison, "pooled_gain_share")
    if saved is None or pooled_gain.value <= 0:
        return None
    if pooled_gain.sign <= 0:
        return Interval(saved)
    sums = judged.group_by("partner", "group", maintain_order=True).agg(pl.col("gain").sum(), pl.col("pooled_gain").sum())
    interval = ratio_interval(sums["gain"].to_numpy(), sums["pooled_gain"].to_numpy())
    return Interval(saved, interval.low, interval.high)


def gain_by_size(judged: pl.DataFrame) -> list[tuple[int, int, int, Interval]]:
    """Mean gain in quarters of the tasks by number of labels, smallest first: fewest labels, most labels, tasks, gain."""
    known = judged.filter(pl.col("labels").is_not_null()).sort("labels", maintain_order=True)
    if len(known) < SIZES * CLUSTERS_FOR_AN_INTERVAL:
        return []
    edges = [round(len(known) * part / SIZES) for part in range(SIZES + 1)]
    parts = [known[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]
    return [(part["labels"][0], part["labels"][-1], len(part), mean_interval(part, "gain")) for part in parts]


def number(saved: Mapping[str, Any] | None, key: str) -> float | None:
    """A finite number of a mapping, or None."""
    return as_float(saved.get(key)) if isinstance(saved, Mapping) else None


def as_float(value: Any) -> float | None:
    """A finite number as it is; anything else, truth values too, as None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


def as_int(value: Any) -> int | None:
    """A finite number without its fraction; anything else as None."""
    whole = as_float(value)
    return None if whole is None else int(whole)
