"""Whether a dataset or a prepared folder on disk is still what was written: read again before anything is computed from it.

A flipped bit in an index would make the kernels of the model read beyond their arrays, and in a label it would teach something false.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.data.labels import ABOVE, BELOW, EXACT
from fedapp.data.task_kinds import CLASSES, tasks_by_kind
from fedapp.storage.damage import DamagedFileError, reading
from fedapp.storage.digests import check_files, checksum
from fedapp.storage.json_file import ValueType, read_sealed

ARRAYS = {
    "folds": np.uint8,
    "x_indptr": np.int64,
    "x_indices": np.int32,
    "y_indptr": np.int64,
    "y_tasks": np.int32,
    "y_values": np.float32,
    "y_censors": np.int8,
}
HEADER, STRUCTURES, TASKS = "dataset.json", "structures.parquet", "tasks.parquet"
TABLES = (STRUCTURES, TASKS)
SUMMARY = "summary.json"
PREPARED = ("compounds.parquet", STRUCTURES, "activities.parquet", "assays.parquet", "x_indptr.npy", "x_indices.npy")
KINDS: dict[str, ValueType] = {
    **dict.fromkeys(("name", "note", "digest"), str),
    **dict.fromkeys(("bits", "folds", "compounds", "tasks", "labels"), int),
}
DIGESTS: dict[str, ValueType] = {"files": dict, "checksums": dict}
AGAIN = "bring it back from a backup, or build it again from the prepared folder"

PREPARE = "prepare the tables again: polyphony prepare TABLES --out DIR"

Versions = tuple[tuple[str, int, int], ...]
Arrays = Mapping[str, NDArray[Any]]


def read_header(directory: Path) -> dict[str, Any]:
    """dataset.json: name, bits, folds, compounds, tasks, labels, digest, note, dropped, files, checksums.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    return read_sealed(directory / HEADER, KINDS | DIGESTS, AGAIN)


def read_summary(prepared: Path) -> dict[str, Any]:
    """summary.json of a prepared folder, after all its other files were compared with their digests.

    Raises:
        DamagedFileError: A file is missing or was altered.
    """
    summary = read_sealed(prepared / SUMMARY, {"chemistry": dict, "digest": str, "note": str, "files": dict}, PREPARE)
    check_files(prepared, summary["files"], PREPARE)
    return summary


def content_digest(arrays: Arrays, smiles: pl.Series, tasks: pl.DataFrame) -> str:
    """The digest of a dataset, which its header and a partner's policy name: SHA-256, 64 hex digits.

    Args:
        arrays: Those of `ARRAYS`, C-contiguous.
    """
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(f"{name} {arrays[name].size} ".encode())
        digest.update(arrays[name].data)
    digest.update("\n".join([*smiles, tasks.write_csv()]).encode())
    return digest.hexdigest()


def checksums(arrays: Arrays) -> dict[str, str]:
    """Array to its checksum, which tells the altered one from the others."""
    return {name: checksum("", {name: arrays[name]}) for name in ARRAYS}


def versions(directory: Path) -> Versions:
    """What tells one version of a dataset's files from another: each file's name, size in bytes, and time of its last change in ns.

    Raises:
        DamagedFileError: A file is missing.
    """
    seen = []
    for name in (HEADER, *TABLES, *(f"{name}.npy" for name in ARRAYS)):
        with reading(directory / name, AGAIN):
            status = (directory / name).stat()
        seen.append((name, status.st_size, status.st_mtime_ns))
    return tuple(seen)


