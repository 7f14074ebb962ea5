"""Predictions of a trunk with its heads, and how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch.nn.functional import linear

from fedapp.data.dataset import Dataset
from fedapp.evaluation.scores import SCORES_SCHEMA, metrics_of
from fedapp.model.batches import assemble, chunks
from fedapp.model.network import Heads, Trunk
from fedapp.model.sparse import pattern

CHUNK = 2048


@dataclass(frozen=True)
class TaskScores:
    """Labels of some compounds, with what the heads say of them, all (labels,).

    Attributes:
        tasks, values, censors: int32, float32 and int8, as `fedapp.data.labels.Labels` has them.
        outputs: float32, logits of classes, and of values the predicted value in the task's unit.
    """

    tasks: np.ndarray
    values: np.ndarray
    censors: np.ndarray
    outputs: np.ndarray


def score(trunk: Trunk, heads: Heads, dataset: Dataset, rows: np.ndarray) -> TaskScores:
    """Outputs at every label of the compounds `rows`, without dropout."""
    (scores,) = score_each(trunk, [heads], dataset, rows)
    return scores


@torch.no_grad()
def score_each(trunk: Trunk, variants: Sequence[Heads], dataset: Dataset, rows: np.ndarray) -> list[TaskScores]:
    """As `score`, for each of several heads on one trunk."""
    weights = torch.ones(len(variants[0].bias), device=trunk.weight.device)
    outputs = [[np.empty(0, np.float32)] for _ in variants]
    for chunk in chunks(rows, CHUNK):
        batch = assemble(dataset, chunk, weights)
        features = trunk(batch.bits)
        for heads, parts in zip(variants, outputs, strict=True):
            parts.append(heads(features, batch.pairs).cpu().numpy())
    labels, units = dataset.labels.of(rows), dataset.normalisation
    return [
        TaskScores(labels.tasks, labels.values, labels.censors, units.in_units(labels.tasks, np.concatenate(parts))) for parts in outputs
    ]


def fold_scores(trunk: Trunk, variants: Sequence[Heads], dataset: Dataset, folds: dict[str, int]) -> list[pl.DataFrame]:
    """What each of several heads says of every label in the named folds, fold after fold: columns as in `SCORES_SCHEMA`.

    Auxiliary tasks have none: nothing is chosen by them, and they are in no figure.

    Args:
        folds: Such as {"validation": 1, "test": 0}.
    """
    frames = [[pl.DataFrame(schema=SCORES_SCHEMA)] for _ in variants]
    for fold, number in folds.items():
        rows = dataset.rows_in([number])
        labels = dataset.labels.of(rows)
        columns = {"fold": pl.repeat(fold, len(labels), eager=True), "row": rows[labels.owners], "task": labels.tasks}
        columns |= {"value": labels.values, "censor": labels.censors}
        judged = pl.Series(dataset.judged[labels.tasks])
        for scores, parts in zip(score_each(trunk, variants, dataset, rows), frames, strict=True):
            parts.append(pl.DataFrame(columns | {"output": scores.outputs}, schema_overrides=SCORES_SCHEMA).filter(judged))
    return [pl.concat(parts) for parts in frames]


def evaluate(trunk: Trunk, heads: Heads, dataset: Dataset, folds: dict[str, int], round_number: int) -> pl.DataFrame:
    """Metrics of each task in each of the named folds, as `metrics_of` has them."""
    (scores,) = fold_scores(trunk, [heads], dataset, folds)
    return metrics_of(scores, dataset.judged_kinds, round_number, folds)


@torch.no_grad()
def head_outputs(members: Sequence[tuple[Trunk, Heads, np.ndarray]], indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """What the heads of some models give for each compound, averaged, without dropout: (compounds, tasks), float32.

    Args:
        members: Trunk and heads of each model, on the processor, and how much its outputs count: float32 [tasks], 1 over all members.
        indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
        indices: Set bits.
    """
    bits, parts = len(members[0][0].weight), [np.empty((0, len(members[0][1].bias)), np.float32)]
    for start in range(0, len(indptr) - 1, CHUNK):
        offsets = indptr[start : start + CHUNK + 1]
        chunk = pattern(offsets - offsets[0], indices[offsets[0] : offsets[-1]], bits, torch.device("cpu"))
        outputs = [linear(trunk(chunk), heads.weight, heads.bias).numpy() * share for trunk, heads, share in members]
        parts.append(np.sum(outputs, axis=0))
    return np.concatenate(parts)
