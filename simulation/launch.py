"""Runs the Flower app on this machine: a private SuperLink in simulation mode, to which the run is submitted as `flwr run` does."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedapp.bundle import APP
from fedapp.errors import RunError
from fedapp.files import DamagedFileError, read_object, sweep
from fedapp.flower import CONNECTION, flower_environment, script, wait_until_listening
from fedapp.processes import child, family_memory, free_port
from fedapp.run_folder import RunFolder

POLL = 0.3
MEMORY_POLL = 2.0
FULL = 1 << 20  # free bytes below which a disk counts as full


def run_flower(run: RunFolder, follow: Callable[[], None]) -> int:
    """Run the federated rounds of a run folder to their end.

    Args:
        run: Its partners' datasets lie ready.
        follow: Called a few times a second, to show what the run folder says.
    Returns:
        Peak memory of all processes together, bytes, sampled every few seconds.
    Raises:
        RunError: The run failed; names the partner and its reason where there is one. The folder can be resumed.
    """
    for name in run.partners():
        (run.partner(name) / "error.json").unlink(missing_ok=True)
    outcome = run.coordinator / "outcome.json"
    outcome.unlink(missing_ok=True)
    logs = run.path / "flower"
    logs.mkdir(exist_ok=True)
    sweep(run.path)
    try:
        peak = watch(run, logs, outcome, follow)
    finally:
        sweep(run.path)
    check_outcome(run, logs / "run.log")
    return peak


def watch(run: RunFolder, logs: Path, outcome: Path, follow: Callable[[], None]) -> int:
    """Start Flower, show what goes on until there is an outcome, and end every process; peak memory in bytes."""
    peak, next_sample = 0, 0.0
    with superlink(logs) as environment, child(submission(run, logs), logs / "run.log", environment) as submitted:
        while not outcome.is_file() and submitted.poll() is None:
            follow()
            if time.monotonic() > next_sample:
                peak, next_sample = max(peak, family_memory()), time.monotonic() + MEMORY_POLL
            time.sleep(POLL)
        follow()
    return peak


def check_outcome(run: RunFolder, log: Path) -> None:
    """Turn what the coordinator and the partners left into a result or an error.

    Raises:
        RunError: The run did not finish.
    """
    hint = f"put that right and go on with --resume {run.path}"
    failed = {name: failure for name in run.partners() if (failure := reason(run.partner(name) / "error.json"))}
    state = run.outcome() or {"state": "died", "error": died(log)}
    if state["state"] == "finished":
        return
    reasons = "; ".join(f"{name}: {failure['error']}" for name, failure in failed.items())
    hints = " ".join(failure["hint"] for failure in failed.values() if failure["hint"])
    raise RunError(f"{state['error']}{' – ' if reasons else ''}{reasons}", f"{hints} {hint}".strip())


def reason(path: Path) -> dict[str, str]:
    """What a partner left to say why it failed; it must not hide how the run ended when it cannot be read. Empty without one."""
    try:
        return read_object(path, {"error": str, "hint": str}) if path.is_file() else {}
    except DamagedFileError as damage:
        return {"error": str(damage), "hint": ""}


def died(log: Path) -> str:
    """Why Flower may have ended without a result."""
    full = shutil.disk_usage(log.parent).free < FULL
    return f"the disk with {log.parent} is full" if full else f"Flower ended without a result; its log is {log}"


@contextmanager
def superlink(logs: Path) -> Iterator[dict[str, str]]:
    """A SuperLink of our own on a free loopback port; yields the environment that makes the `flwr` command talk to it.

    Raises:
        RunError: It did not start; its log is named.
    """
    home = logs / "home"
    port = free_port()
    environment = flower_environment(home, port)
    command = [script("flower-superlink"), "--simulation", "--insecure", "--disable-runtime-dependency-installation", "--port", str(port)]
    try:
        with child(command, logs / "superlink.log", environment) as process:
            if not wait_until_listening(port, alive=lambda: process.poll() is None):
                raise RunError("Flower's SuperLink did not start", f"its log is {logs / 'superlink.log'}")
            yield environment
    finally:
        shutil.rmtree(home, ignore_errors=True)


def submission(run: RunFolder, logs: Path) -> list[str]:
    """The `flwr run` command that starts this run and streams its log."""
    app = logs / "app"
    app.mkdir(exist_ok=True)
    (app / "pyproject.toml").write_text(APP.format(version=run.status()["versions"]["polyphony"]))
    partners = len(run.partners())
    cpus = max(1, (os.cpu_count() or 1) // partners)
    federation = f"num-supernodes={partners} client-resources-num-cpus={cpus} client-resources-num-gpus={gpu_share(partners)}"
    configuration = f"run-dir={json.dumps(str(run.path))}"
    return [script("flwr"), "run", str(app), CONNECTION, "--stream", "--run-config", configuration, "--federation-config", federation]


def gpu_share(partners: int) -> float:
    """The part of a GPU that each simulated partner gets: all of them share one where there is one."""
    import torch

    return round(1 / partners, 3) if torch.cuda.is_available() else 0.0
