"""Runs the Flower app on this machine: a private SuperLink in simulation mode, to which the run is submitted as `flwr run` does."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from fedapp.errors import RunError
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.runtime.flower import flower_environment, script
from fedapp.runtime.processes import child, family_memory, free_port
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.files import PRIVATE_DIRECTORY
from fedapp.storage.json_file import read_sealed
from fedapp.storage.leftovers import sweep
from fedapp.storage.scratch import for_sockets, scratch

POLL = 0.3
MEMORY_POLL = 2.0
LAST_WORDS = 10.0  # seconds for the engine's log to come, when a run failed: it is what tells why, where no partner could
LONGEST = 300  # characters of a reason
FULL = 1 << 20  # free bytes below which a disk counts as full
SCRATCH = "ray"
NO_SPARE_WORKERS = {"RAY_prestart_worker_first_driver": "0"}  # processes that Flower's actors, which have an environment, cannot use
SOCKET_ROOM = len("/.ray.xxxxxxxx.part/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store")
TAIL = 64 << 10  # bytes at a log's end in which the reason is looked for
REASON = re.compile(r"\b[\w.]*(?:Error|Exception|Exit): .+")  # the last line of a traceback, as Python and Ray write it
WITHOUT_REASON = re.compile(r"Ending simulation|Simulation Runtime crashed")  # what Flower says after the reason, when its engine failed


def nothing() -> None:
    """What is left to do where all lies ready."""


def run_flower(run: RunFolder, follow: Callable[[], None], prepare: Callable[[], None] = nothing) -> int:
    """Run the federated rounds of a run folder to their end.

    Args:
        run: Its partners' datasets, and what else a partner needs, lie ready when `prepare` is done.
        follow: Called a few times a second, to show what the run folder says.
        prepare: Done while Flower starts; the coordinator asks nobody anything before.
    Returns:
        Peak memory of all processes together, bytes, sampled every few seconds.
    Raises:
        RunError: The run failed; names the partner and its reason where there is one. The folder can be resumed.
    """
    for name in run.partners():
        PartnerFolder(run.partner(name)).error.unlink(missing_ok=True)
    outcome = run.coordinator / "outcome.json"
    outcome.unlink(missing_ok=True)
    logs = run.path / "flower"
    logs.mkdir(exist_ok=True)
    logs.chmod(PRIVATE_DIRECTORY)
    log = logs / "run.log"
    begun = log.stat().st_size if log.is_file() else 0
    sweep(run.path)
    run.update(prepared=False)
    try:
        peak = watch(run, logs, outcome, follow, prepare)
    finally:
        sweep(run.path)
    check_outcome(run, log, begun)
    return peak


def watch(run: RunFolder, logs: Path, outcome: Path, follow: Callable[[], None], prepare: Callable[[], None]) -> int:
    """Start Flower, show what goes on until there is an outcome, and end every process; peak memory in bytes.

    Raises:
        RunError: The SuperLink ended by itself; its log is named.
    """
    peak, next_sample = 0, 0.0
    with superlink(logs) as link, child(submitting(run, logs, link.port), logs / "run.log", link.environment) as submitted:
        prepare()
        run.update(prepared=True)
        while not outcome.is_file() and submitted.poll() is None:
            if link.process.poll() is not None:
                raise RunError("Flower's SuperLink ended", f"its log is {logs / 'superlink.log'}; go on with --resume {run.path}")
            follow()
            if time.monotonic() > next_sample:
                peak, next_sample = max(peak, family_memory()), time.monotonic() + MEMORY_POLL
            time.sleep(POLL)
        follow()
        if not run.federated():
            with suppress(subprocess.TimeoutExpired):
                submitted.wait(LAST_WORDS)
    return peak


def failures(run: RunFolder) -> dict[str, dict[str, str]]:
    """What partners say of their failures, by name: error and hint."""
    return {name: reason for name in run.partners() if (reason := failure(PartnerFolder(run.partner(name)).error))}


def failure(path: Path) -> dict[str, str]:
    """What a partner left to say why it failed, empty without one; when it cannot be read, that must not hide how the run ended."""
    try:
        return read_sealed(path, {"error": str, "hint": str}) if path.is_file() else {}
    except DamagedFileError as damage:
        return {"error": str(damage), "hint": ""}


def check_outcome(run: RunFolder, log: Path, begun: int = 0) -> None:
    """Turn what the coordinator and the partners left into a result or an error.

    Args:
        log: Of Flower.
        begun: Its length when this run began, bytes.
    Raises:
        RunError: The run did not finish.
    """
    hint = f"put that right and go on with --resume {run.path}"
    failed = failures(run)
    state = run.outcome() or {"state": "died", "error": died(log, begun)}
    if state["state"] == "finished":
        return
    reasons = "; ".join(f"{name}: {failure['error']}" for name, failure in failed.items())
    told = dict.fromkeys(failure["hint"] for failure in failed.values() if failure["hint"])  # several partners fail alike
    hints = "".join(f"{text}; " for text in told).strip()
    if not failed and state["state"] != "died":
        reasons, hints = last_reason(log, begun, str(state["error"])), f"Flower's log is {log};"
    raise RunError(f"{state['error']}{' – ' if reasons else ''}{reasons}", f"{hints} {hint}".strip())


def died(log: Path, begun: int) -> str:
    """Why Flower may have ended without a result: the disk is full, or what its log says last."""
    if shutil.disk_usage(log.parent).free < FULL:
        return f"the disk with {log.parent} is full"
    reason = last_reason(log, begun)
    return f"Flower ended without a result{f': {reason}' if reason else ''}; its log is {log}"


def last_reason(log: Path, begun: int, known: str = "") -> str:
    """The last error in a log from this byte on; empty if there is none.

    Args:
        known: What was said already.
    """
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(begun, log.stat().st_size - TAIL))
        reasons = REASON.findall(file.read().decode(errors="replace"))
    new = [each.strip() for each in reasons if not WITHOUT_REASON.search(each) and (not known or known not in each)]
    return f"{new[-1]:.{LONGEST}}" if new else ""


class Link(NamedTuple):
    """A SuperLink of our own: its process and loopback port, and the environment that makes the `flwr` command talk to it."""

    process: subprocess.Popen[bytes]
    port: int
    environment: dict[str, str]


@contextmanager
def superlink(logs: Path) -> Iterator[Link]:
    """A SuperLink of our own, which begins to start.

    It and Ray have a temporary folder of their own: where they would put their logs, other users could read them, and they would stay.

    Raises:
        MachineError: No temporary folder whose path is short enough for a socket.
    """
    home = logs / "home"
    port = free_port()
    command = [script("flower-superlink"), "--simulation", "--insecure", "--disable-runtime-dependency-installation", "--port", str(port)]
    try:
        with scratch(SCRATCH, for_sockets(SOCKET_ROOM)) as folder:
            environment = {**flower_environment(home, port), **NO_SPARE_WORKERS, "TMPDIR": str(folder), "RAY_TMPDIR": str(folder)}
            with child(command, logs / "superlink.log", environment) as process:
                yield Link(process, port, environment)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def submitting(run: RunFolder, logs: Path, port: int) -> list[str]:
    """The command that submits the run once the SuperLink listens; it takes no module of the folder that we are in."""
    return [sys.executable, "-P", "-m", "simulation.submit", str(run.path), str(logs), str(port)]
