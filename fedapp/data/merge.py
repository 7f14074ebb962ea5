"""Several partners' datasets as one: the pooled arm that a federation is compared with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.data.dataset import Dataset, save
from fedapp.data.task_kinds import KIND
from fedapp.errors import DataError
from fedapp.evaluation.arms import MERGED, POOLED


def merge_datasets(datasets: Mapping[str, Dataset], out: Path, one_task_each: bool = False) -> Dataset:
    """Pool datasets: each compound once (by standardised SMILES), all tasks of all partners side by side.

    Tasks are numbered partner after partner, in the order of the mapping and each in its own order; their group becomes
    "partner/group" and the tasks table gets a column "partner".

    Args:
        one_task_each: Tasks of several partners with one group, threshold and kind become one task, sorted by them. Of a compound that
            several partners measured, the majority counts; a tie is what the first of them says, so that every label of a partner has
            its like.
    Raises:
        DataError: Nothing to merge, or datasets with different fingerprints or folds.
    """
    if not datasets:
        raise DataError("no datasets to merge")
    headers = {name: dataset.header for name, dataset in datasets.items()}
    if len({(header["bits"], header["folds"]) for header in headers.values()}) > 1:
        raise DataError("datasets have different fingerprint lengths or numbers of folds", "prepare them all with the same chemistry")
    compounds = pl.concat(
        pl.DataFrame({"smiles": dataset.smiles(), "fold": np.array(dataset.folds)}).with_columns(
            pl.lit(partner).alias("partner"), pl.int_range(pl.len()).alias("own_row")
        )
        for partner, dataset in datasets.items()
    )
    if compounds.group_by("smiles").agg(pl.col("fold").n_unique())["fold"].max() != 1:
        raise DataError("the same compound lies in different folds of two datasets", "partners must share one chemistry.fold_key_file")
    union = compounds.unique("smiles", keep="first", maintain_order=True).with_row_index("row")
    compounds = compounds.join(union.select("smiles", "row"), on="smiles", maintain_order="left")

    fingerprints, labels = [], []
    tasks: list[pl.DataFrame] = []
    for partner, dataset in datasets.items():
        offset = sum(map(len, tasks))
        first = union.filter(pl.col("partner") == partner)["own_row"].to_numpy()
        fingerprints.append(dataset.fingerprints(first))
        renamed = (pl.col("task") + offset).cast(pl.Int32), pl.format("{}/{}", pl.lit(partner), "group").alias("group")
        tasks.append(dataset.tasks.with_columns(*renamed, pl.lit(partner).alias("partner")))
        labels.append(_labels(dataset, compounds.filter(pl.col("partner") == partner)["row"].to_numpy(), offset))
    lengths = np.concatenate([np.diff(indptr) for indptr, _ in fingerprints])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = np.concatenate([indices for _, indices in fingerprints])
    first_header = next(iter(headers.values()))
    notes = dict.fromkeys(header["note"] for header in headers.values() if header["note"])
    header = {"name": POOLED, "bits": first_header["bits"], "folds": first_header["folds"], "note": "\n".join(notes), "dropped": {}}
    every, table = pl.concat(labels), pl.concat(tasks)
    if one_task_each:
        header["name"] = MERGED
        every, table = _as_one_task_each(every, table, [dataset.tasks for dataset in datasets.values()])
    return save(out, header, union, (indptr, indices), labels=every.sort("row", "task"), tasks=table)


def task_key(tasks: pl.DataFrame) -> list[str]:
    """By which columns tasks of several partners are the same."""
    return [name for name in ("group", "threshold", KIND) if name in tasks.columns]


def _as_one_task_each(labels: pl.DataFrame, pooled: pl.DataFrame, own: list[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Labels and tasks in which equal tasks of several partners are one, from those that stand side by side."""
    groups = pl.concat(each.select("group") for each in own)["group"]
    pooled = pooled.with_columns(groups)
    key = task_key(pooled)
    weight = (1 / pl.len().over("group")).cast(pl.Float32).alias("weight")
    tasks = pooled.select(key).unique().sort(key).with_row_index("merged").with_columns(pl.col("merged").cast(pl.Int32), weight)
    number = pooled.select("task", *key).join(tasks, on=key, nulls_equal=True).select("task", "merged")
    renamed = labels.join(number, on="task", maintain_order="left").select("row", pl.col("merged").alias("task"), "label")
    share = pl.col("label").mean()
    settled = pl.when(share == 0.5).then(pl.col("label").first()).otherwise((share > 0.5).cast(pl.UInt8)).cast(pl.UInt8)
    merged = renamed.group_by("row", "task", maintain_order=True).agg(settled.alias("label"))
    positive = pl.col("label").sum().cast(pl.Int32)
    counts = merged.group_by("task").agg(positive.alias("positives"), (pl.len().cast(pl.Int32) - positive).alias("negatives"))
    return merged, tasks.rename({"merged": "task"}).join(counts, on="task", how="left", maintain_order="left").select(
        "task", *key, "weight", "positives", "negatives"
    )


def _labels(dataset: Dataset, rows: np.ndarray, offset: int) -> pl.DataFrame:
    """A dataset's labels with the pooled numbers of its compounds and tasks."""
    labels = dataset.labels
    return pl.DataFrame(
        {"row": rows[labels.owners].astype(np.int64), "task": (labels.tasks + offset).astype(np.int32), "label": np.array(labels.values)}
    )
