"""Several partners' datasets as one: the pooled arm that a federation is compared with."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.config import REGRESSION
from fedapp.data.dataset import Dataset, save
from fedapp.data.labels import ABOVE, BELOW, EXACT
from fedapp.data.task_kinds import AUXILIARY, KIND, KINDS, completed
from fedapp.errors import DataError
from fedapp.evaluation.arms import MERGED, POOLED

TASK_KEY = ["group", "threshold", KIND]  # by which tasks of several partners are the same


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
    tasks = pooled.group_by(TASK_KEY).agg(pl.col("unit").first(), pl.col(AUXILIARY).all()).sort(TASK_KEY).with_row_index("merged")
    number = pooled.select("task", *TASK_KEY).join(tasks.with_columns(pl.col("merged").cast(pl.Int32)), on=TASK_KEY, nulls_equal=True)
    renamed = labels.join(number, on="task", maintain_order="left").select(
        *TASK_KEY, "row", pl.col("merged").alias("task"), "value", "censor"
    )
    merged = renamed.group_by(*TASK_KEY, "row", "task", maintain_order=True).agg(_settled())
    counted = [
        kind.count(merged.filter(pl.col(KIND) == name)).with_columns(pl.lit(name).alias(KIND))
        for name, kind in KINDS.items()
        if name in pooled[KIND]
    ]
    weight = (1 / pl.len().over("group")).cast(pl.Float32).alias("weight")
    table = tasks.select(pl.col("merged").cast(pl.Int32).alias("task"), pl.exclude("merged"), weight)
    table = table.join(pl.concat(counted, how="diagonal"), on=TASK_KEY, how="left", nulls_equal=True, maintain_order="left")
    return merged.select("row", "task", "value", "censor"), completed(table).with_columns(
        pl.col("centre").fill_null(0.0), pl.col("scale").fill_null(1.0)
    )


def _settled() -> list[pl.Expr]:
    """value and censor of one compound in one task, of what all partners say; everything that is said stays a label.

    Of classes the majority counts, of equally many the first that is said. Of values the median of the exact ones, else the tightest
    bound from below, else that from above.
    """
    value, censor, share = pl.col("value"), pl.col("censor"), pl.col("value").mean()
    majority = pl.when(share == 0.5).then(value.first()).otherwise((share > 0.5).cast(pl.Float32))
    above, below = value.filter(censor == ABOVE).max(), value.filter(censor == BELOW).min()
    measured = pl.coalesce(value.filter(censor == EXACT).median().cast(pl.Float32), above, below)
    side = pl.when((censor == EXACT).any()).then(pl.lit(EXACT)).when((censor == ABOVE).any()).then(pl.lit(ABOVE)).otherwise(pl.lit(BELOW))
    of_values = pl.col(KIND).first() == REGRESSION
    return [pl.when(of_values).then(measured).otherwise(majority).alias("value"), side.cast(pl.Int8).alias("censor")]


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
