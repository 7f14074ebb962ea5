"""Batches cut out of a dataset by CSR slices."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedapp.data.dataset import Dataset
from fedapp.model.sparse import Pattern, pattern


@dataclass(frozen=True)
class Batch:
    """Some compounds: their bits, and their observed (compound, task) pairs with 0/1 labels float32 and task weights float32."""

    bits: Pattern
    pairs: Pattern
    labels: Tensor
    weights: Tensor


def assemble(dataset: Dataset, rows: np.ndarray, task_weights: Tensor) -> Batch:
    """The batch of `rows`, on the device of `task_weights` (tasks,)."""
    device = task_weights.device
    indptr, tasks, labels = dataset.labels(rows)
    pairs = pattern(indptr, tasks, len(task_weights), device)
    return Batch(
        bits=pattern(*dataset.fingerprints(rows), dataset.bits, device),
        pairs=pairs,
        labels=torch.from_numpy(np.array(labels, dtype=np.float32)).to(device),
        weights=task_weights.index_select(0, pairs.indices),
    )


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """`rows` in consecutive pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
