"""The plot of utility against epsilon, as a file that stands alone."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fedapp.storage.files import atomic_path

CURVE, LIMIT, ALONE = "#1f5f8b", "#444444", "#a04000"


def draw(result: dict[str, Any], path: Path) -> None:
    """An SVG: mean AUC-PR at each epsilon; beside it, without noise and each partner alone.

    Args:
        told: What `privacy.json` holds.
    """
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "privacy", "text.parse_math": False, "font.size": 9}):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        curve(figure.add_subplot(), result)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})


def curve(axes: Axes, result: dict[str, Any]) -> None:
    """Draw it."""
    points = sorted((point["epsilon"], point["auc_pr"]) for point in result["points"] if point["epsilon"] is not None)
    (without,) = (point["auc_pr"] for point in result["points"] if point["epsilon"] is None)
    axes.axhline(without, color=LIMIT, linestyle="-", linewidth=1, label="federated, no noise")
    axes.axhline(result["local"], color=ALONE, linestyle="--", linewidth=1, label="each partner alone, no noise")
    axes.plot(*zip(*points, strict=True), color=CURVE, marker="o", label="federated, record-level privacy")
    axes.set_xscale("log")
    axes.set_xticks([epsilon for epsilon, _ in points], [f"{epsilon:g}" for epsilon, _ in points])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"epsilon of one compound at one partner, delta {result['delta']:g}")
    axes.set_ylabel("mean AUC-PR, test fold")
    axes.set_title(result["name"], loc="left")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
