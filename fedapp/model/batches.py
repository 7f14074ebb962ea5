"""Batches cut out of a dataset by CSR slices."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedapp.data.dataset import Dataset
from fedapp.data.task_kinds import TaskKind
from fedapp.model.sparse import Pattern, pattern


@dataclass(frozen=True)
class Batch:
    """Some compounds with their labels, on one device.

    Attributes:
        bits: Fingerprint bits of each compound.
        pairs: The (compound, task) pairs that have a label, compound after compound.
        values: float32 (labels,), of tasks of values in units of the task's own spread, as its head gives them.
        censors: int8 (labels,), as `fedapp.data.labels.Labels` has them; None where all are exact.
        weights: float32 (labels,), a label's own times its task's.
        kinds: Each kind of task, and the places of its labels, int64; None for all of them.
    """

    bits: Pattern
    pairs: Pattern
    values: Tensor
    censors: Tensor | None
    weights: Tensor
    kinds: tuple[tuple[TaskKind, Tensor | None], ...]


def assemble(dataset: Dataset, rows: np.ndarray, task_weights: Tensor) -> Batch:
    """The batch of `rows`, on the device of `task_weights` (tasks,)."""
    device = task_weights.device
    labels = dataset.labels.of(rows)
    pairs = pattern(labels.indptr, labels.tasks, len(task_weights), device)
    own_weights = torch.from_numpy(labels.weights).to(device)
    return Batch(
        bits=pattern(*dataset.fingerprints(rows), dataset.bits, device),
        pairs=pairs,
        values=torch.from_numpy(dataset.normalisation.normalised(labels.tasks, labels.values)).to(device),
        censors=torch.from_numpy(labels.censors).to(device) if labels.censors.any() else None,
        weights=task_weights.index_select(0, pairs.indices).mul_(own_weights),
        kinds=places_by_kind(dataset, labels.tasks, device),
    )


def places_by_kind(dataset: Dataset, tasks: NDArray[np.int32], device: torch.device) -> tuple[tuple[TaskKind, Tensor | None], ...]:
    """Each kind of task of a dataset, and where in `tasks` its own are."""
    if len(dataset.kinds) == 1:
        return tuple((kind, None) for kind in dataset.kinds)
    return tuple((kind, torch.from_numpy(np.flatnonzero(of_kind[tasks])).to(device)) for kind, of_kind in dataset.kinds.items())


def chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """`rows` in consecutive pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
