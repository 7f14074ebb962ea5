"""Predictions of a trunk with its heads, and how good they are."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from fedapp.data.dataset import Dataset
from fedapp.evaluation.metrics import task_metrics
from fedapp.evaluation.selection import METRICS_SCHEMA
from fedapp.model.batches import assemble, chunks
from fedapp.model.network import Heads, Trunk
from fedapp.model.sparse import pattern

CHUNK = 2048


@dataclass(frozen=True)
class TaskScores:
    """Observed pairs of some compounds, with logits: tasks int32, labels 0/1, logits float32, all (n,)."""

    tasks: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


@torch.no_grad()
def score(trunk: Trunk, heads: Heads, dataset: Dataset, rows: np.ndarray) -> TaskScores:
    """Logits of every observed pair of the compounds `rows`, without dropout."""
    weights = torch.ones(len(heads.bias), device=heads.weight.device)
    tasks, labels, logits = [np.empty(0, np.int32)], [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for chunk in chunks(rows, CHUNK):
        batch = assemble(dataset, chunk, weights)
        tasks.append(batch.pairs.indices.cpu().numpy())
        labels.append(batch.labels.cpu().numpy())
        logits.append(heads(trunk(batch.bits), batch.pairs).cpu().numpy())
    return TaskScores(np.concatenate(tasks), np.concatenate(labels), np.concatenate(logits))


def evaluate(trunk: Trunk, heads: Heads, dataset: Dataset, folds: dict[str, int], round_number: int) -> pl.DataFrame:
    """Metrics of each task in each of the named folds, by fold, then task: columns as in `METRICS_SCHEMA`, null where undefined.

    Args:
        folds: Such as {"validation": 1, "test": 0}.
    """
    frames = []
    for fold, number in folds.items():
        scores = score(trunk, heads, dataset, dataset.rows_in([number]))
        metrics = task_metrics(scores.tasks, scores.labels, scores.logits, len(heads.bias))
        frame = pl.DataFrame({"task": np.arange(len(heads.bias)), **vars(metrics)})
        frames.append(frame.with_columns(pl.lit(round_number).alias("round"), pl.lit(fold).alias("fold")))
    return pl.concat(frames).select(pl.col(name).cast(kind) for name, kind in METRICS_SCHEMA.items()).fill_nan(None)


@torch.no_grad()
def probabilities(trunk: Trunk, heads: Heads, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Probability of being active of each compound in each task, without dropout: (compounds, tasks), float32.

    Args:
        trunk, heads: On the processor.
        indptr: CSR offsets of the compounds' fingerprint bits, starting with 0.
        indices: Set bits.
    """
    bits, parts = len(trunk.weight), [np.empty((0, len(heads.bias)), np.float32)]
    for start in range(0, len(indptr) - 1, CHUNK):
        offsets = indptr[start : start + CHUNK + 1]
        held = pattern(offsets - offsets[0], indices[offsets[0] : offsets[-1]], bits, torch.device("cpu"))
        parts.append(torch.sigmoid(torch.nn.functional.linear(trunk(held), heads.weight, heads.bias)).numpy())
    return np.concatenate(parts)
