"""How a run's result is told in the terminal: an arm's means in a line, and what one gains over another."""

from collections.abc import Mapping
from typing import Any

from fedapp.evaluation.arms import ARMS, AUC_PR, AUC_ROC, COMBINED, PRINTED, R2, SPEARMAN

SHOWN = (AUC_PR, AUC_ROC, SPEARMAN, R2)


def arm_lines(result: Mapping[str, Any]) -> list[str]:
    """One for each arm of a result, with its means that are known."""
    lines = []
    for arm in (arm for arm in ARMS if arm in result):
        known = [f"{PRINTED[metric]} {result[arm][metric]:.4f}" for metric in SHOWN if result[arm].get(metric) is not None]
        lines.append(f"{arm:<11} {'  '.join(known)}")
    return lines


def gain_line(base: str, metric: str, gain: Mapping[str, float | None]) -> str:
    """What the combined model gains over another arm."""
    return f"{COMBINED} over {base}: {with_bounds(gain, '+.4f')} {PRINTED[metric]}, with the 95 % interval over tasks"


def with_bounds(interval: Mapping[str, float | None], form: str) -> str:
    """A figure, and in brackets its interval if it has one."""
    value, low, high = (interval[key] for key in ("value", "low", "high"))
    return f"{value:{form}}" if low is None else f"{value:{form}} ({low:{form}} to {high:{form}})"
