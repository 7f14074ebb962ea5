"""Several partners' datasets as one: the pooled arm that a federation is compared with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.data.dataset import Dataset, save
from fedapp.data.labels import ABOVE, BELOW, EXACT
from fedapp.data.task_kinds import AUXILIARY, KIND, KINDS, completed
from fedapp.errors import DataError
from fedapp.evaluation.arms import MERGED, POOLED

TASK_KEY = ["group", KIND, "threshold"]  # by which tasks of several partners are the same
SAME_LABEL = ["group", "threshold", "row"]
RELATIONS = {BELOW: "<", EXACT: "=", ABOVE: ">"}


def merge_datasets(datasets: Mapping[str, Dataset], out: Path, one_task_each: bool = False) -> Dataset:
    """Pool datasets: each compound once (by standardised SMILES), all tasks of all partners side by side.

    Tasks are numbered partner after partner, in the order of the mapping and each in its own order; their group becomes
    "partner/group" and the tasks table gets a column "partner".

    Args:
        one_task_each: Tasks of several partners with one group, threshold and kind become one task, sorted by them. Of a compound that
            several partners measured, that label counts which one partner would make of all; where that would make none, as of a tie,
            what the first of them says, so that every label of a partner has its like.
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
    every, table = pl.concat(labels), pl.concat(tasks, how="diagonal")
    if one_task_each:
        header["name"] = MERGED
        every, table = _as_one_task_each(every, table, [dataset.tasks for dataset in datasets.values()])
    return save(out, header, union, (indptr, indices), labels=every.sort("row", "task"), tasks=table)


def _as_one_task_each(labels: pl.DataFrame, pooled: pl.DataFrame, own: list[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Labels and tasks in which equal tasks of several partners are one, from those that stand side by side."""
    pooled = pooled.with_columns(pl.concat(each.select("group") for each in own)["group"])
    relation = pl.col("censor").replace_strict(RELATIONS, return_dtype=pl.String).alias("relation")
    every = labels.join(pooled.select("task", *TASK_KEY), on="task", maintain_order="left").with_columns(relation)
    settled, counts = [], []
    for name in pooled[KIND].unique(maintain_order=True):
        voted = every.filter(pl.col(KIND) == name)
        agreed = KINDS[name].settle(voted)
        first = voted.unique([*SAME_LABEL], keep="first", maintain_order=True).join(agreed, on=SAME_LABEL, how="anti", nulls_equal=True)
        agreed = pl.concat([agreed, first.select(agreed.columns)])
        settled.append(agreed.with_columns(pl.lit(name).alias(KIND)))
        counts.append(KINDS[name].count(agreed).with_columns(pl.lit(name).alias(KIND)))
    facts = pooled.group_by(TASK_KEY).agg(pl.col("weight").max(), pl.col("unit").first(), pl.col(AUXILIARY).all())
    tasks = pl.concat(counts, how="diagonal").join(facts, on=TASK_KEY, nulls_equal=True).sort(TASK_KEY)
    absent = [
        pl.lit(None).cast(pooled.schema[name]).alias(name) for name in pooled.columns if name not in (*tasks.columns, "task", "partner")
    ]
    tasks = tasks.with_columns(absent).with_row_index("task").cast({"task": pl.Int32})
    tasks = tasks.with_columns(pl.col("centre").fill_null(0.0), pl.col("scale").fill_null(1.0))
    merged = pl.concat(settled).join(tasks.select("task", *TASK_KEY), on=TASK_KEY, nulls_equal=True)
    return merged.select("row", "task", "value", "censor"), tasks.select(name for name in pooled.columns if name != "partner")


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
