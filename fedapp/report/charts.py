"""The report's charts: matplotlib figures as inline SVG whose colours are CSS variables, so that light, dark and print share one drawing.

Every figure is drawn at the width of a phone, so that its text stays readable when the page is narrow. Names of partners come from
outside: they are plain text, never mathematics or markup.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedapp.evaluation.arms import FEDERATED, LOCAL, POOLED
from fedapp.report.summary import Interval
from fedapp.wording import score, signed

WIDTH, HEIGHT = 4.7, 3.0
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
ARM_COLOURS = {LOCAL: "#050505", FEDERATED: "#060606", POOLED: "#070707"}
ARM_DASHES: dict[str, Any] = {LOCAL: (0, (4, 2)), FEDERATED: "-", POOLED: (0, (1, 1.3))}
ARM_MARKERS = {LOCAL: "s", FEDERATED: "o", POOLED: "D"}
WORSE = "#080808"
SERIES = tuple(f"#0a0a{index:02x}" for index in range(8))
RASTER_POINT = "#3f83c4"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    WORSE: "--worse",
    **{colour: f"--{arm}" for arm, colour in ARM_COLOURS.items()},
    **{colour: f"--series-{index}" for index, colour in enumerate(SERIES)},
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
}
FEW_ROUNDS = 3
MANY_POINTS = 150
MARKED_TICKS = 7


def drawn(name: str, alt: str, draw: Any, height: float = HEIGHT) -> str:
    """Draw one figure and return it as an <svg> element.

    Args:
        name: Unique in the page; the prefix of every id inside.
        alt: What the figure shows, in words, for those who cannot see it.
        draw: Called with the axes.
        height: In inches.
    """
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        draw(axes)
        target = io.StringIO()
        figure.savefig(target, format="svg", dpi=200)
    return inline(target.getvalue(), name, alt)


def inline(svg: str, name: str, alt: str) -> str:
    """Make a standalone SVG file fit to stand in a page beside others: own ids, no prologue, colours as variables."""
    body = svg[svg.index("<svg") :]
    view_box = re.search(r'viewBox="[^"]+"', body)
    body = re.sub(r"<metadata>.*?</metadata>", "", body[body.index(">") + 1 :], flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r"\n\s*", "\n", body)
    return f'<svg {view_box.group() if view_box else ""} role="img" aria-label="{escape(alt)}">{body}'


def short(name: str, length: int = 18) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def round_axis(axes: Axes, rounds: Sequence[int]) -> None:
    """Whole rounds along the bottom, whatever their number."""
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    low, high = (min(rounds), max(rounds)) if rounds else (0, 1)
    axes.set_xlim(low - 0.5, high + 0.5)


def validation_curves(curves: Mapping[str, Mapping[int, float]], selected: Mapping[str, Mapping[str, int]], alt: str) -> str:
    """Mean validation AUC-PR per round and arm; rings mark the rounds that partners selected, larger for more partners."""

    def draw(axes: Axes) -> None:
        for arm, at in curves.items():
            marker = ARM_MARKERS[arm] if len(at) <= FEW_ROUNDS else None
            axes.plot([*at], [*at.values()], color=ARM_COLOURS[arm], linestyle=ARM_DASHES[arm], marker=marker, markersize=3.5)
            chosen = [number for number in selected.get(arm, {}).values() if number in at]
            for number in sorted(set(chosen)):
                share = chosen.count(number) / len(chosen)
                axes.plot(
                    number,
                    at[number],
                    ARM_MARKERS[arm],
                    markersize=4 + 4.5 * share**0.5,
                    markerfacecolor=PAPER,
                    markeredgecolor=ARM_COLOURS[arm],
                    markeredgewidth=1.4,
                )
        round_axis(axes, [number for curve in curves.values() for number in curve])
        axes.set_ylabel("mean validation AUC-PR")

    return drawn("validation", alt, draw)


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

    return drawn("loss", alt, draw)


def series_style(index: int, count: int) -> tuple[str, Any]:
    """Colour and dash of the index-th of `count` partners: neighbours differ in both."""
    if count > len(SERIES):
        return MUTED, "-"
    return SERIES[index], ("-", (0, (5, 1.5)))[index % 2]


def gain_histogram(gains: np.ndarray[Any, Any], mean: Interval, alt: str) -> str:
    """Tasks by gain (federated - local AUC-PR), better and worse in two colours, the mean as a line with its interval."""

    def draw(axes: Axes) -> None:
        reach = min(1.0, max(0.02, float(np.quantile(np.abs(gains), 0.99)) * 1.1))
        step = reach / 16
        edges = np.arange(-16, 17) * step
        counts, _ = np.histogram(np.clip(gains, -reach + step / 2, reach - step / 2), edges)
        colours = [WORSE] * 16 + [ARM_COLOURS[FEDERATED]] * 16
        axes.bar(edges[:-1] + step / 2, counts, width=step * 0.9, color=colours)
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
        axes.set_xlabel("gain in test AUC-PR, federated − local")
        axes.set_ylabel("tasks")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))

    return drawn("gains", alt, draw)


def riptop_steps(riptop: Mapping[str, np.ndarray[Any, Any]], alt: str) -> str:
    """Share of tasks with at most this RIPtoP, per arm; values outside -1..1 are drawn at the edge."""

    def draw(axes: Axes) -> None:
        for arm, values in riptop.items():
            ordered = np.sort(np.clip(values, -1, 1))
            shares = np.arange(1, len(ordered) + 1) / len(ordered)
            grid = np.unique(np.linspace(0, len(ordered) - 1, 300).astype(int))
            axes.step(ordered[grid], shares[grid], where="post", color=ARM_COLOURS[arm], linestyle=ARM_DASHES[arm])
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.axhline(0.5, color=MUTED, linewidth=0.6, linestyle=(0, (2, 2)))
        reach = max(0.05, *(float(np.quantile(np.abs(values), 0.98)) for values in riptop.values()))
        axes.set_xlim(-min(1, reach), min(1, reach))
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        axes.set_xlabel("RIPtoP: share of the way from local to a perfect 1")
        axes.set_ylabel("tasks at or below")

    return drawn("riptop", alt, draw)


def score_scatter(name: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], labels: tuple[str, str], alt: str) -> str:
    """One dot a task on 0..1 by 0..1 with the diagonal; many dots become one picture inside the SVG."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        many = len(x) > MANY_POINTS
        axes.scatter(x, y, s=9 if many else 14, color=RASTER_POINT, alpha=0.45 if many else 0.7, linewidths=0, rasterized=many)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=labels[0], ylabel=labels[1])
        axes.set_aspect("equal")

    return drawn(name, alt, draw, height=3.6)


