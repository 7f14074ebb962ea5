"""Folders for what need not outlive a process: their owner's alone, held while it lives, and swept by the next one after a kill."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedapp.errors import MachineError
from fedapp.storage.leftovers import UNFINISHED, discard, held_folder, unfinished_in

MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it)
TEMPORARY = (Path("/tmp"), Path("/var/tmp"), MEMORY)  # noqa: S108
ROOM = 1 << 30  # bytes free below which memory is left alone
SOCKET = 103  # bytes of a socket's path that every system takes: 107 on Linux, 103 on macOS


@contextmanager
def scratch(name: str, parents: tuple[Path, ...]) -> Iterator[Path]:
    """A folder `.NAME.xxxxxxxx.part` in the first of `parents` that can be written; what a kill left of that name is swept from them.

    Raises:
        MachineError: None of them can be written.
    """
    prefix = f".{name}."
    for left in (each for parent in parents for each in unfinished_in(parent, prefix)):
        discard(left)
    usable = [parent for parent in parents if parent.is_dir() and os.access(parent, os.W_OK)]
    if not usable:
        raise MachineError(
            f"no temporary folder can be used, neither {tempfile.gettempdir()}", "set TMPDIR to a short path that can be written"
        )
    with held_folder(prefix, usable[0], UNFINISHED) as folder:
        yield folder


def in_memory() -> tuple[Path, ...]:
    """Where scratch that is written hundreds of times lies: in memory where there is such a place, and room (containers give 64 MiB)."""
    disk = Path(tempfile.gettempdir())
    return (MEMORY, disk) if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM else (disk,)


def for_sockets(room: int) -> tuple[Path, ...]:
    """Where a folder may lie in which sockets are made whose paths are `room` bytes longer than the parent's.

    Clusters and macOS set TMPDIR to long paths, and the name of a socket is short by its nature (unix(7)).
    """
    places = (Path(tempfile.gettempdir()), *TEMPORARY)
    return tuple(place for place in places if len(os.fsencode(place)) + room <= SOCKET)
