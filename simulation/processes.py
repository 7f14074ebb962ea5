"""Child processes that never outlive us: ended with all their descendants on success, on error, on Ctrl-C and on SIGKILL."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

GRACE = 15.0  # seconds between asking and killing
PR_SET_PDEATHSIG = 1


@contextmanager
def child(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in its own session with its output in `log`; on leaving, end it and everything that it started."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches us alone, and we end the children in order
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    try:
        yield process
    finally:
        end(process)


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and all its descendants to stop, and kill those that do not."""
    try:
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    if process.poll() is None:
        process.terminate()
    psutil.wait_procs(family, timeout=GRACE if process.poll() is None else 0)
    for member in family:
        if member.is_running():
            member.kill()
    psutil.wait_procs(family, timeout=GRACE)
    process.wait()


def family_memory() -> int:
    """Bytes of memory that this process and all its descendants take now; shared pages are counted once (Linux's PSS)."""
    me = psutil.Process()
    total = 0
    for member in [me, *me.children(recursive=True)]:
        try:
            held = member.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile
        total += getattr(held, "pss", held.rss)
    return total


def free_port() -> int:
    """A TCP port on the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
