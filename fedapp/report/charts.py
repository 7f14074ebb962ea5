"""The kinds of chart in the report, each from plain numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedapp.evaluation.intervals import Interval
from fedapp.report import drawing
from fedapp.report.drawing import ARM_STYLES, INK, MUTED, PAPER, RASTER_POINT, SERIES, TOGETHER, WORSE, short
from fedapp.wording import score, signed

FEW_ROUNDS = 3
MANY_POINTS = 150
MARKED_TICKS = 6
LABEL_LENGTH = 24


@dataclass(frozen=True)
class Row:
    """A line of a dot-and-interval plot: what it is of, its marks (arm and value), and what stands at its right end."""

    label: str
    marks: tuple[tuple[str, Interval], ...]
    note: str = ""


def round_axis(axes: Axes, rounds: Sequence[int]) -> None:
    """Whole rounds along the bottom, whatever their number."""
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    low, high = (min(rounds), max(rounds)) if rounds else (0, 1)
    axes.set_xlim(low - 0.5, high + 0.5)


def validation_curves(
    name: str, curves: Mapping[str, Mapping[int, float]], selected: Mapping[str, Mapping[str, int]], ylabel: str, alt: str
) -> str:
    """A mean validation score per round and arm; open marks are the rounds that partners selected, larger for more partners."""

    def draw(axes: Axes) -> None:
        for arm, at in curves.items():
            style = ARM_STYLES[arm]
            marker = style.marker if len(at) <= FEW_ROUNDS else None
            axes.plot([*at], [*at.values()], color=style.colour, linestyle=style.dash, marker=marker, markersize=3.5)
            chosen = [number for number in selected.get(arm, {}).values() if number in at]
            for number in sorted(set(chosen)):
                size = 4 + 4.5 * (chosen.count(number) / len(chosen)) ** 0.5
                face: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgecolor": style.colour, "markeredgewidth": 1.4}
                axes.plot(number, at[number], style.marker, markersize=size, **face)
        round_axis(axes, [number for curve in curves.values() for number in curve])
        axes.set_ylabel(ylabel)

    return drawing.drawn(name, alt, draw)


def loss_curves(losses: pl.DataFrame, partners: Sequence[str], alt: str) -> str:
    """Training loss per partner and round; more partners than colours are drawn in grey."""

    def draw(axes: Axes) -> None:
        for index, partner in enumerate(partners):
            curve = losses.filter(pl.col("partner") == partner, pl.col("loss").is_not_null()).sort("round")
            colour, dash = series_style(index, len(partners))
            marker = "o" if len(curve) <= FEW_ROUNDS else None
            axes.plot(
                curve["round"].to_list(),
                curve["loss"].to_list(),
                color=colour,
                linestyle=dash,
                marker=marker,
                markersize=3.5,
                linewidth=1.3,
            )
        round_axis(axes, losses["round"].to_list())
        axes.set_ylabel("training loss")

    return drawing.drawn("loss", alt, draw)


def series_style(index: int, count: int) -> tuple[str, Any]:
    """Colour and dash of the index-th of `count` partners: neighbours differ in both."""
    if count > len(SERIES):
        return MUTED, "-"
    return SERIES[index], ("-", (0, (5, 1.5)))[index % 2]


def gain_histogram(name: str, gains: np.ndarray[Any, Any], mean: Interval, xlabel: str, alt: str) -> str:
    """Tasks by gain, better and worse in two colours on both sides of a line, the mean as a mark with its interval."""

    def draw(axes: Axes) -> None:
        reach = max(0.02, float(np.quantile(np.abs(gains), 0.99)) * 1.1)
        step = reach / 16
        edges = np.arange(-16, 17) * step
        counts, _ = np.histogram(np.clip(gains, -reach + step / 2, reach - step / 2), edges)
        axes.bar(edges[:-1] + step / 2, counts, width=step * 0.9, color=[WORSE] * 16 + [TOGETHER] * 16)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        top = counts.max() * 1.12
        axes.set_ylim(0, top * 1.04)
        if mean.low is not None and mean.high is not None:
            axes.plot([mean.low, mean.high], [top, top], color=INK, linewidth=2.2, solid_capstyle="butt")
        axes.plot(mean.value, top, "|", color=INK, markersize=9, markeredgewidth=1.6)
        right = mean.value >= 0
        end = (mean.high if right else mean.low) or mean.value
        place: dict[str, Any] = {"xytext": (8 if right else -8, 0), "textcoords": "offset points", "ha": "left" if right else "right"}
        axes.annotate(f"mean {signed(mean.value)}", (end, top), va="center", **place)
        axes.grid(False, axis="x")
        axes.set_xlabel(xlabel)
        axes.set_ylabel("tasks")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))

    return drawing.drawn(name, alt, draw)


def score_scatter(name: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], labels: tuple[str, str], alt: str) -> str:
    """One dot a task on 0..1 by 0..1 with the diagonal; many dots become one picture inside the SVG."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        many = len(x) > MANY_POINTS
        axes.scatter(x, y, s=9 if many else 14, color=RASTER_POINT, alpha=0.45 if many else 0.7, linewidths=0, rasterized=many)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=labels[0], ylabel=labels[1])
        axes.set_aspect("equal")

    return drawing.drawn(name, alt, draw, height=3.6)