def score_histogram(scores: np.ndarray[Any, Any], alt: str) -> str:
    """Tasks by test AUC-PR, the mean as a line."""

    def draw(axes: Axes) -> None:
        edges = np.linspace(0, 1, 21)
        counts, _ = np.histogram(scores, edges)
        axes.bar(edges[:-1] + 0.025, counts, width=0.045, color=ARM_COLOURS[FEDERATED])
        axes.axvline(float(scores.mean()), color=INK, linewidth=1.2)
        axes.annotate(
            f"mean {score(float(scores.mean()))}",
            (float(scores.mean()), counts.max() * 1.06),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
        axes.set(xlim=(0, 1), xlabel="test AUC-PR", ylabel="tasks", ylim=(0, counts.max() * 1.12))
        axes.grid(False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))

    return drawn("scores", alt, draw, height=3.6)


def interval_rows(name: str, rows: Sequence[tuple[str, Mapping[str, Interval]]], xlabel: str, alt: str) -> str:
    """Means with intervals, one line of the chart per row and, in it, one mark per arm."""

    def draw(axes: Axes) -> None:
        for place, (_, marks) in enumerate(rows):
            for step, (arm, interval) in enumerate(marks.items()):
                y = -place - (step - (len(marks) - 1) / 2) * 0.3
                if interval.low is not None and interval.high is not None:
                    axes.plot([interval.low, interval.high], [y, y], color=ARM_COLOURS[arm], linewidth=1.4)
                axes.plot(interval.value, y, ARM_MARKERS[arm], color=ARM_COLOURS[arm], markersize=4.5)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks([-place for place in range(len(rows))], [short(label) for label, _ in rows])
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=MARKED_TICKS))
        axes.set_xlabel(xlabel)

    return drawn(name, alt, draw, height=max(1.6, 0.75 + 0.3 * len(rows)))
