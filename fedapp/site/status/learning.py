"""A partner's own learning curves, from the files that its rounds leave."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import polars as pl

from fedapp.evaluation.selection import TEST, VALIDATION, read_round, validation_curve
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.live_files import json_object


@dataclass(frozen=True)
class Learned:
    """One round of our own model; what is not known yet is None.

    Attributes:
        validation, test: Mean AUC-PR over tasks with the round's trunk.
        loss: Mean of the round's training.
        seconds: That the training took.
    """

    round: int
    validation: float | None
    test: float | None
    loss: float | None
    seconds: float | None


def learning(folder: Path, minimum: int, problems: list[str] | None = None) -> list[Learned]:
    """Every round that was trained or evaluated in a partner's folder, ascending.

    Args:
        minimum: Compounds of each class that a task needs to count, as in `fedapp.evaluation.selection`.
        problems: Is told of files that are damaged.
    """
    files = PartnerFolder(folder)
    metrics = {number: (path, _scores(path, path.stat().st_mtime_ns, minimum)) for number, path in files.metrics_by_round().items()}
    losses = {number: json_object(path, problems) for number, path in files.losses_by_round().items()}
    if problems is not None:
        problems += [f"{path} is damaged and is left out" for path, scores in metrics.values() if scores is None]
    scores = {number: scored for number, (_, scored) in metrics.items() if scored is not None}
    return [
        Learned(number, *scores.get(number, (None, None)), _number(losses, number, "loss"), _number(losses, number, "seconds"))
        for number in sorted({*scores, *losses})
    ]


def _number(losses: dict[int, dict[str, object]], number: int, key: str) -> float | None:
    value = losses.get(number, {}).get(key)
    return float(value) if isinstance(value, int | float) and value == value else None


@lru_cache(maxsize=1024)
def _scores(path: Path, _changed: int, minimum: int) -> tuple[float | None, float | None] | None:
    """Validation and test score of one round, None if it is damaged; read once, since a round's file does not change."""
    try:
        metrics = read_round(path)
    except (DamagedFileError, OSError):
        return None
    return _mean(metrics, VALIDATION, minimum), _mean(metrics, TEST, minimum)


def _mean(metrics: pl.DataFrame, fold: str, minimum: int) -> float | None:
    """The mean that chooses rounds, over any fold."""
    chosen = metrics.filter(pl.col("fold") == fold).with_columns(pl.lit(VALIDATION).alias("fold"))
    return next(iter(validation_curve(chosen, minimum).values()), None)