def score_histogram(name: str, scores: np.ndarray[Any, Any], xlabel: str, alt: str) -> str:
    """Tasks by a score of at most 1, the mean as a line."""

    def draw(axes: Axes) -> None:
        edges = np.linspace(0 if scores.min() >= 0 else -1, 1, 21)
        counts, _ = np.histogram(scores, edges)
        step = edges[1] - edges[0]
        axes.bar(edges[:-1] + step / 2, counts, width=step * 0.9, color=TOGETHER)
        axes.axvline(float(scores.mean()), color=INK, linewidth=1.2)
        axes.annotate(
            f"mean {score(float(scores.mean()))}",
            (float(scores.mean()), counts.max() * 1.06),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
        axes.set(xlim=(edges[0], 1), xlabel=xlabel, ylabel="tasks", ylim=(0, counts.max() * 1.12))
        axes.grid(False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))

    return drawing.drawn(name, alt, draw, height=3.6)


def interval_rows(
    name: str,
    rows: Sequence[Row],
    xlabel: str,
    alt: str,
    *,
    zero: bool = True,
    span: tuple[float, float] | None = None,
    percent: bool = False,
) -> str:
    """Dots with intervals, one line of the chart per row and, in it, one mark per arm.

    Args:
        zero: Whether a line marks zero, on whose sides a difference is better or worse.
        span: Of the axis, so that several charts can be compared; None takes what the marks need.
        percent: Whether the values are shares.
    """

    def draw(axes: Axes) -> None:
        for place, row in enumerate(rows):
            for step, (arm, interval) in enumerate(row.marks):
                dot(axes, arm, interval, -place - (step - (len(row.marks) - 1) / 2) * 0.34)
            axes.annotate(row.note, (1, -place), (6, 0), ("axes fraction", "data"), "offset points", va="center", fontsize=8)
        if zero:
            axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks([-place for place in range(len(rows))], [short(row.label, LABEL_LENGTH) for row in rows])
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlim(span)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=MARKED_TICKS))
        if percent:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        axes.set_xlabel(xlabel)

    return drawing.drawn(name, alt, draw, height=max(1.6, 0.75 + 0.27 * len(rows)))


def dot(axes: Axes, arm: str, interval: Interval, y: float) -> None:
    """One mark with its interval, in the arm's colour and shape."""
    style = ARM_STYLES[arm]
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [y, y], color=style.colour, linewidth=1.6, solid_capstyle="butt")
    face = style.colour if style.filled else PAPER
    axes.plot(interval.value, y, style.marker, color=style.colour, markerfacecolor=face, markersize=5.5, markeredgewidth=1.3)
