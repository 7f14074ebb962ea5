"""Several partners' datasets as one: the pooled arm that a federation is compared with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.data.dataset import Dataset, save
from fedapp.data.task_kinds import completed
from fedapp.errors import DataError
from fedapp.evaluation.arms import POOLED


def merge_datasets(datasets: Mapping[str, Dataset], out: Path) -> Dataset:
    """Pool datasets: each compound once (by standardised SMILES), all tasks of all partners side by side.

    Tasks are numbered partner after partner, in the order of the mapping and each in its own order; their group becomes
    "partner/group" and the tasks table gets a column "partner".

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
        tasks.append(completed(dataset.tasks).with_columns(*renamed, pl.lit(partner).alias("partner")))
        labels.append(_labels(dataset, compounds.filter(pl.col("partner") == partner)["row"].to_numpy(), offset))
    lengths = np.concatenate([np.diff(indptr) for indptr, _ in fingerprints])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = np.concatenate([indices for _, indices in fingerprints])
    first_header = next(iter(headers.values()))
    notes = dict.fromkeys(header["note"] for header in headers.values() if header["note"])
    header = {"name": POOLED, "bits": first_header["bits"], "folds": first_header["folds"], "note": "\n".join(notes), "dropped": {}}
    return save(out, header, union, (indptr, indices), labels=pl.concat(labels).sort("row", "task"), tasks=pl.concat(tasks, how="diagonal"))


def _labels(dataset: Dataset, rows: np.ndarray, offset: int) -> pl.DataFrame:
    """A dataset's labels with the pooled numbers of its compounds and tasks."""
    labels = dataset.labels
    return pl.DataFrame(
        {
            "row": rows[labels.owners].astype(np.int64),
            "task": (labels.tasks + offset).astype(np.int32),
            "value": np.array(labels.values),
            "censor": np.array(labels.censors),
        }
    )
