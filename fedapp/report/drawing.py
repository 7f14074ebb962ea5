"""How the report draws: matplotlib figures as inline SVG whose colours are CSS variables, so that light, dark and print share one drawing.

Every figure is drawn at the width of a phone, so that its text stays readable when the page is narrow. Arms differ by shape or dash as
well as by colour. Names of partners come from outside: they are plain text, never mathematics or markup.
"""

import io
import re
import warnings
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fedapp.evaluation.arms import COMBINED, CONSTANT, FEDERATED, FOREST, LOCAL, LOCAL_TWICE, MERGED, POOLED, UNGUARDED

WIDTH, HEIGHT = 4.7, 3.0
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
OWN, TOGETHER, YARDSTICK = "#050505", "#060606", "#070707"  # trained alone, in the federation, on data in one place
WORSE = "#080808"
SERIES = tuple(f"#0a0a{index:02x}" for index in range(8))
RASTER_POINT = "#3f83c4"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    OWN: "--local",
    TOGETHER: "--federated",
    YARDSTICK: "--pooled",
    WORSE: "--worse",
    **{colour: f"--series-{index}" for index, colour in enumerate(SERIES)},
}


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is drawn: colour, matplotlib's marker, whether that is filled, and the dash of its curve."""

    colour: str
    marker: str
    filled: bool = True
    dash: Any = "-"


ARM_STYLES = {
    LOCAL: ArmStyle(OWN, "s", dash=(0, (4, 2))),
    LOCAL_TWICE: ArmStyle(OWN, "s", filled=False),
    FEDERATED: ArmStyle(TOGETHER, "o", filled=False),
    COMBINED: ArmStyle(TOGETHER, "o"),
    UNGUARDED: ArmStyle(TOGETHER, "v", filled=False),
    POOLED: ArmStyle(YARDSTICK, "D", filled=False, dash=(0, (1, 1.3))),
    MERGED: ArmStyle(YARDSTICK, "D"),
    FOREST: ArmStyle(MUTED, "^"),
    CONSTANT: ArmStyle(MUTED, "x"),
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
