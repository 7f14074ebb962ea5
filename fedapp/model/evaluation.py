"""Predictions of a trunk with its heads, and how good they are."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from fedapp.data.dataset import Dataset
from fedapp.data.task_kinds import TaskKind
from fedapp.evaluation.selection import with_every_column
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


def evaluate(trunk: Trunk, heads: Heads, dataset: Dataset, folds: dict[str, int], round_number: int) -> pl.DataFrame:
    """Metrics of each task in each of the named folds, by fold, then task: columns as in `METRICS_SCHEMA`, null where undefined.

    Auxiliary tasks have none: nothing is chosen by them, and they are in no figure.

    Args:
        folds: Such as {"validation": 1, "test": 0}.
    """
    frames = []
    for fold, number in folds.items():
        scores = score(trunk, heads, dataset, dataset.rows_in([number]))
        measured = [measure(kind, tasks & dataset.judged, scores) for kind, tasks in dataset.kinds.items()]
        named = pl.lit(round_number).alias("round"), pl.lit(fold).alias("fold")
        frames.append(pl.concat(measured, how="diagonal").sort("task").with_columns(named))
    return with_every_column(pl.concat(frames).fill_nan(None))


def measure(kind: TaskKind, own: np.ndarray, scores: TaskScores) -> pl.DataFrame:
    """task and the metrics of one kind, of its `own` tasks, bool [tasks]."""
    of_kind = own[scores.tasks]
    tasks, values, censors, outputs = (column[of_kind] for column in (scores.tasks, scores.values, scores.censors, scores.outputs))
    metrics = kind.measure(tasks, values, censors, outputs, len(own))
    return pl.DataFrame({"task": np.arange(len(own)), **vars(metrics)}).filter(own)


@torch.no_grad()
def head_outputs(trunk: Trunk, heads: Heads, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """What each head gives for each compound, without dropout: (compounds, tasks), float32.

    Args:
        trunk, heads: On the processor.
        indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
        indices: Set bits.
    """
    bits, parts = len(trunk.weight), [np.empty((0, len(heads.bias)), np.float32)]
    for start in range(0, len(indptr) - 1, CHUNK):
        offsets = indptr[start : start + CHUNK + 1]
        chunk = pattern(offsets - offsets[0], indices[offsets[0] : offsets[-1]], bits, torch.device("cpu"))
        parts.append(torch.nn.functional.linear(trunk(chunk), heads.weight, heads.bias).numpy())
    return np.concatenate(parts)
