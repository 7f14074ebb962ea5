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

from fedapp.chemistry.fold import key_digest, read_key
from fedapp.chemistry.parallel import describe_many
from fedapp.chemistry.structure import Structure
from fedapp.config import Chemistry
from fedapp.data import curate
from fedapp.data.assay_settings import assays_in_percent
from fedapp.data.dataset import DATASET_FOLDER, EARLIER_FILES, PREPARED_FORMAT
from fedapp.data.inputs import TABLES, Inputs, read_inputs
from fedapp.data.integrity import PREPARED, SUMMARY
from fedapp.data.matching import check_assays, list_compounds, match_compounds, split_assays
from fedapp.data.tables import NOTE_FILE, find_table, read_note
from fedapp.errors import DataError
from fedapp.storage.digests import file_digests
from fedapp.storage.files import write_text
from fedapp.storage.json_file import write_sealed
from fedapp.storage.output import Kind, output_folder

REJECTED = "rejected.csv"
EARLIER = (  # files from before outputs had a list of their own
    *(SUMMARY, "compounds.parquet", "structures.parquet", "activities.parquet", "assays.parquet", REJECTED),
    *("x_indptr.npy", "x_indices.npy", *(f"dataset/{name}" for name in EARLIER_FILES)),
)
PREPARED_FOLDER = Kind("a prepared folder", EARLIER, {"dataset": DATASET_FOLDER})


@dataclass
class Structures:
    """Unique structures in order of first appearance; row numbers index all lists.

    Counted over all records are those whose parent is not their largest fragment, and those that held another compound besides.
    """

    rows: dict[str, int] = field(default_factory=dict)
    folds: list[int | None] = field(default_factory=list)
    series: list[int | None] = field(default_factory=list)
    bits: list[NDArray[np.int32]] = field(default_factory=list)
    parents_against_size: int = 0
    mixtures: int = 0

    def add(self, structure: Structure) -> int:
        """Row of a structure, new or known."""
        self.parents_against_size += structure.against_size
        self.mixtures += structure.mixture
        row = self.rows.setdefault(structure.smiles, len(self.rows))
        if row == len(self.folds):
            self.folds.append(structure.fold)
            self.series.append(structure.series)
            self.bits.append(structure.bits)
        return row


class NothingUsableError(DataError):
    """No row of the tables is usable.

    Attributes:
        rejected: All rows, each with its reason.
    """

    def __init__(self, message: str, hint: str, rejected: pl.DataFrame) -> None:
        super().__init__(message, hint)
        self.rejected = rejected


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
        out: Folder to write; our own earlier output is replaced, anything else refused before anything is computed. Where nothing is
            usable it gets rejected.csv alone, and where there is an earlier one, that stays and the file is written beside it.
        chemistry: Standardisation, fingerprint and folds.
        progress: Called with (structures done, all structures).
        workers: Processes; None means one per core.
    Returns:
        The summary that is also written as summary.json: per table the columns taken, the rows read, accepted and rejected by reason;
        structures; chemistry; versions; digest of inputs and settings; note.
    Raises:
        DataError: Tables that cannot be read, nothing usable in them, an unusable fold key, or a worker that died.
        OutputError: `out` is not ours to replace.
    """
    sources = [tables, *([] if chemistry.fold_key_file is None else [Path(chemistry.fold_key_file)])]
    try:
        with output_folder(out, PREPARED_FOLDER, sources) as folder:
            return _prepare(tables, folder, chemistry, progress, workers)
    except NothingUsableError as error:
        raise DataError(str(error), f"{error.hint}; all of them are in {_list_rejected(error.rejected, out)}") from None


def _prepare(
    tables: Path, folder: Path, chemistry: Chemistry, progress: Callable[[int, int], None] | None, workers: int | None
) -> dict[str, Any]:
    """Check tables, compute structures, and fill a folder."""
    key = read_key(chemistry.fold_key_file)
    inputs, note = read_inputs(tables), read_note(tables)
    rejects = curate.Rejects()
    for table in inputs.tables().values():
        rejects.open(table)
    measured = curate.check_activities(inputs.activities, rejects, assays_in_percent(inputs.assays))
    measured, assays = check_assays(inputs, measured, rejects)
    if measured.is_empty():  # said at once, not after minutes of chemistry
        raise _nothing_usable(inputs, rejects)
    listed = list_compounds(inputs, measured, rejects)
    structures = Structures()
    described = curate.contradictions(_compute(listed, chemistry, key, structures, progress, workers))
    accepted, measured = match_compounds(inputs, measured, described, rejects)
    if measured.is_empty():
        raise _nothing_usable(inputs, rejects)
    measured, assays, split = split_assays(measured, assays)
    measured = curate.check_repeats(inputs.activities, measured, inputs.compound, rejects)
    summary = _summarise(inputs, rejects, accepted["row"].n_unique(), chemistry)
    summary |= {"parents_against_size": structures.parents_against_size, "mixtures": structures.mixtures, "assays_split": split}
    summary |= {"fold_key_digest": key_digest(key), "digest": input_digest(tables, chemistry), "note": note}
    _write(folder, accepted, structures, measured, assays, rejects)
    write_sealed(folder / SUMMARY, summary | {"files": file_digests(folder, PREPARED)})
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
    described = pl.DataFrame({"row": rows, "smiles": smiles, "fold": folds, "series": pl.Series(structures.series, dtype=pl.UInt64)})
    described.write_parquet(folder / "structures.parquet")
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
            "columns": {role: name for role, name in table.chosen.taken.items() if name not in table.chosen.further},
            "further": list(table.chosen.further),
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


def _nothing_usable(inputs: Inputs, rejects: curate.Rejects) -> NothingUsableError:
    """The error that tells what was read, and the commonest reasons."""
    activities = inputs.activities.path
    reasons = [
        f"{file}: {count:,} rows: {reason} ({rejects.examples(file)[reason]})"
        for file in rejects.read
        for reason, count in list(rejects.counts(file).items())[:3]
    ]
    taken = ", ".join(f"{name} as {role}" for role, name in inputs.activities.chosen.taken.items())
    message = f"{activities}: none of {rejects.read[activities.name]} rows is usable"
    return NothingUsableError(message, "; ".join([f"columns read: {taken}", *reasons]), rejects.table())


def _list_rejected(rejected: pl.DataFrame, out: Path) -> Path:
    """Write the rejected rows where a person looks for them; the path."""
    if (out / SUMMARY).is_file():  # an earlier result, which may be in use
        listing = _free(out.with_name(f"{out.name}-{REJECTED}"))
        write_text(listing, rejected.write_csv())
        return listing
    with output_folder(out, PREPARED_FOLDER) as folder:
        rejected.write_csv(folder / REJECTED)
    return out / REJECTED


def _free(path: Path) -> Path:
    """This path, or with a number where a file of that name lies already."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(each for each in chain([path], numbered) if not each.exists())
