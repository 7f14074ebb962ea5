"""The audit's figures as saved, how they read in print, and their charts: dots with intervals, true against false positives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from fedapp.report import charts
from fedapp.report.charts import ARM_COLOURS, ARM_DASHES, ARM_MARKERS, INK, MUTED, PAPER
from fedapp.report.pictures import Mark, Picture
from fedapp.report.wording import DASH, MINUS, NBSP

ON, OFF, CONTROL = "on", "off", "control"
WORDS = {ON: "defences on", OFF: "defences off", CONTROL: "control setting"}
ARMS = {ON: "federated", OFF: "pooled", CONTROL: "local"}  # whose colour, dash and marker a setting takes
MARKS = {ON: ("--federated", ""), OFF: ("--pooled", "1.5 2.5"), CONTROL: ("--local", "6 3")}
JUDGED = {"value": "figure", "lower": "lower end", "upper": "upper end"}
PLAIN = {"canary_epsilon", "data_quality", "correlation", "uniform bytes"}  # names and attacks whose figures are no shares
TEXTS = ("name", "attack", "adversary", "defences", "what", "judged", "note")
NUMBERS = ("value", "lower", "upper", "chance")
LOW_RATE = 1e-3  # of false positives: an attack that is seldom wrong, see Carlini et al., S&P 2022, arXiv 2112.03570
SMALLEST = 1e-5  # that has a decade of its own on an axis
MANY_TICKS = 5
DRAWN_POINTS = 300
PERCENT = f"{NBSP}%"
DASHED: Any = (0, (4, 2.5))


def told(value: float, limit: float | None = None, digits: int = 2, plain: bool = False) -> str:
    """A figure in print.

    Args:
        value: A dash if it is not a number.
        limit: What it is held against: digits are added until the printed figure lies on the same side of it as the true one.
        digits: Significant ones, at least.
        plain: A number as it is. Otherwise a share, in percent if it lies from -1 to 1.
    """
    if not math.isfinite(value):
        return DASH
    plain, factor = (True, 1) if plain or abs(value) > 1 else (False, 100)
    texts = [fixed(value, abs(value), places + 1) if plain else percentage(value, places) for places in range(digits, 12)]
    if limit is None or not math.isfinite(limit):
        return texts[0]
    return next((text for text in texts if (printed(text) <= round(limit * factor, 10)) == (value <= limit)), texts[-1])


def percentage(share: float, digits: int = 2) -> str:
    """A share in `digits` significant digits, counted from the nearer of 0 and 100 %: 0.08 %, 42 %, 99.96 %."""
    value = share * 100
    return fixed(value, min(abs(value), 100 - abs(value)), digits) + PERCENT


def fixed(value: float, size: float, digits: int) -> str:
    """A number with as many decimals as `size` needs for `digits` significant digits, without zeros at the end."""
    places = max(0, digits - 1 - math.floor(math.log10(size))) if size > 0 else 0
    text = f"{value:.{min(places, 12)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def printed(text: str) -> float:
    """The number that is printed, percent as percent."""
    return float(text.removesuffix(PERCENT).replace(MINUS, "-"))


def span(lower: float, upper: float, limit: float | None = None, plain: bool = False) -> str:
    """An interval: 0 to 0.08 %. Ends that differ do not look alike."""
    pairs = ((told(lower, limit, digits, plain), told(upper, limit, digits, plain)) for digits in range(2, 12))
    low, high = next((pair for pair in pairs if pair[0] != pair[1]), (told(lower, plain=plain),) * 2)
    if low == high:
        return low
    return f"{low.removesuffix(PERCENT) if high.endswith(PERCENT) else low} to {high}"


@dataclass(frozen=True)
class Figure:
    """One figure of one attack, see simulation.audit.findings.Finding; NaN where the audit found none."""

    name: str
    attack: str
    adversary: str
    defences: str
    what: str
    judged: str
    note: str
    value: float
    lower: float
    upper: float
    chance: float
    gate: float | None
    trials: int
    told_pass: bool

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def gated(self) -> bool:
        """Limits are for the configuration that is used."""
        return self.gate is not None and self.defences == ON

    @property
    def leaks(self) -> bool:
        """Whether the attack does better than guessing, by its whole interval."""
        return self.lower > self.chance

    @property
    def limited(self) -> float:
        """What the gate limits."""
        return float(getattr(self, self.judged))

    @property
    def holds(self) -> bool:
        """Whether the gate holds by the file's word and by its figures alike."""
        return self.gate is not None and self.told_pass and self.limited <= self.gate

    @property
    def plain(self) -> bool:
        return self.name in PLAIN or self.attack in PLAIN

    @property
    def shown(self) -> str:
        return told(self.value, self.gate if self.judged == "value" else None, plain=self.plain)

    @property
    def interval(self) -> str:
        return span(self.lower, self.upper, None if self.judged == "value" else self.gate, self.plain)

    @property
    def guessing(self) -> str:
        return told(self.chance, plain=self.plain)

    @property
    def limit(self) -> str:
        return DASH if self.gate is None else told(self.gate, digits=3, plain=self.plain)

    @property
    def result(self) -> str:
        if self.gated:
            return "holds" if self.holds else "fails"
        return "above chance" if self.leaks else "not above chance"


