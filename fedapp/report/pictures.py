"""Which charts a run gets, section by section; each with its title, legend and description in words."""

from dataclasses import dataclass

from fedapp.evaluation.arms import CLASSIFICATION, PRINTED
from fedapp.report.kind_summary import KindSummary

OVER_TASKS = "95 % interval (bootstrap over assays or targets)"


@dataclass(frozen=True)
class Mark:
    """One entry of a legend: label, CSS variable of the colour, SVG dash pattern."""

    label: str
    colour: str
    dash: str = ""


@dataclass(frozen=True)
class Picture:
    """A chart with what stands around it."""

    title: str
    svg: str
    caption: str
    legend: tuple[Mark, ...] = ()


def score_of(kind: KindSummary) -> str:
    """What the score of a kind is called."""
    return PRINTED[kind.metric]


def explained_score(kind: KindSummary) -> str:
    """The score of a kind, in half a sentence."""
    if kind.kind == CLASSIFICATION:
        return "AUC-PR: 1 puts every active before all inactives, guessing gives the share of actives"
    return "Spearman: 1 puts compounds in the order of their measured values, guessing gives 0"
