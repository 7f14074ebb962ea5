"""Tables -> prepared folder: checked, standardised, fingerprinted; the part that takes minutes, done once per set of tables."""

import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import rdkit
from numpy.typing import NDArray

from fedapp.chemistry.fold import read_key
from fedapp.chemistry.parallel import describe_many
from fedapp.chemistry.structure import Structure
from fedapp.config import Chemistry
from fedapp.data import curate
from fedapp.data.dataset import PREPARED_FORMAT
from fedapp.data.inputs import TABLES, Inputs, read_inputs
from fedapp.data.matching import check_assays, list_compounds, match_compounds, split_assays
from fedapp.data.tables import NOTE_FILE, find_table, read_note
from fedapp.errors import DataError
from fedapp.files import atomic_directory, write_json, write_text

SUMMARY, REJECTED = "summary.json", "rejected.csv"


@dataclass
class Structures:
    """Unique structures in order of first appearance; row numbers index all lists."""

    rows: dict[str, int] = field(default_factory=dict)
    folds: list[int] = field(default_factory=list)
    bits: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, structure: Structure) -> int:
        """Row of a structure, new or known."""
        row = self.rows.setdefault(structure.smiles, len(self.rows))
        if row == len(self.folds):
            self.folds.append(structure.fold)
            self.bits.append(structure.bits)
        return row


