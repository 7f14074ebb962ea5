"""A partner's own learning curves, from the files that its rounds leave."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import polars as pl

from fedapp.evaluation.arms import CHOOSING, score_name
from fedapp.evaluation.selection import TEST, VALIDATION, read_round, validation_scores
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.live_files import json_object

SCORE = "score"
ScoresByFold = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Learned:
    """One round of our own model; what is not known yet is None.

    Attributes:
        validation, test: Score of the round's trunk, the mean over tasks that chooses rounds.
        own: Validation score of the model that is trained beside, on our data alone.
        metrics: Means of which the validation score is made: auc_pr of classes, spearman of values.
        loss: Mean of the round's training.
        seconds: That the training took.
    """

    round: int
    validation: float | None
    test: float | None
    own: float | None
    metrics: dict[str, float]
    loss: float | None
    seconds: float | None


def learning(folder: Path, minimum: int, problems: list[str] | None = None) -> list[Learned]:
    """Every round that was trained or evaluated in a partner's folder, ascending.

    Args:
        minimum: Compounds of each class that a task needs to count, as in `fedapp.evaluation.selection`.
        problems: Is told of files that are damaged.
    """
    files = PartnerFolder(folder)
    scores, own = (_scores_by_round(each, minimum, problems) for each in (files, PartnerFolder(files.local)))
    losses = {number: json_object(path, problems) for number, path in files.losses_by_round().items()}
    return [
        Learned(
            round=number,
            validation=_means(scores, number, VALIDATION).get(SCORE),
            test=_means(scores, number, TEST).get(SCORE),
            own=_means(own, number, VALIDATION).get(SCORE),
            metrics={name: mean for name, mean in _means(scores, number, VALIDATION).items() if name != SCORE},
            loss=_number(losses, number, "loss"),
            seconds=_number(losses, number, "seconds"),
        )
        for number in sorted({*scores, *losses})
    ]


def score_of(learned: list[Learned], kinds: Collection[str]) -> str:
    """What the scores are called: by the kinds of tasks that the newest evaluated round has, before any by those of the experiment."""
    known = next((entry.metrics for entry in reversed(learned) if entry.metrics), {})
    return score_name([kind for kind, metric in CHOOSING.items() if metric in known] or kinds)


def _scores_by_round(files: PartnerFolder, minimum: int, problems: list[str] | None) -> dict[int, ScoresByFold]:
    read = {number: (path, _scores(path, path.stat().st_mtime_ns, minimum)) for number, path in files.metrics_by_round().items()}
    if problems is not None:
        problems += [f"{path} is damaged and is left out" for path, scores in read.values() if scores is None]
    return {number: scores for number, (_, scores) in read.items() if scores is not None}


def _means(scores: dict[int, ScoresByFold], number: int, fold: str) -> dict[str, float]:
    return scores.get(number, {}).get(fold, {})


def _number(losses: dict[int, dict[str, object]], number: int, key: str) -> float | None:
    value = losses.get(number, {}).get(key)
    return float(value) if isinstance(value, int | float) and value == value else None


@lru_cache(maxsize=2048)
def _scores(path: Path, _changed: int, minimum: int) -> ScoresByFold | None:
    """Fold to mean scores of one round, None if it is damaged; read once, since a round's file does not change."""
    try:
        metrics = read_round(path)
    except (DamagedFileError, OSError):
        return None
    return {fold: _mean(metrics, fold, minimum) for fold in (VALIDATION, TEST)}


def _mean(metrics: pl.DataFrame, fold: str, minimum: int) -> dict[str, float]:
    """The means that choose rounds, over any fold: score, and those of auc_pr and spearman that it is made of."""
    chosen = metrics.filter(pl.col("fold") == fold).with_columns(pl.lit(VALIDATION).alias("fold"))
    means = next(validation_scores(chosen, minimum, by=("round",)).iter_rows(named=True), {})
    return {name: means[name] for name in (SCORE, *CHOOSING.values()) if means.get(name) is not None}
