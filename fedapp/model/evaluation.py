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


@torch.no_grad()
def score(trunk: Trunk, heads: Heads, dataset: Dataset, rows: np.ndarray) -> TaskScores:
    """Outputs at every label of the compounds `rows`, without dropout."""
    weights = torch.ones(len(heads.bias), device=heads.weight.device)
    outputs = [np.empty(0, np.float32)]
    for chunk in chunks(rows, CHUNK):
        batch = assemble(dataset, chunk, weights)
        outputs.append(heads(trunk(batch.bits), batch.pairs).cpu().numpy())
    labels = dataset.labels.of(rows)
    in_units = dataset.normalisation.in_units(labels.tasks, np.concatenate(outputs))
    return TaskScores(labels.tasks, labels.values, labels.censors, in_units)


def fold_scores(trunk: Trunk, heads: Heads, dataset: Dataset, folds: dict[str, int]) -> pl.DataFrame:
    """What the model says of every label in the named folds, fold after fold: columns as in `SCORES_SCHEMA`.

    Auxiliary tasks have none: nothing is chosen by them, and they are in no figure.

    Args:
        folds: Such as {"validation": 1, "test": 0}.
    """
    frames = [pl.DataFrame(schema=SCORES_SCHEMA)]
    for fold, number in folds.items():
        rows = dataset.rows_in([number])
        labels, scores = dataset.labels.of(rows), score(trunk, heads, dataset, rows)
        columns = {"fold": pl.repeat(fold, len(labels), eager=True), "row": rows[labels.owners], "task": labels.tasks}
        columns |= {"value": labels.values, "censor": labels.censors, "output": scores.outputs}
        frames.append(pl.DataFrame(columns, schema_overrides=SCORES_SCHEMA).filter(pl.Series(dataset.judged[labels.tasks])))
    return pl.concat(frames)


def evaluate(trunk: Trunk, heads: Heads, dataset: Dataset, folds: dict[str, int], round_number: int) -> pl.DataFrame:
    """Metrics of each task in each of the named folds, as `metrics_of` has them."""
    return metrics_of(fold_scores(trunk, heads, dataset, folds), dataset.judged_kinds, round_number, folds)


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
