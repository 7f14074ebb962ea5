"""Work on all processors: one thread each, and an end at once when it is interrupted or killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from fedapp.runtime.processes import child
from simulation.workers import processes
from tests.conftest import ROOT

WORKING = """
import os, time
from simulation.workers import processes

if __name__ == "__main__":
    with processes() as workers:
        print(workers.submit(os.getpid).result(), flush=True)
        workers.submit(time.sleep, 600).result()
"""


def test_every_process_computes_with_a_single_thread_and_this_one_has_its_own_back_afterwards() -> None:
    before = torch.get_num_threads()
    with processes() as workers:
        assert torch.get_num_threads() == 1
        assert workers.submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == before


def test_an_interrupt_does_not_wait_for_the_work_that_goes_on() -> None:
    with pytest.raises(KeyboardInterrupt), processes() as workers:
        working = workers.submit(time.sleep, 600)
        while not working.running():
            time.sleep(0.05)
        raise KeyboardInterrupt
    assert isinstance(working.exception(timeout=60), Exception)


def test_workers_end_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "working.py"
    script.write_text(WORKING, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as run:
        assert run.stdout is not None
        worker = psutil.Process(int(run.stdout.readline()))
        run.send_signal(signal.SIGKILL)
    worker.wait(timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel says so on Linux alone")
def test_a_command_ends_when_its_supervisor_is_killed_so_that_it_can_be_started_again(tmp_path: Path) -> None:
    with child(["sleep", "600"], tmp_path / "log", {}) as supervisor:
        while not (family := psutil.Process(supervisor.pid).children()):
            time.sleep(0.02)
        supervisor.kill()
        family[0].wait(timeout=60)