def read_figure(row: Mapping[str, Any]) -> Figure:
    """A finding as the audit saved it.

    Raises:
        KeyError, TypeError, ValueError: A part is missing or of the wrong kind.
    """
    if row["defences"] not in WORDS or row["judged"] not in JUDGED:
        raise ValueError(f"finding {row['name']} has defences {row['defences']!r} and judged {row['judged']!r}")
    parts: dict[str, Any] = {key: str(row[key]) for key in TEXTS}
    parts |= {key: math.nan if row[key] is None else float(row[key]) for key in NUMBERS}
    gate = None if row["gate"] is None else float(row["gate"])
    return Figure(**parts, gate=gate, trials=int(row["trials"]), told_pass=row["pass"] is True)


def interval_picture(name: str, figures: Sequence[Figure]) -> Picture:
    """One figure of an attack under all settings of the defences that were tried."""
    first, limit = figures[0], next((each for each in figures if each.gated), None)
    chances = " or ".join(dict.fromkeys(each.guessing for each in figures))
    legend = [Mark(f"guessing {chances}", "--muted", "4 2.5"), *([Mark(f"limit {limit.limit}", "--ink")] if limit else [])]
    said = "; ".join(f"{WORDS[each.defences]} {each.shown}, interval {each.interval}" for each in figures)
    alt = f"Dots with 95 % intervals on a logarithmic axis. {said}; {'; '.join(mark.label for mark in legend)}."
    below = " What is below 0 is drawn at 0." if any(number < 0 for each in figures for number in numbers(each)) else ""
    return Picture(first.title[:1].upper() + first.title[1:], intervals(name, figures, alt), f"{first.what}{below}", tuple(legend))


def numbers(figure: Figure) -> list[float]:
    """Everything of a figure that has a place on an axis."""
    held = [figure.value, figure.lower, figure.upper, figure.chance, *([figure.gate] if figure.gated and figure.gate is not None else [])]
    return [number for number in held if math.isfinite(number)]


