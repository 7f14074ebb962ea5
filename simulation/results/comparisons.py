"""What several seeds of one comparison say together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from fedapp.evaluation.arms import ARMS, AUC_PR, LOCAL, MERGED
from fedapp.evaluation.intervals import Interval
from simulation.results.clusters import METRICS, Means, interval_of, joint_means
from simulation.results.figures import Spread
from simulation.results.records import BREAKDOWN, CLUSTERS, Record


@dataclass(frozen=True)
class Part:
    """One part of a breakdown, over seeds.

    Attributes:
        by: What parts differ in, such as "similarity".
        least, most: Of it, in the part.
        tasks: How many count there.
        gains: Arm to its gain in mean AUC-PR over local.
    """

    by: str
    least: float
    most: float
    tasks: float
    gains: Mapping[str, Spread]

    @property
    def bounds(self) -> str:
        """0.31 to 0.57 of similarity, else 108 to 182; where both read alike, once."""
        digits = 2 if self.by == "similarity" else 0
        least, most = (f"{bound:,.{digits}f}" for bound in (self.least, self.most))
        return least if least == most else f"{least} to {most}"


@dataclass(frozen=True)
class Comparison:
    """Several seeds of one comparison.

    Attributes:
        names: Of the records, by seed.
        seeds: Ascending.
        first: The first seed's result, for what all seeds have alike.
        tasks: How many count.
        arms: Those that every seed has, to each metric that every seed has of them.
        means: Metric to means over seeds and tasks, with their resamples (`joint_means`).
        breakdown: Part by part.
        choices: Kind of task to what combined arms are, and at how many partners of all seeds.
        rows_in_sum: Of the first layer; None if partners saw no sum.
        named: What partners' own attacks on sums named, the largest share first.
    """

    names: list[str]
    seeds: list[int]
    first: Mapping[str, Any]
    tasks: Spread
    arms: Mapping[str, Mapping[str, Spread]]
    means: Mapping[str, Means]
    breakdown: list[Part]
    choices: Mapping[str, Mapping[str, int]]
    rows_in_sum: Spread | None
    named: list[dict[str, Any]]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Comparison":
        """From one record a seed, in any order."""
        ordered = sorted(records, key=lambda record: int(record.result["seed"]))
        results = [record.result for record in ordered]
        arms = [arm for arm in ARMS if all(arm in result for result in results)]
        rows = [result["rows_in_sum"] for result in results if result["rows_in_sum"] is not None]
        named = [seen for result in results for seen in result["named_in_sums"].values()]
        named.sort(key=lambda seen: seen["identified"] / seen["compounds"], reverse=True)
        clusters = [record.tables[CLUSTERS] for record in ordered]
        return cls(
            names=[record.name for record in ordered],
            seeds=[result["seed"] for result in results],
            first=results[0],
            tasks=Spread.of([result["tasks"] for result in results]),
            arms={arm: figures_of([result[arm] for result in results]) for arm in arms},
            means={metric: joint_means(clusters, metric) for metric in METRICS},
            breakdown=parts_of(pl.concat(record.tables[BREAKDOWN] for record in ordered)),
            choices=choices_of(results),
            rows_in_sum=Spread.of(rows) if rows else None,
            named=named,
        )

    def gain(self, arm: str, base: str = LOCAL, metric: str = AUC_PR) -> Interval | None:
        """How much higher one arm's mean is than another's; None where a seed does not have both."""
        means = self.means[metric]
        return interval_of(means[arm] - means[base]) if {arm, base} <= set(means) else None

    def share(self, arm: str) -> Interval | None:
        """How much of the merged arm's gain in AUC-PR an arm reaches; None where that may gain nothing, or a seed lacks one of them."""
        whole, own, means = self.gain(MERGED), self.gain(arm), self.means[AUC_PR]
        if whole is None or own is None or whole.sign <= 0:
            return None
        return interval_of((means[arm] - means[LOCAL]) / (means[MERGED] - means[LOCAL]))


def figures_of(arms: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """One arm's figures, of which every seed has one."""
    figures = {metric: [value for arm in arms if (value := arm.get(metric)) is not None] for metric in arms[0]}
    return {metric: Spread.of(values) for metric, values in figures.items() if len(values) == len(arms)}


def parts_of(breakdown: pl.DataFrame) -> list[Part]:
    """The seeds' breakdowns, one below the other, as one: bounds, tasks and gains are means over seeds."""
    parts = []
    for _, part in breakdown.group_by("by", "part", maintain_order=True):
        gaining = part.drop_nulls("gain_value")
        gains = {arm: Spread.of(gaining.filter(pl.col("arm") == arm)["gain_value"].to_list()) for arm in gaining["arm"].unique()}
        least, most, tasks = (float(np.mean(part[name].to_numpy())) for name in ("least", "most", "tasks"))
        parts.append(Part(str(part["by"][0]), least, most, tasks, gains))
    return parts


def choices_of(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Kind of task to each choice that partners made for their combined model, most frequent first."""
    chosen: dict[str, Counter[str]] = {}
    for result in results:
        for partner in result["partners"].values():
            for kind, choice in partner["choice"].items():
                chosen.setdefault(kind, Counter())[choice] += 1
    return {kind: dict(counter.most_common()) for kind, counter in chosen.items()}
