"""Child processes that never outlive us: ended with all their descendants on success, on error, on Ctrl-C and on SIGKILL.

Between us and each command stands a supervisor: this file, run as a script. Descendants that detach themselves (Flower's and Ray's do)
are re-parented to it instead of to init, and it is told by the kernel when we die, as the command is when the supervisor does. These are
Linux's (prctl(2)); elsewhere a SIGKILL of this process leaves its children running. Workers of a pool watch their parent themselves.
"""

import ctypes
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

GRACE = 15.0  # seconds between asking and killing
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
OTHERS = 0o077  # permissions that nobody gets on what a child writes but its owner
INHERITED: set[int] = set()  # file descriptors (of locks) that each child's supervisor holds as long as it lives


@contextmanager
def child(command: Sequence[str], log: Path, environment: Mapping[str, str], grace: float = GRACE) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in its own session with its output in `log`; on leaving, end it and everything that it started.

    Args:
        grace: Seconds between asking them to end and killing them.
    """
    log.touch(0o600)
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            [sys.executable, __file__, str(os.getpid()), str(grace), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches us alone, and we end the children in order
            pass_fds=sorted(INHERITED),
            umask=OTHERS,
        )
    try:
        yield supervisor
    finally:
        supervisor.terminate()
        supervisor.wait()


def supervise(parent: int, grace: float, command: Sequence[str]) -> int:
    """Run `command` until it ends, `parent` dies or SIGTERM comes; then end all that is left of it. Returns its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if linux := sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        end_with_parent()
    if os.getppid() != parent:  # it died before it could be watched
        return 128 + signal.SIGTERM
    process = subprocess.Popen(command, preexec_fn=end_with_parent if linux else None)  # safe: there is one thread
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_family(grace)


def end_with_parent() -> None:
    """Have the kernel ask this process to stop when its parent dies, also after it has become another program."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_family(grace: float) -> None:
    """Ask all descendants of this process to stop, and kill those that do not in time."""
    deadline = time.monotonic() + grace
    for member in living():
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    while family := living():
        if time.monotonic() > deadline:
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        psutil.wait_procs(family, timeout=0.2)


def living() -> list[psutil.Process]:
    """Descendants of this process that have not ended; those that have are reaped."""
    family = []
    for member in psutil.Process().children(recursive=True):
        try:
            if member.status() == psutil.STATUS_ZOMBIE:
                member.wait(timeout=0)
            else:
                family.append(member)
        except (psutil.NoSuchProcess, psutil.TimeoutExpired):
            continue  # it ended meanwhile, or its own parent has yet to reap it
    return family


def follow_parent() -> None:
    """Tie a pool worker's life to its parent: Ctrl-C is the parent's to handle, and if the parent is killed the worker ends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def family_memory() -> int:
    """Bytes of memory that this process and all its descendants take now; shared pages are counted once (Linux's PSS)."""
    me = psutil.Process()
    total = 0
    for member in [me, *me.children(recursive=True)]:
        try:
            memory = member.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile
        total += getattr(memory, "pss", memory.rss)
    return total


def free_port() -> int:
    """A TCP port on the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