@lru_cache(maxsize=256)
def check_contents(directory: Path, _versions: Versions) -> None:
    """Refuse a dataset whose contents are not those that its digest is of, or that no dataset has; only once for each version.

    Raises:
        DamagedFileError: A file is missing, unreadable or altered.
    """
    header = read_header(directory)
    check_files(directory, header["files"], AGAIN)  # first: damage in Parquet can crash its reader
    with reading(directory / TASKS, AGAIN):
        tasks = pl.read_parquet(directory / TASKS, glob=False)
    with reading(directory / STRUCTURES, AGAIN):
        smiles = pl.read_parquet(directory / STRUCTURES, glob=False)["smiles"]
    arrays = {name: read_array(directory / f"{name}.npy", dtype) for name, dtype in ARRAYS.items()}
    digest = content_digest(arrays, smiles, tasks)
    if digest != header["digest"]:
        altered = [f"{name}.npy" for name, recorded in header["checksums"].items() if checksums(arrays)[name] != recorded]
        difference = f"its digest is {digest[:16]}…, and {HEADER} says {header['digest'][:16]}…"
        raise DamagedFileError(f"{directory}: {', '.join(altered) or 'its contents'} was altered since it was made: {difference}", AGAIN)
    for name, reason in misfits(header, arrays, len(smiles), tasks).items():
        if reason:
            raise DamagedFileError(f"{directory / name} is damaged: {reason}", AGAIN)


def read_array(path: Path, dtype: Any) -> NDArray[Any]:
    """A vector of this type, mapped into memory.

    Raises:
        DamagedFileError: It is missing, damaged or of another type.
    """
    with reading(path, AGAIN):
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype != dtype or array.ndim != 1:
            raise ValueError(f"an array of {array.dtype.str} with {array.ndim} dimensions, not a vector of {np.dtype(dtype).str}")
        return array


def misfits(header: Mapping[str, Any], arrays: Arrays, compounds: int, tasks: pl.DataFrame) -> dict[str, str]:
    """File to what in it would lead out of an array, or is no label; empty where all is well."""
    counts = {"compounds": compounds, "tasks": len(tasks), "labels": len(arrays["y_tasks"])}
    wrong = [f"{name} is {header[name]}, and there are {count}" for name, count in counts.items() if header[name] != count]
    return {
        HEADER: "; ".join(wrong),
        "folds.npy": beyond(arrays["folds"], header["folds"], compounds),
        "x_indptr.npy": pointers(arrays["x_indptr"], compounds, len(arrays["x_indices"])),
        "x_indices.npy": beyond(arrays["x_indices"], header["bits"], len(arrays["x_indices"])),
        "y_indptr.npy": pointers(arrays["y_indptr"], compounds, len(arrays["y_tasks"])),
        "y_tasks.npy": beyond(arrays["y_tasks"], len(tasks), len(arrays["y_tasks"])),
    } | no_labels(arrays, tasks)


def no_labels(arrays: Arrays, tasks: pl.DataFrame) -> dict[str, str]:
    """What in values and censors is no label of its task: a class is 0 or 1 and exact, a value a finite number with one side or none."""
    values, censors, count = arrays["y_values"], arrays["y_censors"], len(arrays["y_tasks"])
    lengths = {"y_values.npy": values, "y_censors.npy": censors}
    if wrong := {name: f"{len(array)} values, not {count}" for name, array in lengths.items() if len(array) != count}:
        return wrong
    if beyond(arrays["y_tasks"], len(tasks), count):  # said already, and no task to look at
        return {}
    kinds = tasks_by_kind(tasks)
    of_class = kinds.get(CLASSES, np.zeros(len(tasks), dtype=np.bool_))[arrays["y_tasks"]]
    return {
        "y_values.npy": "classes that are neither 0 nor 1, or values that are not finite"
        if not (np.isfinite(values).all() and np.isin(values[of_class], (0, 1)).all())
        else "",
        "y_censors.npy": "sides other than -1, 0 and 1, or classes with one"
        if not (np.isin(censors, (BELOW, EXACT, ABOVE)).all() and not censors[of_class].any())
        else "",
    }


def pointers(indptr: NDArray[np.int64], rows: int, elements: int) -> str:
    """Why these are no CSR row pointers; empty if they are."""
    whole = len(indptr) == rows + 1 and indptr[0] == 0 and indptr[-1] == elements and (np.diff(indptr) >= 0).all()
    return "" if whole else f"no pointers of {rows} rows into {elements} elements"


def beyond(values: NDArray[Any], end: int, count: int) -> str:
    """Why these are not `count` values from 0 to `end` - 1; empty if they are."""
    if len(values) != count:
        return f"{len(values)} values, not {count}"
    if len(values) and not 0 <= values.min() <= values.max() < end:
        return f"values from {values.min()} to {values.max()}, not from 0 to {end - 1}"
    return ""
