"""Writing files and folders so that a killed process never leaves half of one: the old one is there, or the new one."""

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedapp.storage.disk_errors import naming
from fedapp.storage.leftovers import UNFINISHED, held_file, held_folder, held_in_folder, sweep_beside, temporary_prefix, written_place

PRIVATE_DIRECTORY = 0o700
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # Linux's


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
    path = written_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with held_file(path) if not own_folder else held_in_folder(path) as temporary, naming(path, temporary):
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o600)
        temporary.replace(path)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder outlast a power cut: a file that took its place is in it only when the folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it replaces `path` as a whole, on error it is removed.

    For folders of our own making inside of others; where a person says where to write, `fedapp.storage.output` guards what is there.

    Raises:
        OSError: The disk takes no more, whatever the caller's library makes of that; it names `path`.
    """
    path = written_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    sweep_beside(path)
    with held_folder(temporary_prefix(path), path.parent, UNFINISHED) as temporary, naming(path, temporary):
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
        aside = Path(tempfile.mkdtemp(prefix=temporary_prefix(path), suffix=".old", dir=path.parent))
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


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
