"""Means over tasks with their intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

RESAMPLES = 2000
CLUSTERS_FOR_AN_INTERVAL = 5


@dataclass(frozen=True)
class Interval:
    """A mean (or a ratio of means) with its 95 % bootstrap interval; low and high are None where there are too few tasks."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 if the whole interval is on that side of zero, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def mean_interval(judged: pl.DataFrame, value: str | pl.Expr, over: str | pl.Expr | None = None) -> Interval:
    """Mean of `value` over tasks, or with `over` the ratio of both means.

    The interval resamples the groups of each partner, so that thresholds of one assay or target stay together.

    Args:
        judged: One row a task: partner, group, and what the expressions need; a task where they are undefined has no say.
    """
    below = pl.lit(1.0) if over is None else pl.col(over) if isinstance(over, str) else over
    above = pl.col(value) if isinstance(value, str) else value
    each = judged.select("partner", "group", above.cast(pl.Float64).alias("above"), below.cast(pl.Float64).alias("below"))
    sums = each.drop_nulls().group_by("partner", "group", maintain_order=True).agg(pl.col("above").sum(), pl.col("below").sum())
    return ratio_interval(sums["above"].to_numpy(), sums["below"].to_numpy())


def ratio_interval(above: np.ndarray[Any, Any], below: np.ndarray[Any, Any]) -> Interval:
    """Sum of `above` over sum of `below` (both float, one value a cluster) with its percentile bootstrap interval, paired by cluster."""
    value = float(above.sum() / below.sum())
    if len(above) < CLUSTERS_FOR_AN_INTERVAL:
        return Interval(value)

    def ratio(a: Any, b: Any, axis: int = -1) -> Any:
        return a.sum(axis=axis) / b.sum(axis=axis)

    from scipy.stats import bootstrap  # takes a second, and most who need an interval's type compute none

    batch = max(1, 1_000_000 // len(above))
    resampled = bootstrap(
        (above, below),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=batch,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = map(float, resampled.confidence_interval)
    return Interval(value, low, high) if np.isfinite([low, high]).all() else Interval(value)
