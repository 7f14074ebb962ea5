"""Predictions of a partner's model for new compounds."""

from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np
import polars as pl

from fedapp.chemistry.parallel import describe_many
from fedapp.chemistry.structure import Structure
from fedapp.data.smiles_file import read_smiles
from fedapp.data.task_names import OWN_COLUMNS, column_names, is_value
from fedapp.errors import DataError
from fedapp.model.saved_model import SavedModel, read_model
from fedapp.prediction.model_folder import model_folder
from fedapp.runtime.versions import CHEMISTRY, versions
from fedapp.storage.files import atomic_path
from fedapp.storage.output import check_file
from fedapp.wording import plural

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class Predicted:
    """What was predicted.

    Attributes:
        rows: Compounds with predictions.
        left_out: Compounds without, each with its reason.
        note: The caveat of the data that the model was trained on; may be empty.
        warnings: Why predictions may not be what they would have been where the model was trained.
        chosen: Which of the partner's models predicted, in words.
        read: Which columns of the input were taken for what; "" for a .smi file.
    """

    rows: int
    left_out: int
    note: str
    warnings: tuple[str, ...]
    chosen: str = field(default="", compare=False)
    read: str = field(default="", compare=False)


def predict_file(model: Path, smiles: Path, out: Path) -> Predicted:
    """Write one row per input row: compound_id, smiles, reason (why there is no prediction, else empty), and for each task a
    probability, or a value in its unit.

    The columns of the tasks have the names of `fedapp.data.task_names.column_names`. Auxiliary tasks, which were trained on for the
    others' sake, have none, unless the model has no others.

    Args:
        model: A partner's folder in a run, a partner's site, or an exported folder.
        smiles: As in `read_smiles`.
        out: `.csv` or `.parquet`; if it is there, it must hold earlier predictions.
    Raises:
        RunError: No model there, or one that is damaged.
        DataError: Unreadable input, no usable structure in it, or an unknown kind of output.
        OutputError: `out` is the input, or a file that holds no predictions.
    """
    if out.suffix not in SUFFIXES:
        raise DataError(f"{out}: predictions are written as {' or '.join(SUFFIXES)}", "give --out a name that ends in one of them")
    check_file(out, [smiles], holds_predictions)
    saved = read_model(model_folder(model))
    asked = read_smiles(smiles)
    rows = asked.rows
    readable = rows.filter(pl.col("reason") == "")["smiles"].to_list()
    structures = iter([each for chunk in describe_many(readable, saved.chemistry, key=None) for each in chunk])
    described = [reason or next(structures) for reason in rows["reason"]]
    good = [each for each in described if isinstance(each, Structure)]
    if not good:
        raise DataError(f"{smiles}: none of {plural(len(rows), 'structure')} is usable; the first: {described[0]}")
    indptr = np.concatenate([[0], np.cumsum([len(each.bits) for each in good])])
    predictions = np.full((len(rows), len(saved.tasks)), np.nan, dtype=np.float32)
    usable = np.array([isinstance(each, Structure) for each in described])
    predictions[usable] = saved.predict(indptr, np.concatenate([each.bits for each in good]))
    reasons = ["" if isinstance(each, Structure) else each for each in described]
    predicted = pl.DataFrame(predictions, schema=column_names(saved.tasks), orient="row").fill_nan(None)
    shown = [not auxiliary or bool(saved.auxiliary.all()) for auxiliary in saved.auxiliary]
    table = rows.with_columns(pl.Series("reason", reasons)).hstack(predicted.select(compress(predicted.columns, shown)))
    with atomic_path(out) as path:
        table.write_csv(path) if out.suffix == ".csv" else table.write_parquet(path)
    return Predicted(len(good), len(rows) - len(good), str(saved.header.get("note", "")), other_versions(saved), saved.chosen(), asked.read)


def holds_predictions(path: Path) -> bool:
    """Whether a file is as `predict_file` writes it, and another one may replace it.

    Beside its own columns there are probabilities and values of tasks and nothing else, and none where a reason is given: a table to
    which a person added notes is not.
    """
    try:
        table = pl.scan_csv(path, infer_schema=False, glob=False) if path.suffix == ".csv" else pl.scan_parquet(path, glob=False)
        names = table.collect_schema().names()
        given = []
        for name in names[len(OWN_COLUMNS) :]:
            task = pl.col(name).cast(pl.Float32)
            possible = task.is_finite() if is_value(name) else task.is_between(0, 1)
            given.append((task.is_null() | (possible & (pl.col("reason").fill_null("") == ""))).all().alias(name))
        ours = tuple(names[: len(OWN_COLUMNS)]) == OWN_COLUMNS != tuple(names)
        return ours and all(table.select(given).collect(engine="streaming").row(0))
    except (OSError, UnicodeError, pl.exceptions.PolarsError):
        return False


def other_versions(saved: SavedModel) -> tuple[str, ...]:
    """One sentence for each package whose version may give a structure another fingerprint than in training."""
    trained, here = saved.header.get("versions"), versions()
    if not trained:
        return ("the model does not say with which versions it was trained: some structures may be read otherwise",)
    return tuple(
        f"the model was trained with {name} {trained[name]}, and here is {here[name]}: some structures may be read otherwise"
        for name in CHEMISTRY
        if name in trained and trained[name] != here[name]
    )
