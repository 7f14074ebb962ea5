"""What is being written, told apart from what a killed process left: nobody sweeps away what another is writing.

Until it is whole it has a name of its own beside its place (`.NAME.xxxxxxxx.part`) and is held by an advisory lock (flock(2)), which the
kernel takes back when the process ends, however it ends. Where a file system keeps no locks, nothing is ever swept.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

UNFINISHED = ".part"
LEFT_OVER = re.compile(r"\..*\.[a-z0-9_]{8}\.part", re.DOTALL)
LONGEST_PREFIX = 200  # bytes of a name that its temporary name repeats: a name has 255 at most


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left unfinished below `folder`, and of what links there name; what is being written stays."""
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in [*folders, *files]):
            if LEFT_OVER.fullmatch(path.name):
                discard(path)
            elif path.is_symlink():
                sweep_beside(path)


def sweep_beside(path: Path) -> None:
    """Remove what processes that were killed left unfinished of this file or folder alone; what somebody alive is writing stays."""
    for left in unfinished(path):
        discard(left)


def unfinished(path: Path) -> list[Path]:
    """What lies beside `path` to become it, of the living and of those that were killed; of a symbolic link, beside what it names."""
    place = written_place(path)
    return unfinished_in(place.parent, temporary_prefix(place))


def unfinished_in(folder: Path, prefix: str) -> list[Path]:
    """What lies unfinished in a folder, with a name that begins like this."""
    with suppress(OSError):  # a folder that is not there, or cannot be listed
        return [each for each in folder.iterdir() if each.name.startswith(prefix) and LEFT_OVER.fullmatch(each.name)]
    return []


def written_place(path: Path) -> Path:
    """Where that is which is written under `path`: a symbolic link stays, and what it names is replaced."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def discard(path: Path) -> bool:
    """Remove something unfinished, unless a living process holds it; whether it is gone."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(descriptor)
    return not path.exists()


@contextmanager
def held_folder(prefix: str, parent: Path, suffix: str = "") -> Iterator[Path]:
    """Make an own folder in `parent` (0700) and hold it, so that `discard` by others leaves it alone; it is removed in the end."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=parent))
        with suppress(FileNotFoundError):  # swept before it was held: make another
            descriptor = os.open(folder, os.O_RDONLY)
            if _hold(descriptor, folder):
                break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def held_file(path: Path) -> Iterator[Path]:
    """A new file beside `path`, held while inside and then removed, unless it took another name."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=temporary_prefix(path), suffix=UNFINISHED, dir=path.parent)
        if _hold(descriptor, Path(name)):
            break
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def held_in_folder(path: Path) -> Iterator[Path]:
    """A path in a new folder beside `path`, which is held while inside and then removed."""
    with held_folder(temporary_prefix(path), path.parent, UNFINISHED) as folder:
        yield folder / path.name


def temporary_prefix(path: Path) -> str:
    return f".{os.fsdecode(os.fsencode(path.name)[:LONGEST_PREFIX])}."


def _hold(descriptor: int, path: Path) -> bool:
    """Lock an open file or folder; False, and closed, if it was swept before it was locked."""
    with suppress(OSError):  # a file system without locks: then nobody sweeps there either
        flock(descriptor, LOCK_EX)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return True
    os.close(descriptor)
    return False