def intervals(name: str, figures: Sequence[Figure], alt: str) -> str:
    """One line of the chart per figure, with chance (dashed) and the limit (solid)."""

    def draw(axes: Axes) -> None:
        for place, figure in enumerate(figures):
            draw_row(axes, figure, -place)
        share_axis(axes, [number for figure in figures for number in numbers(figure)], figures[0].plain)
        axes.set_yticks([-place for place in range(len(figures))], [f"{each.defences}: {each.shown}" for each in figures])
        axes.set_ylim(-len(figures) + 0.5, 0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")

    return charts.drawn(name, alt, draw, height=0.55 + 0.32 * len(figures))


def draw_row(axes: Axes, figure: Figure, y: int) -> None:
    """Limit, chance, interval and dot; what is not a number is left out, what is below 0 lies on the edge."""
    arm = ARMS[figure.defences]
    value, lower, upper, chance = (
        max(number, 0.0) if math.isfinite(number) else math.nan for number in (figure.value, figure.lower, figure.upper, figure.chance)
    )
    if figure.gated and figure.gate is not None and math.isfinite(figure.gate):
        axes.axvline(max(figure.gate, 0.0), color=INK, linewidth=1.4)
    axes.plot([chance] * 2, [y - 0.5, y + 0.5], color=MUTED, linewidth=1.2, linestyle=DASHED, clip_on=False)
    axes.plot([lower, upper], [y, y], color=ARM_COLOURS[arm], linewidth=2, solid_capstyle="butt", clip_on=False)
    axes.plot(value, y, ARM_MARKERS[arm], color=ARM_COLOURS[arm], markersize=6, markeredgecolor=PAPER, clip_on=False)


def share_axis(axes: Axes, held: Sequence[float], plain: bool) -> None:
    """Logarithmic from the decade of the smallest number up to 1 or beyond; a short straight stretch below it reaches 0."""
    floor = decade(min((number for number in held if number > 0), default=0.1), SMALLEST, 0.1)
    top = max(1.0, *held) if held else 1.0
    axes.set_xscale("symlog", linthresh=floor, linscale=0.45)
    axes.set_xlim(0, top)
    powers = range(round(math.log10(floor)), math.floor(math.log10(top)) + 1)
    ticks = [0.0, *(10.0**power for power in powers[:: -1 if len(powers) <= MANY_TICKS else -2])]
    axes.set_xticks(ticks, [told(tick, plain=plain).replace(NBSP, " ") for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def decade(number: float, least: float, most: float) -> float:
    """The power of ten at or below a number that is cut to least..most."""
    return float(10.0 ** math.floor(math.log10(min(max(number, least), most))))


@dataclass(frozen=True)
class Curve:
    """True against false positives of a membership attack, both ascending from 0 to 1; see simulation.audit.findings.Curve."""

    attack: str
    adversary: str
    defences: str
    false_positives: list[float]
    true_positives: list[float]

    @property
    def at_low_rate(self) -> float:
        """Share of members recognised while at most `LOW_RATE` of the others are mistaken for members."""
        held = zip(self.false_positives, self.true_positives, strict=True)
        return max((hit for miss, hit in held if miss <= LOW_RATE), default=math.nan)


def read_curve(row: Mapping[str, Any]) -> Curve:
    """A curve as the audit saved it.

    Raises:
        KeyError, TypeError, ValueError: A part is missing, not a number, or of another length than its counterpart.
    """
    false, true = ([float(share) for share in row[side]] for side in ("false_positives", "true_positives"))
    if len(false) != len(true) or row["defences"] not in WORDS:
        raise ValueError(f"curve of {row['attack']} has {len(false)} false and {len(true)} true positives, defences {row['defences']!r}")
    return Curve(str(row["attack"]), str(row["adversary"]), str(row["defences"]), false, true)


def roc_pictures(curves: Sequence[Curve]) -> list[Picture]:
    """One chart per attack and adversary, all settings of the defences in it; curves without points are left out."""
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        if curve.false_positives:
            groups.setdefault((curve.attack, curve.adversary), []).append(curve)
    return [roc_picture(f"roc-{place}", f"{attack}, {by}", held) for place, ((attack, by), held) in enumerate(groups.items())]


def roc_picture(name: str, title: str, curves: Sequence[Curve]) -> Picture:
    """Members recognised against others mistaken."""
    rates = "; ".join(f"{WORDS[curve.defences]} {told(curve.at_low_rate)}" for curve in curves)
    caption = f"Members recognised when at most {told(LOW_RATE)} of the others are mistaken: {rates}. Guessing: {told(LOW_RATE)}."
    marks = [Mark(WORDS[curve.defences], *MARKS[curve.defences]) for curve in curves]
    legend = (*marks, Mark("guessing", "--muted", "4 2.5"), Mark(f"{told(LOW_RATE)} mistaken", "--ink", "1.5 2"))
    chart = positives(name, curves, f"Curves of {title}, both axes logarithmic. {caption}")
    return Picture(title[:1].upper() + title[1:], chart, caption, legend)


def positives(name: str, curves: Sequence[Curve], alt: str) -> str:
    """Members recognised against others mistaken, the diagonal of guessing and 0.1 % marked; points at 0 are drawn at the edge."""
    shares = [share for curve in curves for share in (*curve.false_positives, *curve.true_positives) if share > 0]
    floor = decade(min(shares, default=1e-4), SMALLEST, 1e-4)

    def draw(axes: Axes) -> None:
        axes.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1), aspect="equal")
        axes.plot([floor, 1], [floor, 1], color=MUTED, linewidth=1.2, linestyle=DASHED)
        axes.axvline(LOW_RATE, color=INK, linewidth=1, linestyle=(0, (1, 1.5)))
        for curve in curves:
            x, y = thinned(np.maximum(curve.false_positives, floor), np.maximum(curve.true_positives, floor))
            arm = ARMS[curve.defences]
            axes.plot(x, y, color=ARM_COLOURS[arm], linestyle=ARM_DASHES[arm], drawstyle="steps-post")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda tick, _: told(tick).replace(NBSP, " ")))
            axis.set_minor_locator(NullLocator())
        axes.set(xlabel="others mistaken for members", ylabel="members recognised")

    return charts.drawn(name, alt, draw, height=3.8)


def thinned(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """At most about `DRAWN_POINTS` points, evenly spaced along the logarithmic axis, the first and the last among them."""
    if len(x) <= DRAWN_POINTS:
        return x, y
    at = np.searchsorted(x, np.geomspace(x[0], x[-1], DRAWN_POINTS), side="right") - 1
    kept = np.unique([0, *at, len(x) - 1])
    return x[kept], y[kept]
