"""From saved metrics to the figures of the report: which tasks count, what they gained, how sure the mean is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import ARMS, COUNTS, DRAWN, FEDERATED, LOCAL, METRICS, POOLED, column
from fedapp.evaluation.comparison import DIFFERENCES, arms_in, differences, riptop
from fedapp.evaluation.intervals import CLUSTERS_FOR_AN_INTERVAL, Interval, mean_interval, ratio_interval
from fedapp.evaluation.selection import judged_metrics, selected_rounds
from fedapp.report.saved_run import SavedRun

SIZES = 4
NOT_TESTED, NO_TEST = "no labelled compound in the test fold", "no fold was kept for judging"
NOT_EVALUATED = "not evaluated yet"
UNDEFINED = "undefined in one of the arms"


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

    judged: the tasks that count: partner, task, group, threshold, positives, negatives (test fold), labels (all folds),
        prevalence, federated_auc_pr, and in a comparison <arm>_auc_pr of the others, gain, riptop, pooled_riptop; with an unguarded
        arm also unguarded_gain and guard_effect, federated minus unguarded AUC-PR.
    gains: arm to its gain in mean AUC-PR over the local one.
    uncounted: partner, task, group, threshold, positives, negatives (test fold), reason.
    tasks: every task, by partner and number: partner, task, group, threshold, labels (all folds), positives, negatives (test fold), then
        <arm>_auc_pr, <arm>_auc_roc, <arm>_bce, and the reason why it does not count, null where it does.
    arms: arm to {"auc_pr", "auc_roc", "bce"}, means over the tasks that count.
    """

    compares: bool
    judged: pl.DataFrame
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
        judged = count_only(tested, minimum).rename({metric: column(FEDERATED, metric) for metric in METRICS})
    else:
        judged = judged_in_all_arms(compared, tested, minimum)
    judged = judged.with_columns((pl.col("positives") / (pl.col("positives") + pl.col("negatives"))).alias("prevalence"))
    arms = {arm: arm_means(judged, arm, run.comparison) for arm in arms_in(judged.columns)}
    means = {name: mean_interval(judged, name) for name in DIFFERENCES if name in judged.columns and len(judged)}
    pooled_gain = means.get("pooled_gain")
    uncounted = uncounted_tasks(tested, judged, minimum, selected.get(FEDERATED, {}), NOT_TESTED if run.tested else NO_TEST)
    return Summary(
        compares=compared is not None,
        judged=judged,
        uncounted=uncounted,
        tasks=every_task(tested, judged, uncounted, compared),
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
    known = run.tasks.select("partner", "task", "group", "threshold", (pl.col("positives") + pl.col("negatives")).alias("labels"))
    if FEDERATED not in run.arms:
        return known.with_columns(*(pl.lit(None, dtype=pl.Int64).alias(name) for name in COUNTS)).with_columns(
            *(pl.lit(None, dtype=pl.Float64).alias(name) for name in METRICS)
        )
    tested = judged_metrics(run.arms[FEDERATED].metrics, selected).select(columns)
    if known.is_empty():
        known = tested.select("partner", "task", pl.format("task {}", "task").alias("group")).with_columns(
            pl.lit(None, dtype=pl.Float64).alias("threshold"), pl.lit(None, dtype=pl.Int64).alias("labels")
        )
    return known.join(tested, on=["partner", "task"], how="left")


def count_only(table: pl.DataFrame, minimum: int) -> pl.DataFrame:
    """The tasks with `minimum` of each class in the test fold and a defined AUC-PR."""
    scores = [pl.col(name).is_not_null() for name in table.columns if name.endswith("auc_pr")]
    return table.filter(pl.col("positives") >= minimum, pl.col("negatives") >= minimum, *scores)


def judged_in_all_arms(compared: pl.DataFrame, tested: pl.DataFrame, minimum: int) -> pl.DataFrame:
    """The comparison's tasks that count, with the differences between arms."""
    sizes = tested.select("partner", pl.col("task").cast(compared.schema["task"]), "labels")
    counted = count_only(compared, minimum).join(sizes, on=["partner", "task"], how="left")
    return counted.with_columns(*differences(counted.columns), riptop(POOLED).alias("pooled_riptop"))


def uncounted_tasks(tested: pl.DataFrame, judged: pl.DataFrame, minimum: int, evaluated: Collection[str], untested: str) -> pl.DataFrame:
    """The tasks that do not count, each with the reason; `untested` is that of a task without a label in the test fold."""
    few_positives, few_negatives = pl.col("positives") < minimum, pl.col("negatives") < minimum
    missing = pl.col("positives").is_null() | (pl.col("positives") + pl.col("negatives") == 0)
    reason = (
        pl.when(~pl.col("partner").is_in(list(evaluated)))
        .then(pl.lit(NOT_EVALUATED))
        .when(missing)
        .then(pl.lit(untested))
        .when(few_positives & few_negatives)
        .then(pl.lit(f"fewer than {minimum} actives and fewer than {minimum} inactives in the test fold"))
        .when(few_positives)
        .then(pl.lit(f"fewer than {minimum} actives in the test fold"))
        .when(few_negatives)
        .then(pl.lit(f"fewer than {minimum} inactives in the test fold"))
        .otherwise(pl.lit(UNDEFINED))
    )
    counted = judged.select("partner", pl.col("task").cast(tested.schema["task"]))
    left = tested.join(counted, on=["partner", "task"], how="anti").with_columns(reason.alias("reason"))
    columns = ("partner", "task", "group", "threshold", "positives", "negatives", "reason")
    return left.select(columns).sort("reason", "partner", maintain_order=True)


def every_task(tested: pl.DataFrame, judged: pl.DataFrame, uncounted: pl.DataFrame, compared: pl.DataFrame | None) -> pl.DataFrame:
    """`Summary.tasks`: the scores that count are those of `judged`; the other tasks have theirs of `compared`, else what the federated arm
    gave, and the reason."""
    key, first = ["partner", "task"], ["partner", "task", "group", "threshold", "labels", "positives", "negatives"]
    scores = [name for arm in ARMS for metric in METRICS if (name := column(arm, metric)) in judged.columns]
    counted = judged.select(pl.col("task").cast(tested.schema["task"]), pl.exclude("task")).select(*first, *scores)
    left = tested.rename({metric: column(FEDERATED, metric) for metric in METRICS}).join(counted, on=key, how="anti")
    reasons = uncounted.select(*key, "reason")
    rest = left.join(reasons, on=key, how="left").select(*first, *(column(FEDERATED, metric) for metric in METRICS), "reason")
    if compared is not None:
        saved = compared.select("partner", pl.col("task").cast(tested.schema["task"]), *scores)
        own = [pl.coalesce(f"{name}_saved", name).alias(name) for name in scores if name in rest.columns]
        rest = rest.join(saved, on=key, how="left", suffix="_saved").with_columns(own)
    return pl.concat([counted, rest], how="diagonal_relaxed").select(*first, *scores, "reason").sort(key)


def arm_means(judged: pl.DataFrame, arm: str, comparison: Mapping[str, Any] | None) -> dict[str, float | None]:
    """An arm's mean metrics: those of comparison.json where it has them, else means over the tasks that count."""
    saved = (comparison or {}).get(arm)
    means: dict[str, float | None] = {}
    for metric in METRICS:
        name = column(arm, metric)
        computed = judged[name].mean() if name in judged.columns and len(judged) else None
        mean = number(saved, metric)
        means[metric] = mean if mean is not None else as_float(computed)
    return means


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
