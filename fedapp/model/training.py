"""Training on one partner's own compounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedapp.config import Training
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError, RunError
from fedapp.model.adam import Adam
from fedapp.model.batches import assemble, chunks
from fedapp.model.dropout import Dropout
from fedapp.model.losses import mean_loss
from fedapp.model.network import Heads, Trunk
from fedapp.model.sparse import WeightGradient


@dataclass(frozen=True)
class TrainingOutcome:
    """What a local training did: mean loss over its labels, wall-clock seconds, compounds per epoch and optimiser steps."""

    loss: float
    seconds: float
    compounds: int
    steps: int


def choose_device() -> torch.device:
    """The accelerator if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def optimiser(trunk: Trunk, heads: Heads, settings: Training, held: NDArray[np.bool_] | None = None) -> Adam:
    """Adam over the trunk's parameters, the first layer's weight first, then the heads'.

    Args:
        held: Bits whose rows are trained, bool [bits], all that the training compounds have among them; None for all.
    """
    rows = None if held is None else torch.from_numpy(np.flatnonzero(held)).to(trunk.weight.device)
    return Adam([*trunk.parameters(), *heads.parameters()], settings.learning_rate, settings.weight_decay, rows)


def learning_rate(settings: Training, number: int, rounds: int) -> float:
    """Adam's rate in round `number` of `rounds`: falls linearly from `learning_rate` to `last_learning_rate`.

    Large steps bring the averaged trunk forward in the first rounds; small ones keep the partners' trunks together in the last, so
    that their mean is a good trunk too.
    """
    passed = (number - 1) / max(rounds - 1, 1)
    return settings.learning_rate + min(passed, 1.0) * (settings.last_learning_rate - settings.learning_rate)


@contextmanager
def rows_held(trunk: Trunk, dataset: Dataset, held: Tensor | None) -> Iterator[Dataset]:
    """Inside, the first layer has the rows `held` alone, side by side, as a step goes over them: the dataset with their bits.

    Args:
        held: As `Adam` has it.
    """
    if held is None:
        yield dataset
        return
    whole = trunk.weight.data
    trunk.weight.data = whole.index_select(0, held)
    try:
        yield dataset.of_bits(held.numpy(force=True))
    finally:
        trunk.weight.data = whole.index_copy_(0, held, trunk.weight.data)


def batches_of(rows: np.ndarray, settings: Training, seed: int) -> Iterator[np.ndarray]:
    """The batches of `settings.local_epochs` shuffled passes over `rows`, each ascending."""
    shuffle = np.random.default_rng(seed)
    for _ in range(settings.local_epochs):
        yield from (np.sort(chunk) for chunk in chunks(shuffle.permutation(rows), settings.batch_size))


def train(  # noqa: PLR0913 - a model's parts, its data and how to go over them
    trunk: Trunk,
    heads: Heads,
    adam: Adam,
    dataset: Dataset,
    rows: np.ndarray,
    *,
    settings: Training,
    dropout: float,
    seed: int,
) -> TrainingOutcome:
    """Train trunk and heads in place for `settings.local_epochs` shuffled passes over `rows`.

    Equal arguments give equal bits, on the same machine with the same number of threads.

    Args:
        rows: Compounds to learn from, int64.
        seed: Order of the compounds and dropout derive from it alone.
    Raises:
        DataError: `rows` is empty.
        RunError: The loss is no longer finite.
    """
    if not len(rows):
        raise DataError(f"{dataset.name} has no compounds to train on", "all of them lie in the validation and test folds")
    started, device = perf_counter(), heads.weight.device
    drops = Dropout(dropout, torch.Generator(device=device).manual_seed(seed))
    task_weights = torch.from_numpy(np.array(dataset.task_weights, dtype=np.float32)).to(device)
    total = torch.zeros((), dtype=torch.float64, device=device)
    steps = 0
    with rows_held(trunk, dataset, adam.held) as compounds:
        for chunk in batches_of(rows, settings, seed):
            batch = assemble(compounds, chunk, task_weights)
            adam.zero_grad()
            kept: list[WeightGradient] = []
            loss = mean_loss(heads(trunk(batch.bits, drops, kept), batch.pairs), batch)
            loss.backward()
            adam.step(*kept)
            total += loss.detach()
            steps += 1
    mean = total.item() / steps
    if not np.isfinite(mean):
        raise RunError(f"training of {dataset.name} diverged: the loss is not finite", "lower training.learning_rate")
    return TrainingOutcome(mean, perf_counter() - started, len(rows), steps)
