"""A run folder with the demo's partners in place, and the command line on it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedapp.cli.main import main
from fedapp.run_folder import RunFolder
from simulation import price, privacy_curve
from simulation.audit import run as audit_run
from tests.helpers.sweeps import EFFORT
from tests.simulation.audit.demo_pool import demo_config, demo_datasets


def demo_run(path: Path, kind: str, *overrides: str) -> RunFolder:
    """A new run of that kind."""
    run = RunFolder.create(path, demo_config(*overrides), kind)
    for name, dataset in demo_datasets().items():
        shutil.copytree(dataset.directory, run.partner(name) / "dataset")
    return run


class Here(Executor):
    """Does what a pool's processes would do at once, in this process."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*given, **named))
        except Exception as error:
            done.set_exception(error)
        return done


@contextmanager
def no_processes() -> Iterator[Executor]:
    yield Here()


def exit_status(*words: str) -> int:
    """Of `polyphony` with these words; it starts processes, each of which loads everything anew, only with --full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["polyphony", *words])
        for module in () if EFFORT.full else (audit_run, price, privacy_curve):
            patch.setattr(module, "processes", no_processes)
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
    return int(ended.value.code or 0)
