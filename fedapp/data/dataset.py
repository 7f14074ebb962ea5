"""A partner's training data on disk: memory-mapped, and compared with its digest by each process before it is used.

Imports neither RDKit nor torch: the short messages of a round must not wait for either.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.config import Tasks
from fedapp.data.assay_settings import assay_settings, group_settings
from fedapp.data.columns import role_of
from fedapp.data.csr import csr_positions
from fedapp.data.integrity import (
    ARRAYS,
    HEADER,
    STRUCTURES,
    SUMMARY,
    TABLES,
    TASKS,
    Versions,
    check_contents,
    checksums,
    content_digest,
    read_header,
    read_summary,
    versions,
)
from fedapp.data.labels import Labels
from fedapp.data.normalisation import Normalisation, with_units_of
from fedapp.data.notation import P_UNIT, PERCENT_UNIT
from fedapp.data.task_kinds import AUXILIARY, TaskKind, completed, tasks_by_kind
from fedapp.data.tasks import build_tasks
from fedapp.errors import DataError
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.digests import file_digests
from fedapp.storage.json_file import write_sealed
from fedapp.storage.output import Kind, output_folder

LOSSES = "dropped.csv"
PREPARED_FORMAT = 3  # raised when a prepared folder's contents change meaning
FILES = (HEADER, *(f"{name}.npy" for name in ARRAYS), STRUCTURES, TASKS, LOSSES)
EARLIER_FILES = (*FILES, "y_labels.npy")  # the last one from before labels had values and sides
DATASET_FOLDER = Kind("a dataset", EARLIER_FILES)


@dataclass(frozen=True)
class Dataset:
    """Compounds with fingerprints and labels, both CSR over compounds (0 .. n - 1).

    Attributes:
        directory: Where it lies.
        name: Partner's name.
        bits: Fingerprint length.
        folds: u8, fold of each compound.
        x_indptr, x_indices: int64 [n + 1], int32; on bits of compound i are x_indices[x_indptr[i]:x_indptr[i + 1]].
        labels: Of all compounds, mapped; values in the units of their tasks.
        tasks: As `fedapp.data.tasks.TaskTable` has them.
        note: A caveat that every output repeats; may be empty.
        digest: SHA-256 over the contents.
    """

    directory: Path
    name: str
    bits: int
    folds: NDArray[np.uint8]
    x_indptr: NDArray[np.int64]
    x_indices: NDArray[np.int32]
    labels: Labels
    tasks: pl.DataFrame
    note: str
    digest: str

    @staticmethod
    def open(directory: Path) -> "Dataset":
        """Map a dataset folder into memory, after its contents were compared with its digest: once per process and version of its files.

        Raises:
            DataError: A missing, incomplete or altered folder; it names the file.
        """
        if not directory.is_dir():
            raise DataError(f"there is no folder {directory}", "name the folder that `polyphony prepare` made")
        try:
            return _open(directory, versions(directory))
        except DamagedFileError as error:
            raise DataError(f"{directory} is not a complete dataset: {error}", error.hint) from error

    @property
    def header(self) -> dict[str, Any]:
        """dataset.json: name, bits, folds, compounds, tasks, labels, digest, note; what was dropped, by reason, and of how many."""
        return read_header(self.directory)

    @property
    def task_weights(self) -> NDArray[np.float32]:
        """float32 [tasks]."""
        return self.tasks["weight"].to_numpy().astype(np.float32)

    @cached_property
    def judged_kinds(self) -> dict[TaskKind, NDArray[np.bool_]]:
        """As `kinds`, of the tasks that choose and judge alone.

        Raises:
            DataError: A kind that this version does not know.
        """
        return {kind: own & self.judged for kind, own in self.kinds.items()}

    @cached_property
    def kinds(self) -> dict[TaskKind, NDArray[np.bool_]]:
        """The kinds of its tasks, each with its tasks: bool [tasks].

        Raises:
            DataError: A kind that this version does not know.
        """
        return tasks_by_kind(self.tasks)

    @cached_property
    def normalisation(self) -> Normalisation:
        """Between its labels' values and what heads give."""
        return Normalisation.of_table(self.tasks)

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Tasks that figures and the choice of a round look at, all but the auxiliary ones: bool [tasks]."""
        return ~completed(self.tasks)[AUXILIARY].to_numpy()

    def smiles(self) -> pl.Series:
        """Standardised SMILES of every compound."""
        return pl.read_parquet(self.directory / STRUCTURES, glob=False)["smiles"]

    def rows_in(self, folds: Collection[int]) -> NDArray[np.int64]:
        """Compounds that lie in any of these folds, ascending, int64."""
        return np.flatnonzero(np.isin(self.folds, list(folds)))

    def learned_from(self, folds: Collection[int]) -> "Dataset":
        """The same compounds, tasks of values normalised by their labels in these folds alone."""
        return replace(self, tasks=with_units_of(self.tasks, self.labels.of(self.rows_in(folds))))

    def fingerprints(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """CSR (indptr, indices) of the on bits of these compounds, in the order given."""
        indptr, positions = csr_positions(self.x_indptr, rows)
        return indptr, self.x_indices[positions]

    def of_bits(self, bits: NDArray[np.int64]) -> "Dataset":
        """The same compounds with these fingerprint bits alone, numbered anew from 0; new fingerprints in memory, all else shared.

        Args:
            bits: Ascending.
        """
        number = np.full(self.bits, -1, dtype=np.int32)
        number[bits] = np.arange(len(bits))
        renumbered = number[self.x_indices]
        kept = renumbered >= 0
        counts = np.zeros(len(kept) + 1, dtype=np.int64)
        np.cumsum(kept, out=counts[1:])
        return replace(self, bits=len(bits), x_indptr=counts[self.x_indptr], x_indices=renumbered[kept])

    def guarded(self, rows: NDArray[np.int64], bits: NDArray[np.bool_]) -> "Dataset":
        """The same compounds, some with only some of their fingerprint bits; new fingerprints in memory, all else shared.

        Args:
            rows: Compounds that keep these bits alone, int64; all others keep all of theirs.
            bits: bool [bits], True for a bit that stays.
        """
        curbed = np.zeros(len(self.folds), dtype=np.bool_)
        curbed[rows] = True
        kept = bits[self.x_indices] | ~np.repeat(curbed, np.diff(self.x_indptr))
        counts = np.zeros(len(kept) + 1, dtype=np.int64)
        np.cumsum(kept, out=counts[1:])
        return replace(self, x_indptr=counts[self.x_indptr], x_indices=self.x_indices[kept])


@lru_cache(maxsize=16)  # a simulation's partners, not more: each keeps its files open
def _open(directory: Path, seen: Versions) -> Dataset:
    """A dataset, once for each version of its files: a partner opens it several times for every message.

    Raises:
        DamagedFileError: A file is missing, unreadable or altered.
    """
    check_contents(directory, seen)
    header = read_header(directory)
    arrays: dict[str, Any] = {name: np.load(directory / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    return Dataset(
        directory=directory,
        name=header["name"],
        bits=header["bits"],
        folds=arrays["folds"],
        x_indptr=arrays["x_indptr"],
        x_indices=arrays["x_indices"],
        labels=Labels.unweighted(*(arrays[name] for name in ("y_indptr", "y_tasks", "y_values", "y_censors"))),
        tasks=pl.read_parquet(directory / TASKS, glob=False),
        note=header["note"],
        digest=header["digest"],
    )


def build_dataset(prepared: Path, out: Path, name: str, tasks: Tasks, share: pl.DataFrame | None = None) -> Dataset:
    """Build one partner's dataset from a prepared folder; only compounds with a label in some kept task get in.

    Args:
        prepared: Folder written by `fedapp.data.prepare.prepare`.
        out: Folder to write, as a whole or not at all; our own earlier output is replaced.
        name: Partner's name.
        tasks: Grouping, thresholds, quorum.
        share: Which activities are the partner's: those that agree with one of its rows in its columns, `assay_id` alone or with `row`.
            None means all.
    Raises:
        DataError: No prepared folder, no such grouping column, or no task that passes the quorum.
    """
    summary, activities, settings = read_activities(prepared, name, tasks.group_by, share)
    table = build_tasks(activities, tasks, name, settings)
    rows = table.labels["row"].unique().sort().to_numpy()
    structures = pl.read_parquet(prepared / "structures.parquet", glob=False)[rows]
    indptr, positions = csr_positions(np.load(prepared / "x_indptr.npy", mmap_mode="r"), rows)
    indices = np.load(prepared / "x_indices.npy", mmap_mode="r")[positions]
    labels = table.labels.with_columns(pl.Series("row", np.searchsorted(rows, table.labels["row"].to_numpy())))
    header = {"name": name, "bits": summary["chemistry"]["bits"], "folds": summary["chemistry"]["folds"]}
    header |= {"note": summary["note"], "dropped": table.dropped, "offered": table.offered}
    return save(out, header, structures, (indptr, indices), labels=labels, tasks=table.tasks, losses=table.losses)


def read_activities(
    prepared: Path, name: str, group_by: str, share: pl.DataFrame | None = None
) -> tuple[dict[str, Any], pl.DataFrame, pl.DataFrame]:
    """Summary of a prepared folder, a partner's activities with their task group, and each group's `group_settings`.

    Where a group has p-values and values in %, those in % are the group "GROUP %".

    Args:
        name: Whose, for messages.
        share: As `build_dataset` takes it.
    Raises:
        DataError: No prepared folder or one of another version, no such column, none of the assays is there, an assay's own group
            would bear the name of another, or assays of one group have different settings.
        DamagedFileError: A file of it was altered since it was written.
    """
    if not (prepared / SUMMARY).is_file():
        raise DataError(f"{prepared} is not a prepared folder", "polyphony prepare TABLES --out DIR writes one")
    summary = read_summary(prepared)
    if summary.get("format") != PREPARED_FORMAT:
        raise DataError(f"{prepared} was prepared by another version", "prepare the tables again: polyphony prepare TABLES --out DIR")
    activities = pl.read_parquet(prepared / "activities.parquet", glob=False)
    known = pl.read_parquet(prepared / "assays.parquet", glob=False)
    groups = assay_groups(known, group_by)
    if share is not None:
        activities = activities.join(share, on=share.columns, how="semi", maintain_order="left")
    if activities.is_empty():
        raise DataError(f"{name}: no activities in {prepared}", "none of the partner's assays is in the activities table")
    activities = percent_apart(activities.join(groups, on="assay_id", maintain_order="left"))
    measured = activities.select("group", "assay_id").unique(maintain_order=True)
    return summary, activities, group_settings(measured.join(assay_settings(known), on="assay_id", maintain_order="left"))


def assay_groups(known: pl.DataFrame, group_by: str) -> pl.DataFrame:
    """assay_id and its task group, `group`.

    An assay whose `group_by` cell is empty is its own group, "assay ID": nothing says that it belongs with others, and an assay's
    number is not a target's.

    Args:
        known: The table of assays.
    Raises:
        DataError: No such column, or an assay's own group would bear the name of another.
    """
    column = group_by if group_by in known.columns else role_of(group_by)
    if column not in known.columns:
        raise DataError(
            f"tasks.group_by is {group_by}, but the assays table has no such column", f"its columns are {', '.join(known.columns)}"
        )
    own_group = pl.format("assay {}", "assay_id")
    if clash := known.filter(own_group.is_in(known[column].implode()) & (pl.col(column) == ""))["assay_id"].to_list():
        raise DataError(f"an assay without {column} is its own group, but assay {clash[0]} is the name of a {column} too", "rename it")
    return known.select("assay_id", pl.when(pl.col(column) == "").then(own_group).otherwise(column).alias("group"))


def percent_apart(activities: pl.DataFrame) -> pl.DataFrame:
    """Values in % under a group of their own where their group has p-values too.

    Raises:
        DataError: That group has the name of another.
    """
    percent, measured = pl.col("kind") == PERCENT_UNIT, pl.col("kind") == P_UNIT
    mixed = activities.filter((percent.any() & measured.any()).over("group"))["group"].unique()
    names = {group: f"{group} {PERCENT_UNIT}" for group in mixed}
    if clash := set(names.values()) & set(activities["group"]):
        raise DataError(f"values in % of one group are the group {min(clash)}, and there is another one of that name", "rename it")
    return activities.with_columns(pl.when(percent).then(pl.col("group").replace(names)).otherwise("group").alias("group"))


def save(
    out: Path,
    header: dict[str, Any],
    structures: pl.DataFrame,
    fingerprints: tuple[NDArray[np.int64], NDArray[np.int32]],
    *,
    labels: pl.DataFrame,
    tasks: pl.DataFrame,
    losses: pl.DataFrame | None = None,
) -> Dataset:
    """Write a dataset folder and open it.

    Args:
        header: name, bits, folds and note; the counts and the digest are added.
        structures: smiles and fold of each compound, in the order of the fingerprints.
        fingerprints: CSR (indptr, indices) of the on bits.
        labels: row (of `structures`), task, value, censor; sorted by row and task.
        losses: What gave no label, for a person to read in dropped.csv; no part of the digest.
    """
    counts = np.bincount(labels["row"].to_numpy(), minlength=len(structures))
    arrays: dict[str, NDArray[Any]] = {
        "folds": structures["fold"].to_numpy(),
        "x_indptr": fingerprints[0],
        "x_indices": fingerprints[1],
        "y_indptr": np.concatenate([[0], np.cumsum(counts)]),
        "y_tasks": labels["task"].to_numpy(),
        "y_values": labels["value"].to_numpy(),
        "y_censors": labels["censor"].to_numpy(),
    }
    arrays = {name: np.ascontiguousarray(arrays[name], dtype=dtype) for name, dtype in ARRAYS.items()}
    with output_folder(out, DATASET_FOLDER) as folder:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        structures.select("smiles").write_parquet(folder / STRUCTURES)
        tasks.write_parquet(folder / TASKS)
        if losses is not None:
            losses.write_csv(folder / LOSSES)
        header = header | {"compounds": len(structures), "tasks": len(tasks), "labels": len(labels)}
        header |= {"digest": content_digest(arrays, structures["smiles"], tasks), "files": file_digests(folder, TABLES)}
        header["checksums"] = checksums(arrays)
        write_sealed(folder / HEADER, header)
    return Dataset.open(out)
