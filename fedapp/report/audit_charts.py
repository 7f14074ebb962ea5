"""The audit's charts: dots with intervals, true against false positives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from fedapp.report import drawing
from fedapp.report.audit_figures import CONTROL, OFF, ON, WORDS, Figure, as_printed
from fedapp.report.drawing import ARM_STYLES, INK, MUTED, PAPER
from fedapp.report.pictures import Mark, Picture
from fedapp.wording import NBSP

ARMS = {ON: "federated", OFF: "pooled", CONTROL: "local"}  # whose colour, dash and marker a setting takes
MARKS = {ON: ("--federated", ""), OFF: ("--pooled", "1.5 2.5"), CONTROL: ("--local", "6 3")}
LOW_RATE = 1e-3  # of false positives: an attack that is seldom wrong, see Carlini et al., S&P 2022, arXiv 2112.03570
SMALLEST = 1e-5  # that has a decade of its own on an axis
MANY_TICKS = 5
DRAWN_POINTS = 300
DASHED: Any = (0, (4, 2.5))


def interval_picture(name: str, figures: Sequence[Figure]) -> Picture:
    """One figure of an attack under all settings of the defences that were tried."""
    first, limit = figures[0], next((figure for figure in figures if figure.gated), None)
    chances = " or ".join(dict.fromkeys(figure.guessing for figure in figures))
    legend = [Mark(f"guessing {chances}", "--muted", "4 2.5"), *([Mark(f"limit {limit.limit}", "--ink")] if limit else [])]
    said = "; ".join(f"{WORDS[figure.defences]} {figure.shown}, interval {figure.interval}" for figure in figures)
    alt = f"Dots with 95 % intervals on a logarithmic axis. {said}; {'; '.join(mark.label for mark in legend)}."
    below = " What is below 0 is drawn at 0." if any(number < 0 for figure in figures for number in numbers(figure)) else ""
    return Picture(first.title[:1].upper() + first.title[1:], intervals(name, figures, alt), f"{first.what}{below}", tuple(legend))


def numbers(figure: Figure) -> list[float]:
    """Everything of a figure that has a place on an axis."""
    drawn = [figure.value, figure.lower, figure.upper, figure.chance, *([figure.gate] if figure.gated and figure.gate is not None else [])]
    return [number for number in drawn if math.isfinite(number)]


def intervals(name: str, figures: Sequence[Figure], alt: str) -> str:
    """One line of the chart per figure, with chance (dashed) and the limit (solid)."""

    def draw(axes: Axes) -> None:
        for place, figure in enumerate(figures):
            draw_row(axes, figure, -place)
        share_axis(axes, [number for figure in figures for number in numbers(figure)], figures[0].plain)
        axes.set_yticks([-place for place in range(len(figures))], [f"{row.defences}: {row.shown}" for row in figures])
        axes.set_ylim(-len(figures) + 0.5, 0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")

    return drawing.drawn(name, alt, draw, height=0.55 + 0.32 * len(figures))


def draw_row(axes: Axes, figure: Figure, y: int) -> None:
    """Limit, chance, interval and dot; what is not a number is left out, what is below 0 lies on the edge."""
    style = ARM_STYLES[ARMS[figure.defences]]
    value, lower, upper, chance = (
        max(number, 0.0) if math.isfinite(number) else math.nan for number in (figure.value, figure.lower, figure.upper, figure.chance)
    )
    if figure.gated and figure.gate is not None and math.isfinite(figure.gate):
        axes.axvline(max(figure.gate, 0.0), color=INK, linewidth=1.4)
    axes.plot([chance] * 2, [y - 0.5, y + 0.5], color=MUTED, linewidth=1.2, linestyle=DASHED, clip_on=False)
    axes.plot([lower, upper], [y, y], color=style.colour, linewidth=2, solid_capstyle="butt", clip_on=False)
    axes.plot(value, y, style.marker, color=style.colour, markersize=6, markeredgecolor=PAPER, clip_on=False)


def share_axis(axes: Axes, shares: Sequence[float], plain: bool) -> None:
    """Logarithmic from the decade of the smallest number up to 1 or beyond; a short straight stretch below it reaches 0."""
    floor = decade(min((number for number in shares if number > 0), default=0.1), SMALLEST, 0.1)
    top = max(1.0, *shares) if shares else 1.0
    axes.set_xscale("symlog", linthresh=floor, linscale=0.45)
    axes.set_xlim(0, top)
    powers = range(round(math.log10(floor)), math.floor(math.log10(top)) + 1)
    ticks = [0.0, *(10.0**power for power in powers[:: -1 if len(powers) <= MANY_TICKS else -2])]
    axes.set_xticks(ticks, [as_printed(tick, plain=plain).replace(NBSP, " ") for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def decade(number: float, least: float, most: float) -> float:
    """The power of ten at or below a number that is cut to least..most."""
    return float(10.0 ** math.floor(math.log10(min(max(number, least), most))))


@dataclass(frozen=True)
class RocCurve:
    """True against false positives of a membership attack, both ascending from 0 to 1; see simulation.audit.findings.Curve."""

    attack: str
    adversary: str
    defences: str
    false_positives: list[float]
    true_positives: list[float]

    @property
    def at_low_rate(self) -> float:
        """Share of members recognised while at most `LOW_RATE` of the others are mistaken for members."""
        points = zip(self.false_positives, self.true_positives, strict=True)
        return max((hit for miss, hit in points if miss <= LOW_RATE), default=math.nan)


def read_curve(row: Mapping[str, Any]) -> RocCurve:
    """A curve as the audit saved it.

    Raises:
        KeyError, TypeError, ValueError: A part is missing, not a number, or of another length than its counterpart.
    """
    false, true = ([float(share) for share in row[side]] for side in ("false_positives", "true_positives"))
    if len(false) != len(true) or row["defences"] not in WORDS:
        raise ValueError(f"curve of {row['attack']} has {len(false)} false and {len(true)} true positives, defences {row['defences']!r}")
    return RocCurve(str(row["attack"]), str(row["adversary"]), str(row["defences"]), false, true)


def roc_pictures(curves: Sequence[RocCurve]) -> list[Picture]:
    """One chart per attack and adversary, all settings of the defences in it; curves without points are left out."""
    groups: dict[tuple[str, str], list[RocCurve]] = {}
    for curve in curves:
        if curve.false_positives:
            groups.setdefault((curve.attack, curve.adversary), []).append(curve)
    return [roc_picture(f"roc-{place}", f"{attack}, {by}", curves) for place, ((attack, by), curves) in enumerate(groups.items())]


def roc_picture(name: str, title: str, curves: Sequence[RocCurve]) -> Picture:
    """Members recognised against others mistaken."""
    rates = "; ".join(f"{WORDS[curve.defences]} {as_printed(curve.at_low_rate)}" for curve in curves)
    caption = (
        f"Members recognised when at most {as_printed(LOW_RATE)} of the others are mistaken: {rates}. Guessing: {as_printed(LOW_RATE)}."
    )
    marks = [Mark(WORDS[curve.defences], *MARKS[curve.defences]) for curve in curves]
    legend = (*marks, Mark("guessing", "--muted", "4 2.5"), Mark(f"{as_printed(LOW_RATE)} mistaken", "--ink", "1.5 2"))
    chart = positives(name, curves, f"Curves of {title}, both axes logarithmic. {caption}")
    return Picture(title[:1].upper() + title[1:], chart, caption, legend)


def positives(name: str, curves: Sequence[RocCurve], alt: str) -> str:
    """Members recognised against others mistaken, the diagonal of guessing and 0.1 % marked; points at 0 are drawn at the edge."""
    shares = [share for curve in curves for share in (*curve.false_positives, *curve.true_positives) if share > 0]
    floor = decade(min(shares, default=1e-4), SMALLEST, 1e-4)

    def draw(axes: Axes) -> None:
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1), aspect="equal")
        axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=1.2, linestyle=DASHED)
        axes.axvline(LOW_RATE, color=INK, linewidth=1, linestyle=(0, (1, 1.5)))
        for curve in curves:
            x, y = thinned(np.maximum(curve.false_positives, floor), np.maximum(curve.true_positives, floor))
            style = ARM_STYLES[ARMS[curve.defences]]
            axes.plot(x, y, color=style.colour, linestyle=style.dash, drawstyle="steps-post")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda tick, _: as_printed(tick).replace(NBSP, " ")))
            axis.set_minor_locator(NullLocator())
        axes.set(xlabel="others mistaken for members", ylabel="members recognised")

    return drawing.drawn(name, alt, draw, height=3.8)


def thinned(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """At most about `DRAWN_POINTS` points, evenly spaced along the logarithmic axis, the first and the last among them."""
    if len(x) <= DRAWN_POINTS:
        return x, y
    at = np.searchsorted(x, np.geomspace(x[0], x[-1], DRAWN_POINTS), side="right") - 1
    kept = np.unique([0, *at, len(x) - 1])
    return x[kept], y[kept]
