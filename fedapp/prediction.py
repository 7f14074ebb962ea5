"""Predictions of a partner's model for new compounds."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.chemistry.parallel import describe_many
from fedapp.chemistry.structure import Structure
from fedapp.config import Chemistry
from fedapp.data.tables import read_smiles
from fedapp.errors import DataError, RunError
from fedapp.files import atomic_path, read_sealed, reading
from fedapp.model.evaluation import predict


def predict_file(model: Path, smiles: Path, out: Path) -> tuple[int, int]:
    """Write one row per input row: compound_id, smiles, reason (why there is no prediction, else empty), and a probability per task.

    Args:
        model: A partner's folder in a run, with model.safetensors, model.json and dataset/tasks.parquet.
        smiles: CSV, CSV.gz or Parquet with a column smiles and perhaps compound_id, or a .smi file.
        out: `.csv` or `.parquet`.
    Returns:
        Rows predicted, rows without a prediction.
    Raises:
        RunError: No model there.
        DataError: Unreadable input, no usable structure in it, or an unknown kind of output.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise DataError(f"{out}: predictions are written as .csv or .parquet", "give --out a name that ends in one of them")
    if not (model / "model.json").is_file():
        raise RunError(f"no model in {model}", "give the folder of a partner in a finished run, such as runs/RUN/partners/partner-1")
    header = read_sealed(model / "model.json", {"chemistry": dict, "tasks": int}, "restore it from a backup, or train again")
    rows = read_smiles(smiles)
    chemistry = Chemistry(**header["chemistry"])
    described = [each for chunk in describe_many(rows["smiles"].to_list(), chemistry, b"") for each in chunk]
    good = [each for each in described if isinstance(each, Structure)]
    if not good:
        raise DataError(f"{smiles}: none of {len(rows)} structures is usable; the first: {described[0]}")
    indptr = np.concatenate([[0], np.cumsum([len(each.bits) for each in good])])
    probabilities = np.full((len(rows), header["tasks"]), np.nan, dtype=np.float32)
    usable = np.array([isinstance(each, Structure) for each in described])
    probabilities[usable] = predict(model, indptr, np.concatenate([each.bits for each in good]))
    reasons = ["" if isinstance(each, Structure) else each for each in described]
    table = rows.with_columns(pl.Series("reason", reasons)).hstack(
        pl.DataFrame(probabilities, schema=task_names(model / "dataset" / "tasks.parquet"), orient="row").fill_nan(None)
    )
    with atomic_path(out) as path:
        table.write_csv(path) if out.suffix == ".csv" else table.write_parquet(path)
    return len(good), len(rows) - len(good)


def task_names(tasks: Path) -> list[str]:
    """`GROUP >= THRESHOLD`, or `GROUP` where the labels were 0/1."""
    with reading(tasks):
        named = pl.read_parquet(tasks).sort("task").select("group", "threshold")
    return [group if threshold is None else f"{group} >= {json.dumps(round(threshold, 4))}" for group, threshold in named.iter_rows()]
