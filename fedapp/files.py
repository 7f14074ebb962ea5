"""Writing files so that a killed process never leaves half of one, and reading them back so that damage is named."""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedapp.errors import PolyphonyError

PRIVATE_DIRECTORY = 0o700
UNFINISHED = ".part"
RESTORE = "restore it from a backup"
SEAL = "seal"  # key of a JSON file's digest over its other keys
TOLD = 200  # characters of a reader's own words
Kind = type | tuple[type, ...]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes the name `path`, for good; on error it is removed.

    The file is created by the caller; its mode becomes 0600.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o600)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlast a power cut: a file that took its place is in it only when the folder is on disk too."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it replaces `path` as a whole, on error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent))
    try:
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished below `folder`; nobody may be writing there."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


# Reading back


class DamagedFileError(PolyphonyError):
    """A file that was written whole is missing, or no longer what was written."""


@contextmanager
def reading(path: Path, hint: str = RESTORE) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into one error that names it.

    Raises:
        DamagedFileError: The file is missing or damaged.
        OSError: The system cannot read it; the system's own words say why.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path} is missing", hint) from error
    except BaseException as error:
        system = isinstance(error, OSError) and error.errno is not None
        # polars reports some damage as a panic of its Rust code, which is no Exception
        foreign = not isinstance(error, Exception) and type(error).__name__ != "PanicException"
        if system or foreign or isinstance(error, PolyphonyError):
            raise
        told = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFileError(f"{path} is damaged: {told[:TOLD]}", hint) from error


def read_json(path: Path, hint: str = RESTORE) -> Any:
    """Read a JSON file.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    with reading(path, hint):
        return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path, kinds: Mapping[str, Kind], hint: str = RESTORE) -> dict[str, Any]:
    """The object in a JSON file, in which these keys have values of these types; others may be there too.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    held = read_json(path, hint)
    with reading(path, hint):
        return checked(held, kinds)


def checked(held: Any, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """A JSON value that is an object with these keys, whose values have these types.

    Raises:
        ValueError: It is not; the message names the key.
    """
    if not isinstance(held, dict):
        raise ValueError("it holds no JSON object")
    for key, kind in kinds.items():
        if key not in held:
            raise ValueError(f"it has no {key}")
        if not isinstance(held[key], kind):
            raise ValueError(f"its {key} is {held[key]!r:.40}")
    return held


# With a checksum: against what disks and hands do to a file, not against somebody who means it


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with a digest of all that it says."""
    write_json(path, {**value, SEAL: seal(value)})


def read_sealed(path: Path, kinds: Mapping[str, Kind], hint: str = RESTORE) -> dict[str, Any]:
    """What `write_sealed` wrote, as `read_object` reads it; a file without a digest, as earlier versions wrote it, is taken as it is.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    held = read_object(path, kinds, hint)
    told = held.pop(SEAL, None)
    if told not in (None, seal(held)):
        raise DamagedFileError(f"{path} was altered: it is not what its own digest says", hint)
    return held


def seal(value: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object, 64 hex digits."""
    return hashlib.sha256(json.dumps(dict(value), sort_keys=True).encode()).hexdigest()


def file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name to SHA-256 of the bytes of these files, 64 hex digits."""
    digests = {}
    for name in names:
        with (folder / name).open("rb") as content:
            digests[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return digests


def check_files(folder: Path, digests: Mapping[str, str], hint: str) -> None:
    """Refuse files whose bytes are not those of `file_digests`.

    Raises:
        DamagedFileError: One of them is missing or was altered; it is named.
    """
    for name, digest in digests.items():
        with reading(folder / name, hint):
            if file_digests(folder, [name])[name] != digest:
                raise DamagedFileError(f"{folder / name} was altered since it was written", hint)


def checksum(text: str, arrays: Mapping[str, Any]) -> str:
    """CRC-32 of a text and named arrays, 8 hex digits; three times as fast as a digest, since trunks are read for every message.

    Args:
        arrays: With a dtype, a shape and C-contiguous memory each.
    """
    value = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(array, zlib.crc32(f"{name} {array.dtype} {tuple(array.shape)} ".encode(), value))
    return f"{value:08x}"
