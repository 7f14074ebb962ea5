"""Writing files so that a killed process never leaves half of one, and reading them back so that damage is named.

What is being written has a name of its own beside its place (`.NAME.xxxxxxxx.part`) and is held by an advisory lock (flock(2)), which the
kernel takes back when the process ends, however it ends, so that nobody sweeps away what another is writing. Where a file system keeps no
locks, nothing is ever swept.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from fedapp.errors import PolyphonyError

PRIVATE_DIRECTORY = 0o700
UNFINISHED = ".part"
LEFT_OVER = re.compile(r"\..*\.[a-z0-9_]{8}\.part", re.DOTALL)
LONGEST_PREFIX = 200  # bytes of a name that its temporary name repeats: a name has 255 at most
STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)  # a disk that takes no more
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # how libraries written in Rust tell the system's error: polars, safetensors
PROBE = bytes(1 << 16)
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # Linux's
RESTORE = "restore it from a backup"
SEAL = "seal"  # key of a JSON file's digest over its other keys
TOLD = 200  # characters of a reader's own words
Kind = type | tuple[type, ...]


@contextmanager
def atomic_path(path: Path, own_folder: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and takes the name `path`, for good; on error it is removed.

    The file's mode becomes 0600. Of a symbolic link, the file that it names is written.

    Args:
        own_folder: For libraries that write another file beside the path that they are given and put it in its place, as safetensors
            does: a lock on the file would not cover that. It costs a quarter more time.
    Raises:
        OSError: The disk takes no more, whatever the caller's library makes of that; it names `path`.
    """
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held_file(path) if not own_folder else _held_in_folder(path) as temporary, _naming(path, temporary):
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o600)
        temporary.replace(path)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlast a power cut: a file that took its place is in it only when the folder is on disk too."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it replaces `path` as a whole, on error it is removed.

    For folders of our own making inside of others; where a person says where to write, `fedapp.storage.output` guards what is there.

    Raises:
        OSError: The disk takes no more, whatever the caller's library makes of that; it names `path`.
    """
    path = path.resolve() if path.is_symlink() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    for left in unfinished(path):  # what a kill left of an earlier attempt
        discard(left)
    with held_folder(_prefix(path), path.parent, UNFINISHED) as temporary, _naming(path, temporary):
        yield temporary
        _put_in_place(temporary, path)
        sync_folder(path.parent)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Give a folder its name; one that had it is removed after the two changed places, so that the one or the other is there always.

    Where the system cannot exchange names, the old folder has another one for a moment (`.NAME.xxxxxxxx.old`), and keeps it after a kill.
    """
    if not path.exists():
        temporary.rename(path)
    elif not _exchanged(temporary, path):
        aside = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".old", dir=path.parent))
        path.rename(aside)
        temporary.rename(path)
        shutil.rmtree(aside, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; whether this system and file system can (renameat2(2))."""
    try:
        call = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    return int(call(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)) == 0


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left unfinished below `folder`; what somebody alive is writing stays."""
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if LEFT_OVER.fullmatch(name):
                discard(Path(parent, name))


def unfinished(path: Path) -> list[Path]:
    """What lies beside `path` to become it, of the living and of those that were killed."""
    prefix = _prefix(path)
    with suppress(OSError):  # a folder that is not there, or cannot be listed
        return [each for each in path.parent.iterdir() if each.name.startswith(prefix) and LEFT_OVER.fullmatch(each.name)]
    return []


def discard(path: Path) -> bool:
    """Remove something unfinished, unless a living process holds it; whether it is gone."""
    with suppress(OSError):
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            flock(held, LOCK_EX | LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(held)
    return not path.exists()


@contextmanager
def held_folder(prefix: str, parent: Path, suffix: str = "") -> Iterator[Path]:
    """Make an own folder in `parent` (0700) and hold it, so that `discard` by others leaves it alone; it is removed in the end."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=parent))
        with suppress(FileNotFoundError):  # swept before it was held: make another
            held = os.open(folder, os.O_RDONLY)
            if _hold(held, folder):
                break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


@contextmanager
def _held_file(path: Path) -> Iterator[Path]:
    """A new file beside `path`, held while inside and then removed, unless it took another name."""
    while True:
        held, name = tempfile.mkstemp(prefix=_prefix(path), suffix=UNFINISHED, dir=path.parent)
        if _hold(held, Path(name)):
            break
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(held)


@contextmanager
def _held_in_folder(path: Path) -> Iterator[Path]:
    """A path in a new folder beside `path`, which is held while inside and then removed."""
    with held_folder(_prefix(path), path.parent, UNFINISHED) as folder:
        yield folder / path.name


def _prefix(path: Path) -> str:
    return f".{os.fsdecode(os.fsencode(path.name)[:LONGEST_PREFIX])}."


def _hold(held: int, path: Path) -> bool:
    """Lock an open file or folder; False, and closed, if it was swept before it was locked."""
    with suppress(OSError):  # a file system without locks: then nobody sweeps there either
        flock(held, LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(held), path.stat()):
            return True
    os.close(held)
    return False


@contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """Raise an error of the disk as what it is and with the name of the file that is to be, whatever a library made of it."""
    try:
        yield
    except Exception as error:
        number = _system_error(error, temporary)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _system_error(error: Exception, temporary: Path) -> int | None:
    """The number of the disk's error behind an exception; None if it is another, or of another file."""
    told = SYSTEM_ERROR.search(str(error))
    if told is not None:
        number: int | None = int(told[1])
    elif not isinstance(error, OSError):
        return None
    elif error.errno is None:
        number = _refusal(temporary)  # numpy only counts what it could not write
    else:
        number = error.errno if error.filename is None or str(error.filename).startswith(str(temporary)) else None
    return number if number in STORAGE else None


def _refusal(temporary: Path) -> int | None:
    """The system's error on writing more to a file, or to the newest one in a folder; None if it takes more."""
    files = [path for path in temporary.rglob("*") if path.is_file()] if temporary.is_dir() else [temporary]
    try:
        with max(files, key=lambda path: path.stat().st_mtime_ns, default=temporary / "probe").open("ab") as file:
            file.write(PROBE)
    except OSError as error:
        return error.errno
    return None


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
