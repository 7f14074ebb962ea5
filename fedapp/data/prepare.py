"""Tables -> prepared folder: checked, standardised, fingerprinted; the part that takes minutes, done once per set of tables."""

import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
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
from fedapp.data.integrity import PREPARED, SUMMARY
from fedapp.data.tables import LINE, NOTE_FILE, Table, find_table, read_note, read_table
from fedapp.errors import DataError
from fedapp.files import atomic_directory, file_digests, write_sealed

FORMAT = 1  # raised when the prepared folder's contents change meaning
TABLES = ("compounds", "activities", "assays")


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
        tables: Folder with compounds.*, activities.* and perhaps assays.* (CSV, CSV.gz or Parquet).
        out: Folder to write; one that is there is replaced.
        chemistry: Standardisation, fingerprint and folds.
        progress: Called with (structures done, all structures).
        workers: Processes; None means one per core.
    Returns:
        The summary that is also written as summary.json: per table the rows read, accepted and rejected by reason; structures;
        chemistry; versions; digest of inputs and settings; note.
    Raises:
        DataError: Tables that cannot be read, nothing usable in them, an unusable fold key, or a worker that died.
    """
    key = read_key(chemistry.fold_key_file)
    compounds = read_table(tables, "compounds", ["compound_id", "smiles"])
    activities = read_table(tables, "activities", ["assay_id", "compound_id", "value"], ["relation", "unit"])
    assays = read_table(tables, "assays", ["assay_id"], None) if find_table(tables, "assays") else None
    rejects = curate.Rejects()
    for table in (compounds, activities, assays):
        if table is not None:
            rejects.open(table)
    measured = curate.check_activities(activities, rejects)
    measured, assay_rows = _check_assays(assays, activities, measured, rejects)
    named = activities.rows["compound_id"].unique()
    listed = curate.check_entities(compounds, "compound_id", named, curate.UNMEASURED_COMPOUND, rejects)
    structures = Structures()
    accepted = _compute(compounds, listed, chemistry, key, structures, rejects, progress, workers)
    known = compounds.rows["compound_id"].unique(), accepted["compound_id"]
    reasons = curate.UNKNOWN_COMPOUND, curate.REJECTED_COMPOUND
    measured = curate.check_references(activities, measured, "compound_id", known, reasons, rejects)
    if measured.is_empty():
        raise DataError(f"{activities.path}: none of {rejects.read[activities.path.name]} rows is usable", _commonest(activities, rejects))

    summary = _summarise([compounds, activities, assays], rejects, structures, tables, chemistry)
    with atomic_directory(out) as folder:
        _write(folder, accepted, structures, measured, assay_rows, rejects)
        write_sealed(folder / SUMMARY, summary | {"files": file_digests(folder, PREPARED)})
    return summary


def _check_assays(
    assays: Table | None, activities: Table, measured: pl.DataFrame, rejects: curate.Rejects
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Activities of known assays, and the assays' own rows; without an assays table, just their ids."""
    if assays is None:
        return measured, measured.select(pl.col("assay_id").unique().sort())
    listed = curate.check_entities(assays, "assay_id", activities.rows["assay_id"].unique(), curate.UNMEASURED_ASSAY, rejects)
    known = assays.rows["assay_id"].unique(), listed["assay_id"]
    reasons = curate.UNKNOWN_ASSAY, curate.REJECTED_ASSAY
    return curate.check_references(activities, measured, "assay_id", known, reasons, rejects), listed.drop(LINE)


def _compute(
    table: Table,
    listed: pl.DataFrame,
    chemistry: Chemistry,
    key: bytes,
    structures: Structures,
    rejects: curate.Rejects,
    progress: Callable[[int, int], None] | None,
    workers: int | None,
) -> pl.DataFrame:
    """Describe every listed compound; returns compound_id and row (i32) of the good ones."""
    rows: list[int | None] = []
    reasons: list[str | None] = []
    with closing(describe_many(listed["smiles"].to_list(), chemistry, key, workers, progress)) as chunks:
        for each in chain.from_iterable(chunks):
            rows.append(structures.add(each) if isinstance(each, Structure) else None)
            reasons.append(each if isinstance(each, str) else None)
    listed = listed.with_columns(pl.Series("row", rows, dtype=pl.Int32), pl.Series("why", reasons, dtype=pl.String))
    return rejects.split(table, listed, pl.col("why"), pl.col("compound_id")).select("compound_id", "row")


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
    joined = measured.join(accepted, on="compound_id", maintain_order="left")
    joined.select("assay_id", "row", "relation", "value", "kind").write_parquet(folder / "activities.parquet")
    assays.write_parquet(folder / "assays.parquet")
    rejects.table().write_csv(folder / "rejected.csv")


def _summarise(
    read: list[Table | None], rejects: curate.Rejects, structures: Structures, tables: Path, chemistry: Chemistry
) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for name, table in zip(TABLES, read, strict=True):
        if table is not None:
            file = table.path.name
            rejected = rejects.counts(file)
            total = rejects.read[file]
            counts[name] = {"file": file, "read": total, "accepted": total - sum(rejected.values()), "rejected": rejected}
    return counts | {
        "structures": len(structures.folds),
        "chemistry": _settings(chemistry),
        "versions": {"rdkit": rdkit.__version__, "polars": pl.__version__, "numpy": np.__version__},
        "digest": input_digest(tables, chemistry),
        "note": read_note(tables),
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
    settings = [FORMAT, rdkit.__version__, key, _settings(chemistry)]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    paths = [find_table(tables, name) for name in TABLES]
    for path in [*paths, tables / NOTE_FILE]:
        if path is not None and path.is_file():
            with path.open("rb") as content:
                digest.update(f"{path.name} {hashlib.file_digest(content, 'sha256').hexdigest()}".encode())
    return digest.hexdigest()


def _commonest(table: Table, rejects: curate.Rejects) -> str:
    counts = rejects.counts(table.path.name)
    return "; ".join(f"{count} rows: {reason}" for reason, count in list(counts.items())[:3])
