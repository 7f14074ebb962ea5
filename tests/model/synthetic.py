"""A small data set whose labels depend on the bits, in memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.data.dataset import Dataset
from fedapp.data.labels import EXACT, Labels


def dataset(name: str = "alpha", compounds: int = 400, bits: int = 256, tasks: int = 6, folds: int = 5, seed: int = 0) -> Dataset:
    """About 20 bits a compound, about 3 observed tasks a compound; a task's label is decided by five bits."""
    random = np.random.default_rng([seed, *name.encode()])
    dense = random.random((compounds, bits)) < 20 / bits
    rule = random.normal(size=(bits, tasks)) * (random.random((bits, tasks)) < 0.1)
    scores = dense @ rule
    labels = scores > np.median(scores, axis=0)
    observed = random.random((compounds, tasks)) < 3 / tasks
    return from_dense(name, dense, labels, observed, random.integers(0, folds, compounds))


def from_dense(name: str, dense: np.ndarray, labels: np.ndarray, observed: np.ndarray, folds: np.ndarray) -> Dataset:
    """A data set out of dense arrays: bits (compounds, bits), labels and observed (compounds, tasks), folds (compounds,)."""
    x_rows, x_columns = np.nonzero(dense)
    y_rows, y_columns = np.nonzero(observed)
    counted = np.where(observed, labels, 0)
    table = pl.DataFrame(
        {
            "task": np.arange(labels.shape[1], dtype=np.int32),
            "group": [f"target{task}" for task in range(labels.shape[1])],
            "threshold": np.full(labels.shape[1], 5.5, np.float32),
            "weight": np.ones(labels.shape[1], np.float32),
            "positives": counted.sum(0).astype(np.int32),
            "negatives": (observed.sum(0) - counted.sum(0)).astype(np.int32),
        }
    )
    return Dataset(
        name=name,
        bits=dense.shape[1],
        folds=folds.astype(np.uint8),
        x_indptr=np.searchsorted(x_rows, np.arange(len(dense) + 1)).astype(np.int64),
        x_indices=x_columns.astype(np.int32),
        labels=Labels.exact(
            indptr=np.searchsorted(y_rows, np.arange(len(dense) + 1)).astype(np.int64),
            tasks=y_columns.astype(np.int32),
            values=labels[y_rows, y_columns].astype(np.float32),
        ),
        tasks=table,
        note="",
        directory=Path("synthetic"),
        digest="",
    )


def with_values(made: Dataset, centre: float = 6.0, scale: float = 2.0, first: int = 3) -> Dataset:
    """The same compounds, whose tasks from `first` on have values in place of classes: near centre + scale or centre - scale; every
    seventh of them is censored."""
    random = np.random.default_rng(0)
    real = made.labels.tasks >= first
    values = centre + scale * (2 * made.labels.values - 1 + random.normal(0, 0.3, len(real)))
    counts = np.bincount(made.labels.tasks, minlength=len(made.tasks))
    later = pl.col("task") >= first
    table = made.tasks.with_columns(
        pl.when(later).then(pl.lit("regression")).otherwise(pl.lit("classification")).alias("kind"),
        pl.lit("p").alias("unit"),
        pl.lit(False).alias("auxiliary"),
        *(pl.when(~later).then(pl.col(name)).alias(name) for name in ("threshold", "positives", "negatives")),
        pl.when(later).then(pl.Series(counts.astype(np.int32))).alias("exact"),
        pl.when(later).then(pl.lit(0, pl.Int32)).alias("censored"),
        *(
            pl.when(later).then(pl.lit(value, pl.Float32)).otherwise(pl.lit(plain, pl.Float32)).alias(name)
            for name, value, plain in (("centre", centre, 0.0), ("scale", scale, 1.0))
        ),
    )
    labels = replace(
        made.labels,
        values=np.where(real, values, made.labels.values).astype(np.float32),
        censors=np.where(real & (np.arange(len(real)) % 7 == 0), np.sign(values - centre), EXACT).astype(np.int8),
    )
    return replace(made, tasks=table, labels=labels)
