"""Submits a run to our SuperLink once that listens: a process of its own, so that `polyphony simulate` need not wait for Flower to start.

It loads what decides on a GPU while the SuperLink starts, then becomes Flower's `flwr run`, which streams the run's log.
"""

import os
import sys
from pathlib import Path

from fedapp.run_folder import RunFolder
from fedapp.runtime.bundle import bundle_pyproject
from fedapp.runtime.flower import CONNECTION, script, wait_until_listening
from fedapp.runtime.toml_file import toml
from fedapp.storage.files import write_text

GPU_PARTS = 10_000  # in which Ray divides a GPU


def submission(run: RunFolder, logs: Path) -> list[str]:
    """The `flwr run` command that starts this run and streams its log."""
    app, configuration = logs / "app", logs / "run.toml"
    write_text(app / "pyproject.toml", bundle_pyproject(run.status()["versions"]["polyphony"]))
    write_text(configuration, toml({"run-dir": str(run.path)}))
    partners = len(run.partners())
    cpus = max(1, (os.cpu_count() or 1) // partners)
    federation = f"num-supernodes={partners} client-resources-num-cpus={cpus} client-resources-num-gpus={gpu_share(partners)}"
    return [script("flwr"), "run", str(app), CONNECTION, "--stream", "--run-config", str(configuration), "--federation-config", federation]


def gpu_share(partners: int) -> float:
    """The part of a GPU that each simulated partner gets: all of them share one where there is one.

    Rounded down to what Ray counts in: with a larger part the last of six would wait for the others.
    """
    import torch

    return GPU_PARTS // partners / GPU_PARTS if torch.cuda.is_available() else 0.0


def submit(run: RunFolder, logs: Path, port: int) -> None:
    """Become Flower's command when the SuperLink at this loopback port listens; end with a reason when it never does."""
    command = submission(run, logs)
    if not wait_until_listening(port):
        sys.exit("RunError: Flower's SuperLink does not answer")
    os.execv(command[0], command)  # noqa: S606 - a list of words of ours, no shell


if __name__ == "__main__":
    submit(RunFolder.open(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
