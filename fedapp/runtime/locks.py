"""One process at a time on a run or a site.

The lock is the kernel's (flock(2) on `FOLDER/lock`): it goes with the process, however that ends. Whom this process starts through
`fedapp.runtime.processes.child` keeps it until it has ended too, so that nobody meets what a killed process left running. The file itself
stays, and says who holds it. On NFS, Linux turns the lock into one that holds between machines; a file system that keeps none (some
clusters' parallel ones) is told of in the log, and then nothing keeps two processes apart.
"""

import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import Any

import psutil

from fedapp.errors import BusyError
from fedapp.runtime.processes import INHERITED

LOCK = "lock"
CHANGING = 10.0  # seconds that another has to change a file
ENDING = 60.0  # seconds that the processes of one that was killed have to end
POLL = 0.2
HELD_BY_ANOTHER = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def locked(folder: Path, purpose: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a folder while inside.

    Args:
        folder: Exists.
        purpose: What holds it, in words, such as `polyphony serve`; told to whoever comes second.
        patience: Seconds to wait for another process to end; one that was killed is waited for in any case.
    Raises:
        BusyError: Another process holds it; names that process.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, folder, patience)
        INHERITED.add(descriptor)
        _tell(descriptor, purpose)
        yield
    finally:
        INHERITED.discard(descriptor)
        os.close(descriptor)  # without LOCK_UN, which would take it from our children too


def in_use(folder: Path) -> bool:
    """Whether a process holds it now, as far as its file system keeps locks."""
    if not (folder / LOCK).is_file():
        return False
    descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        flock(descriptor, LOCK_SH | LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def alone_in(folder: Path, patience: float = CHANGING) -> Iterator[None]:
    """Hold a folder while inside, for as long as reading a file of it and writing it anew takes: what another adds meanwhile is not lost.

    The lock is on the folder itself, leaves nothing in it, and has nothing to do with that of `locked`.

    Args:
        folder: Exists.
        patience: Seconds to wait for another.
    Raises:
        BusyError: Another has held it all the while.
    """
    handle, begun = os.open(folder, os.O_RDONLY | os.O_CLOEXEC), time.monotonic()
    try:
        while not _taken(handle, folder):
            if time.monotonic() - begun >= patience:
                raise BusyError(f"{folder}: another process is changing files there", "wait until it has ended, or end it; then try again")
            time.sleep(POLL / 10)
        yield
    finally:
        os.close(handle)


def _taken(handle: int, folder: Path) -> bool:
    """Try to lock; a file system that keeps no locks is told of in the log, and counts as locked."""
    try:
        flock(handle, LOCK_EX | LOCK_NB)
    except OSError as error:
        if error.errno in HELD_BY_ANOTHER:
            return False
        logging.getLogger("polyphony").warning("%s: its file system keeps no locks; use it from one process at a time", folder)
    return True


def _take(descriptor: int, folder: Path, patience: float) -> None:
    begun = time.monotonic()
    while not _taken(descriptor, folder):
        holder = _holder(folder)
        if time.monotonic() - begun >= (patience if _alive(holder) else max(patience, ENDING)):
            raise BusyError(
                f"{folder} is in use by {holder.get('purpose', 'another process')} (process {holder.get('pid', 'unknown')} on "
                f"{holder.get('host', 'an unknown host')}, since {_moment(holder)})",
                "wait until it has ended, or end it; then try again",
            )
        time.sleep(POLL)


def _tell(descriptor: int, purpose: str) -> None:
    """Write down who holds it; on a full disk it is held all the same."""
    holder = {"purpose": purpose, "pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(folder: Path) -> dict[str, Any]:
    """What the holder says of itself; nothing if it has not yet."""
    with suppress(OSError, ValueError):
        holder = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        if isinstance(holder, dict):
            return holder
    return {}


def _alive(holder: dict[str, Any]) -> bool:
    """Whether it still runs, as far as that can be known from here; its number may have become another's since."""
    pid, since = holder.get("pid"), holder.get("since")
    if not isinstance(pid, int) or not isinstance(since, float) or holder.get("host") != socket.gethostname():
        return True
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since
    except psutil.Error:
        return False


def _moment(holder: dict[str, Any]) -> str:
    since = holder.get("since")
    return datetime.fromtimestamp(since, UTC).isoformat(" ", "seconds") if isinstance(since, float) else "an unknown time"