def prepare(
    tables: Path,
    out: Path,
    chemistry: Chemistry,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Check tables, compute structures, and write the folder `out`, as a whole or not at all.

    Args:
        tables: Folder with compounds.*, activities.* and perhaps assays.* (CSV, CSV.gz or Parquet), or one file with everything.
        out: Folder to write; one that is there is replaced. Where nothing is usable it gets rejected.csv alone, and where there is an
            earlier one, that stays and the file is written beside it.
        chemistry: Standardisation, fingerprint and folds.
        progress: Called with (structures done, all structures).
        workers: Processes; None means one per core.
    Returns:
        The summary that is also written as summary.json: per table the columns taken, the rows read, accepted and rejected by reason;
        structures; chemistry; versions; digest of inputs and settings; note.
    Raises:
        DataError: Tables that cannot be read, nothing usable in them, an unusable fold key, or a worker that died.
    """
    key = read_key(chemistry.fold_key_file)
    inputs, note = read_inputs(tables), read_note(tables)
    rejects = curate.Rejects()
    for table in inputs.tables().values():
        rejects.open(table)
    measured = curate.check_activities(inputs.activities, rejects)
    measured, assays = check_assays(inputs, measured, rejects)
    if measured.is_empty():  # said at once, not after minutes of chemistry
        raise _nothing_usable(inputs, rejects, out)
    listed = list_compounds(inputs, measured, rejects)
    structures = Structures()
    described = curate.contradictions(_compute(listed, chemistry, key, structures, progress, workers))
    accepted, measured = match_compounds(inputs, measured, described, rejects)
    if measured.is_empty():
        raise _nothing_usable(inputs, rejects, out)
    measured, assays, split = split_assays(measured, assays)
    measured = curate.check_repeats(inputs.activities, measured, inputs.compound, rejects)
    summary = _summarise(inputs, rejects, accepted["row"].n_unique(), chemistry)
    summary |= {"assays_split": split, "digest": input_digest(tables, chemistry), "note": note}
    with atomic_directory(out) as folder:
        _write(folder, accepted, structures, measured, assays, rejects)
        write_json(folder / SUMMARY, summary)
    return summary


def _compute(
    listed: pl.DataFrame,
    chemistry: Chemistry,
    key: bytes,
    structures: Structures,
    progress: Callable[[int, int], None] | None,
    workers: int | None,
) -> pl.DataFrame:
    """Describe the column smiles; adds row (i32) of the structure, or why (str) there is none."""
    rows: list[int | None] = []
    reasons: list[str | None] = []
    with closing(describe_many(listed["smiles"].to_list(), chemistry, key, workers, progress)) as chunks:
        for each in chain.from_iterable(chunks):
            rows.append(structures.add(each) if isinstance(each, Structure) else None)
            reasons.append(each if isinstance(each, str) else None)
    return listed.with_columns(pl.Series("row", rows, dtype=pl.Int32), pl.Series("why", reasons, dtype=pl.String))


def _write(
    folder: Path, accepted: pl.DataFrame, structures: Structures, measured: pl.DataFrame, assays: pl.DataFrame, rejects: curate.Rejects
) -> None:
    """Write all files of a prepared folder but the summary."""
    accepted.write_parquet(folder / "compounds.parquet")
    rows = np.arange(len(structures.folds), dtype=np.int32)
    smiles = pl.Series(list(structures.rows), dtype=pl.String)
    folds = np.array(structures.folds, dtype=np.uint8)
    pl.DataFrame({"row": rows, "smiles": smiles, "fold": folds}).write_parquet(folder / "structures.parquet")
    indptr = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(bits) for bits in structures.bits], out=indptr[1:])
    np.save(folder / "x_indptr.npy", indptr)
    np.save(folder / "x_indices.npy", np.concatenate([np.empty(0, np.int32), *structures.bits]))
    measured.select("assay_id", "row", "relation", "value", "kind").write_parquet(folder / "activities.parquet")
    assays.write_parquet(folder / "assays.parquet")
    rejects.table().write_csv(folder / REJECTED)


def _summarise(inputs: Inputs, rejects: curate.Rejects, structures: int, chemistry: Chemistry) -> dict[str, Any]:
    tables = {}
    for name, table in inputs.tables().items():
        file = table.path.name
        rejected, total = rejects.counts(file), rejects.read[file]
        tables[name] = {
            "file": file,
            "read": total,
            "accepted": total - sum(rejected.values()),
            "rejected": rejected,
            "examples": rejects.examples(file),
            "columns": table.chosen.taken,
            "unit": table.chosen.unit,
            "separator": table.separator,
            "not_read": table.unread(),
            "assumed": inputs.assumed() if name == "activities" else [],
        }
    return {
        "format": PREPARED_FORMAT,
        "tables": tables,
        "structures": structures,
        "chemistry": _settings(chemistry),
        "versions": {"rdkit": rdkit.__version__, "polars": pl.__version__, "numpy": np.__version__},
    }


def _settings(chemistry: Chemistry) -> dict[str, Any]:
    """Chemistry as it is recorded: whether the fold key is public, not where it lies."""
    settings = vars(chemistry) | {"fold_key": "public" if chemistry.fold_key_file is None else "consortium"}
    del settings["fold_key_file"]
    return settings


def input_digest(tables: Path, chemistry: Chemistry) -> str:
    """SHA-256 over all that a prepared folder depends on: tables, settings, fold key, RDKit's version.

    A prepared folder whose summary has this digest need not be prepared again.

    Raises:
        DataError: No tables, or an unusable fold key.
    """
    digest = hashlib.sha256()
    key = hmac.digest(read_key(chemistry.fold_key_file), b"polyphony/digest", hashlib.sha256).hex()
    settings = [PREPARED_FORMAT, rdkit.__version__, key, _settings(chemistry)]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    paths = [find_table(tables, name) for name in TABLES]
    for path in [*paths, tables / NOTE_FILE]:
        if path is not None and path.is_file():
            with path.open("rb") as content:
                digest.update(f"{path.name} {hashlib.file_digest(content, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def _nothing_usable(inputs: Inputs, rejects: curate.Rejects, out: Path) -> DataError:
    """The error, after every rejected row was written to where it says."""
    if (out / SUMMARY).is_file():  # an earlier result, which may be in use
        listing = _free(out.with_name(f"{out.name}-{REJECTED}"))
        write_text(listing, rejects.table().write_csv())
    else:
        listing = out / REJECTED
        with atomic_directory(out) as folder:
            rejects.table().write_csv(folder / REJECTED)
    activities = inputs.activities.path
    reasons = [
        f"{file}: {count:,} rows: {reason} ({rejects.examples(file)[reason]})"
        for file in rejects.read
        for reason, count in list(rejects.counts(file).items())[:3]
    ]
    taken = ", ".join(f"{name} as {role}" for role, name in inputs.activities.chosen.taken.items())
    message = f"{activities}: none of {rejects.read[activities.name]} rows is usable"
    return DataError(message, "; ".join([f"columns read: {taken}", *reasons, f"all of them are in {listing}"]))


def _free(path: Path) -> Path:
    """This path, or with a number where a file of that name lies already."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(each for each in chain([path], numbered) if not each.exists())
