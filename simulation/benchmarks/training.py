"""How fast a partner trains: epochs of ours and of the yardstick on the same made-up compounds, in turns in this process.

Processor time is told, divided by the threads that compute, since a machine that is not ours alone lets a process wait; on a GPU it is
wall-clock time. Each figure is the median over some epochs; an epoch before them, in which memory is touched for the first time, is not
counted.
"""

import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from fedapp.config import Training
from fedapp.model.network import Heads, Trunk
from fedapp.model.training import choose_device, optimiser, train
from simulation.benchmarks.dense_training import DenseNetwork, dense_epoch
from simulation.benchmarks.made_up_dataset import BITS, TASKS, made_up_dataset

RATE, DECAY, DROPOUT = 0.002, 0.00002, 0.4  # those of conf/default.yaml


@dataclass(frozen=True)
class Size:
    """One training to measure: hidden width, compounds in a batch, and batches in an epoch."""

    hidden: int
    batch: int
    batches: int


SIZES = (Size(400, 512, 10), Size(2000, 2000, 3))


def measure_sizes(repeats: int) -> list[dict[str, Any]]:
    """Both designs at each of `SIZES`, each in a process of its own: what one held is not in the other's peak of memory."""
    measured = []
    for size in SIZES:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            measured.append(fresh.submit(measure_training, size, repeats).result())
    return measured


def measure_training(size: Size, repeats: int) -> dict[str, Any]:
    """Both designs at one size.

    Args:
        repeats: Epochs that count, of each.
    Returns:
        hidden, batch, compounds; device and threads; epoch_s and reference_epoch_s; speedup, the median of the ratios of neighbouring
        epochs, and speedups, all of them, ascending; labels_per_s of ours; peak_memory_gb of ours alone: on a GPU what torch holds
        there, else what this process held when the yardstick had not begun, with the program itself.
    """
    device = choose_device()
    dataset = made_up_dataset(size.batch * size.batches)
    rows = np.arange(size.batch * size.batches)
    settings = Training(size.batch, local_epochs=1, learning_rate=RATE, last_learning_rate=RATE, weight_decay=DECAY)
    trunk, heads = Trunk(BITS, [size.hidden]).to(device), Heads(size.hidden, TASKS).to(device)
    adam = optimiser(trunk, heads, settings)

    def ours() -> None:
        train(trunk, heads, adam, dataset, rows, settings=settings, dropout=DROPOUT, seed=1)

    ours()
    peak = peak_bytes(device)
    network = DenseNetwork(BITS, size.hidden, TASKS, DROPOUT).to(device)
    dense_adam = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=DECAY)

    def reference() -> None:
        dense_epoch(network, dense_adam, dataset, rows, settings)

    reference()
    pairs = [(seconds(ours, device), seconds(reference, device)) for _ in range(repeats)]
    epoch, dense = (median(column) for column in zip(*pairs, strict=True))
    speedups = sorted(dense / own for own, dense in pairs)
    return {
        "hidden": size.hidden,
        "batch": size.batch,
        "compounds": len(rows),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "epoch_s": round(epoch, 4),
        "reference_epoch_s": round(dense, 4),
        "speedup": round(median(speedups), 2),
        "speedups": [round(speedup, 2) for speedup in speedups],
        "labels_per_s": round(len(dataset.labels) / epoch),
        "peak_memory_gb": round(peak / 1e9, 3),
    }


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """What a piece of work takes: processor time by thread, or on a GPU the time until it is done."""
    clock = perf_counter if device.type == "cuda" else process_time
    begun = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return clock() - begun
    return (clock() - begun) / torch.get_num_threads()


def peak_bytes(device: torch.device) -> int:
    """Most memory that was held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
