"""A partner's own model and the federated one together: which of the two, or their mean, its validation fold says is best.

Where assays are disjoint the mean helps, and where endpoints are shared it harms; no rule but the validation fold tells which, for each
kind of task by itself. The test fold has no say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.errors import RunError
from fedapp.evaluation.arms import FEDERATED, LOCAL
from fedapp.evaluation.scores import LABEL, metrics_of
from fedapp.evaluation.selection import VALIDATION, validation_curve

MEAN = "mean"
MEMBERS = {FEDERATED: (FEDERATED,), MEAN: (FEDERATED, LOCAL), LOCAL: (LOCAL,)}  # each choice, and whose outputs it is the mean of
IN_WORDS = {
    FEDERATED: "the federated model",
    MEAN: "the mean of the federated model and the partner's own",
    LOCAL: "the partner's own model",
}
CHOICES = tuple(MEMBERS)  # of equals the first is chosen
BOTH, ALONE = "both", "alone"  # what predicts a common endpoint: the mean of private and shared head, or the shared one alone
HEADS_IN_WORDS = {BOTH: "common endpoints by own and shared heads together", ALONE: "common endpoints by shared heads alone"}


@dataclass(frozen=True)
class Combination:
    """What was chosen among some models, for each kind of task.

    Attributes:
        choice: Name of a kind of task -> name of one of the models.
        scores: Of what was chosen, as `fedapp.evaluation.scores` has them.
        validation: Name of a kind of task -> each model -> its figure in the validation fold, None where undefined.
    """

    choice: dict[str, str]
    scores: pl.DataFrame
    validation: dict[str, dict[str, float | None]]


def choose(candidates: Mapping[str, pl.DataFrame], kinds: Mapping[Any, NDArray[np.bool_]], minimum: int) -> Combination:
    """Choose for each kind of task the model whose mean in the validation fold is highest, of equals the first.

    Args:
        candidates: Scores of each model, of the same labels.
        kinds: As `metrics_of` takes them.
        minimum: A task has a say with this many of each class in the validation fold, as when a round is chosen.
    """
    choice, validation, parts = {}, {}, []
    for kind, own in kinds.items():
        means = {name: _validated(scores, {kind: own}, minimum) for name, scores in candidates.items()}
        choice[kind.name] = max(candidates, key=lambda name: means[name])
        validation[kind.name] = {name: value if isfinite(value) else None for name, value in means.items()}
        parts.append(candidates[choice[kind.name]].filter(pl.col("task").is_in(np.flatnonzero(own).tolist())))
    return Combination(choice, pl.concat(parts).sort(LABEL), validation)


def combine(federated: pl.DataFrame, local: pl.DataFrame, kinds: Mapping[Any, NDArray[np.bool_]], minimum: int) -> Combination:
    """Choose for each kind of task between the federated model, the local one and the mean of their outputs, one of `CHOICES`.

    Args:
        federated, local: Scores of the same labels.
        kinds, minimum: As `choose` takes them.
    Raises:
        RunError: The two do not score the same labels.
    """
    return choose(dict(zip(CHOICES, (federated, mean_scores([federated, local]), local), strict=True)), kinds, minimum)


def in_words(choice: Mapping[str, str], heads: Mapping[str, str]) -> str:
    """What predicts, such as "the federated model"; of each kind of task, where that differs.

    Args:
        choice: Kind of task -> one of `CHOICES`.
        heads: Kind of task -> `BOTH` or `ALONE`, of those with common endpoints whose shared heads the federated model has.
    """
    federated = IN_WORDS[FEDERATED]
    names = {kind: IN_WORDS[each] for kind, each in choice.items()}
    for kind in names.keys() & heads.keys():
        names[kind] = names[kind].replace(federated, f"{federated} ({HEADS_IN_WORDS[heads[kind]]})")
    alike = len(set(names.values())) == 1
    return "; ".join(dict.fromkeys(names.values()) if alike else (f"{kind}: {name}" for kind, name in names.items()))


def mean_scores(members: list[pl.DataFrame]) -> pl.DataFrame:
    """The scores of an ensemble, whose outputs are the means of its members' outputs.

    Raises:
        RunError: The members do not score the same labels.
    """
    ordered = [scores.sort(LABEL) for scores in members]
    labels = [*LABEL, "value", "censor"]
    if any(not scores.select(labels).equals(ordered[0].select(labels)) for scores in ordered[1:]):
        raise RunError("two models of a partner were not judged by the same labels", "they are of different data: train both again")
    outputs = np.mean([scores["output"].to_numpy() for scores in ordered], axis=0, dtype=np.float64)
    return ordered[0].with_columns(pl.Series("output", outputs, dtype=pl.Float32))


def _validated(scores: pl.DataFrame, kinds: Mapping[Any, NDArray[np.bool_]], minimum: int) -> float:
    """Mean over tasks in the validation fold; without any that is defined, the least that there is."""
    metrics = metrics_of(scores, kinds, folds=[VALIDATION])
    return validation_curve(metrics, minimum).get(0, float("-inf"))
