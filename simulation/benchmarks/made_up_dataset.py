"""A data set drawn at random in the shape of the largest real one that is tried: as many bits a compound, as many labels a task."""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.data.dataset import Dataset
from fedapp.data.labels import Labels

# ECFP6 of 7,945 compounds of ChEMBL (FS-Mol's extract), folded to 32,768 bits: the share of compounds that hold the bit of each rank.
RANKS = (1, 2, 4, 11, 31, 51, 101, 301, 1001, 3001, 10001, 20001, 32768)
SHARES = (0.986, 0.971, 0.779, 0.577, 0.203, 0.133, 0.07, 0.0244, 0.0072, 0.0029, 0.0011, 0.0005, 0.0001)
BITS = RANKS[-1]
TASKS = 1306
LABELS = 2  # of a compound, on average
SPREAD = 1.0  # standard deviation of the logarithm of a task's labels


def made_up_dataset(compounds: int, seed: int = 1) -> Dataset:
    """Compounds whose bits are independent of each other and of their labels, all in fold 0; nothing is written to disk.

    69 of 32,768 bits a compound, and 2 labels in 1,306 tasks of unequal size.
    """
    random = np.random.default_rng(seed)
    shares = np.exp(np.interp(np.log(np.arange(1, BITS + 1)), np.log(RANKS), np.log(SHARES)))
    x_indptr, x_indices = rows_of(columns_of(random.permutation(shares), compounds, random), compounds)
    sizes = random.lognormal(sigma=SPREAD, size=TASKS)
    y_indptr, y_tasks = rows_of(columns_of(LABELS * sizes / sizes.sum(), compounds, random), compounds)
    return Dataset(
        directory=Path("made-up"),
        name="made up",
        bits=BITS,
        folds=np.zeros(compounds, dtype=np.uint8),
        x_indptr=x_indptr,
        x_indices=x_indices,
        labels=Labels.exact(y_indptr, y_tasks, random.integers(0, 2, len(y_tasks), dtype=np.uint8).astype(np.float32)),
        tasks=pl.DataFrame({"weight": np.ones(TASKS, dtype=np.float32)}),
        note="",
        digest="",
    )


def columns_of(shares: NDArray[np.float64], compounds: int, random: np.random.Generator) -> list[NDArray[np.int64]]:
    """For each column, compounds in it, drawn without repetition."""
    return [random.choice(compounds, count, replace=False) for count in random.binomial(compounds, shares)]


def rows_of(columns: list[NDArray[np.int64]], compounds: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The same matrix by rows: CSR (indptr, indices)."""
    owners = np.concatenate(columns)
    entries = np.repeat(np.arange(len(columns), dtype=np.int32), [len(column) for column in columns])
    order = np.argsort(owners, kind="stable")
    return np.searchsorted(owners[order], np.arange(compounds + 1)), entries[order]
