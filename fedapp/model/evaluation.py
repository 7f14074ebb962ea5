"""Predictions of a trunk with its heads, and how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch.nn.functional import linear

from fedapp.data.dataset import Dataset
from fedapp.data.task_kinds import BINARY
from fedapp.evaluation.scores import SCORES_SCHEMA, metrics_of
from fedapp.model.batches import assemble, chunks
from fedapp.model.losses import LOSSES
from fedapp.model.network import Heads, Trunk
from fedapp.model.sparse import pattern

CHUNK = 2048


@dataclass(frozen=True)
class TaskScores:
    """Labels of some compounds, with what the heads say of them: tasks int32, values float32, outputs float32, all (labels,)."""

    tasks: np.ndarray
    values: np.ndarray
    outputs: np.ndarray


@torch.no_grad()
def score(trunk: Trunk, heads: Heads, dataset: Dataset, rows: np.ndarray) -> TaskScores:
    """Outputs at every label of the compounds `rows`, without dropout."""
    weights = torch.ones(len(heads.bias), device=heads.weight.device)
    tasks, values, outputs = [np.empty(0, np.int32)], [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for chunk in chunks(rows, CHUNK):
        batch = assemble(dataset, chunk, weights)
        tasks.append(batch.pairs.indices.cpu().numpy())
        values.append(batch.values.cpu().numpy())
        outputs.append(heads(trunk(batch.bits), batch.pairs).cpu().numpy())
    return TaskScores(np.concatenate(tasks), np.concatenate(values), np.concatenate(outputs))


def fold_scores(trunk: Trunk, heads: Heads, dataset: Dataset, folds: dict[str, int]) -> pl.DataFrame:
    """What the model says of every label in the named folds, fold after fold: columns as in `SCORES_SCHEMA`.

    Args:
        folds: Such as {"validation": 1, "test": 0}.
    """
    frames = [pl.DataFrame(schema=SCORES_SCHEMA)]
    for fold, number in folds.items():
        rows = dataset.rows_in([number])
        labels, scores = dataset.labels.of(rows), score(trunk, heads, dataset, rows)
        columns = {"fold": pl.repeat(fold, len(labels), eager=True), "row": rows[labels.owners], "task": labels.tasks}
        columns |= {"value": labels.values, "censor": labels.censors, "output": scores.outputs}
        frames.append(pl.DataFrame(columns, schema_overrides=SCORES_SCHEMA))
    return pl.concat(frames)


def evaluate(trunk: Trunk, heads: Heads, dataset: Dataset, folds: dict[str, int], round_number: int) -> pl.DataFrame:
    """Metrics of each task in each of the named folds, as `metrics_of` has them."""
    return metrics_of(fold_scores(trunk, heads, dataset, folds), dataset.kinds, round_number, folds)


@torch.no_grad()
def probabilities(members: Sequence[tuple[Trunk, Heads, np.ndarray]], indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Probability of being active of each compound in each task, without dropout: (compounds, tasks), float32.

    Args:
        members: Trunk and heads of each model, on the processor, and how much its outputs count: float32 [tasks], 1 over all members.
        indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
        indices: Set bits.
    """
    bits, parts = len(members[0][0].weight), [np.empty((0, len(members[0][1].bias)), np.float32)]
    for start in range(0, len(indptr) - 1, CHUNK):
        offsets = indptr[start : start + CHUNK + 1]
        chunk = pattern(offsets - offsets[0], indices[offsets[0] : offsets[-1]], bits, torch.device("cpu"))
        outputs = sum(linear(trunk(chunk), heads.weight, heads.bias) * torch.from_numpy(share) for trunk, heads, share in members)
        parts.append(LOSSES[BINARY.loss].predicted(outputs).numpy())
    return np.concatenate(parts)
