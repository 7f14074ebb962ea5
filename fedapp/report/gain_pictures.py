"""Where the federation gains: by similarity to what a partner has, by size of partner and task, by partners that share an endpoint."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import LABELS, LOCAL, column
from fedapp.evaluation.intervals import Interval
from fedapp.report import charts
from fedapp.report.charts import Row
from fedapp.report.kind_summary import KindSummary
from fedapp.report.pictures import OVER_TASKS, Mark, Picture, score_of
from fedapp.report.saved_comparison import HOLDERS, PARTNER_SIZE, SIMILARITY
from fedapp.report.saved_comparison import LABELS as BY_LABELS
from fedapp.wording import percent, plural, signed

PARTNERS_DRAWN = 40
LEAST_REACH = 0.005  # of an axis to both sides of zero: less than that is nothing to anybody
QUARTERS = ("lowest", "low", "high", "highest")
TITLES = {
    SIMILARITY: "Gain by similarity to own compounds",
    PARTNER_SIZE: "Gain by size of the partner",
    BY_LABELS: "Gain by number of labels",
    HOLDERS: "Gain by partners that measure the same",
}
CAPTIONS = {
    SIMILARITY: "Each partner’s test compounds in quarters by Tanimoto similarity to the nearest of its own training compounds; a task "
    "counts in a quarter with enough labels there. What a partner has nothing like is the upper line.",
    PARTNER_SIZE: "Partners in quarters by their number of training compounds.",
    BY_LABELS: "Tasks in quarters by their number of labels in all folds.",
    HOLDERS: "How many partners have tasks of the same assay or target.",
}


def gain_pictures(kind: KindSummary) -> list[Picture]:
    """Of runs in which the main arm can be held against training alone."""
    if kind.gain is None or kind.main is None:
        return []
    return [*breakdowns(kind, kind.main), *by_partner(kind, kind.main), spread_of_gains(kind, kind.main, kind.gain)]


def label_of(kind: KindSummary, arm: str) -> str:
    """Of an axis of gains."""
    return f"mean gain in test {score_of(kind)}, {LABELS[arm].lower()} − local only"


def breakdowns(kind: KindSummary, arm: str) -> list[Picture]:
    """Four charts on one scale; a part without a task that counts is left out."""
    known = kind.breakdown.filter(pl.col("arm") == arm, pl.col("gain_value").is_not_null()) if len(kind.breakdown) else kind.breakdown
    if known.is_empty():
        return []
    span = span_of(known)
    pictures = []
    for by, title in TITLES.items():
        parts = known.filter(pl.col("by") == by).sort("part").to_dicts()
        rows = [Row(part_name(by, part), ((arm, gain_of(part)),), plural(part["tasks"], "task")) for part in parts]
        if rows:
            told = "; ".join(f"{row.label} {signed(row.marks[0][1].value)} ({row.note})" for row in rows)
            chart = charts.interval_rows(f"{by}-{kind.kind}", rows, label_of(kind, arm), f"{title}: {told}.", span=span)
            pictures.append(Picture(title, chart, f"{CAPTIONS[by]} Bar: {OVER_TASKS}, none where there are too few."))
    return pictures


def gain_of(part: Mapping[str, Any]) -> Interval:
    """Of a row of the breakdown."""
    return Interval(part["gain_value"], part["gain_low"], part["gain_high"])


def span_of(parts: pl.DataFrame) -> tuple[float, float]:
    """From the lowest to the highest end of any interval, zero among them, with some air."""
    ends = np.concatenate([parts[name].drop_nulls().to_numpy() for name in ("gain_value", "gain_low", "gain_high")])
    low, high = min(-LEAST_REACH, float(ends.min())), max(LEAST_REACH, float(ends.max()))
    air = 0.06 * (high - low)
    return low - air, high + air


def part_name(by: str, part: Mapping[str, Any]) -> str:
    """What the tasks or compounds of a part have in common."""
    least, most = part["least"], part["most"]
    if by == SIMILARITY:
        return f"{QUARTERS[part['part']]} ({least:.2f}–{most:.2f})"
    if by == HOLDERS:
        return plural(int(least), "partner") if least == most else f"{least:.0f} to {most:.0f} partners"
    unit = "compounds" if by == PARTNER_SIZE else "labels"
    return f"{least:,.0f} {unit}" if least == most else f"{least:,.0f}–{most:,.0f} {unit}"


def by_partner(kind: KindSummary, arm: str) -> list[Picture]:
    """Mean gain of each partner."""
    gaining = [
        Row(name, ((arm, figures.gain),), plural(figures.counted, "task"))
        for name, figures in kind.partners.items()
        if figures.gain is not None
    ]
    if len(gaining) < 2:
        return []
    told = "; ".join(f"{row.label} {signed(row.marks[0][1].value)}" for row in gaining)
    title = "Gain by partner"
    chart = charts.interval_rows(f"partners-{kind.kind}", gaining[:PARTNERS_DRAWN], label_of(kind, arm), f"{title}: {told}.")
    more = f" The first {PARTNERS_DRAWN} of {len(gaining)}." if len(gaining) > PARTNERS_DRAWN else ""
    return [Picture(title, chart, f"Over the partner’s own tasks; bar: {OVER_TASKS}, none where there are too few.{more}")]


def spread_of_gains(kind: KindSummary, arm: str, mean: Interval) -> Picture:
    """How gains spread over tasks."""
    values = kind.tasks.select(pl.col(column(arm, kind.metric)) - pl.col(column(LOCAL, kind.metric))).to_series().drop_nulls().to_numpy()
    median, improved = signed(float(np.median(values))), percent(kind.improved)
    alt = f"Histogram of the gain of {plural(len(values), 'task')}: mean {signed(mean.value)}, median {median}, {improved} above zero."
    caption = (
        f"{improved} of tasks improve; the median is {median}. Single tasks move a lot with few test compounds. The bar over the columns "
        "is the 95 % interval of the mean; the outermost columns hold everything beyond."
    )
    label = f"gain in test {score_of(kind)}, {LABELS[arm].lower()} − local only"
    chart = charts.gain_histogram(f"spread-{kind.kind}", values, mean, label, alt)
    return Picture(
        "Gains of single tasks", chart, caption, (Mark("better or alike (right)", "--federated"), Mark("worse (left)", "--worse"))
    )
