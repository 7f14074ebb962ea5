import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fedapp.chemistry import parallel
from fedapp.chemistry.parallel import describe_many, in_processes
from fedapp.chemistry.structure import Structure, describe_all
from fedapp.errors import DataError
from tests.chemistry.structures import CHEMISTRY, KEY, demo_smiles

ROOT = Path(__file__).resolve().parents[2]


def flat(described: list[Structure | str]) -> list[object]:
    return [
        structure if isinstance(structure, str) else (structure.smiles, structure.fold, structure.bits.tolist()) for structure in described
    ]


def test_processes_give_the_same_in_the_same_order_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    smiles = [*demo_smiles(every=30), "C1CC", ""]
    monkeypatch.setattr(parallel, "CHUNK", 40)
    monkeypatch.setattr(parallel, "SERIAL", 1)
    seen: list[tuple[int, int]] = []
    chunks = list(describe_many(smiles, CHEMISTRY, KEY, workers=2, progress=lambda done, total: seen.append((done, total))))
    assert len(chunks) > 2
    assert flat([structure for chunk in chunks for structure in chunk]) == flat(describe_all(smiles, CHEMISTRY, KEY))
    assert seen[-1] == (len(smiles), len(smiles))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_nothing_to_do_is_no_work() -> None:
    assert list(describe_many([], CHEMISTRY, KEY)) == []


def die(smiles: object) -> list[Structure | str]:
    os._exit(1)


def test_a_worker_that_dies_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match="worker process died") as error:
        list(in_processes(die, [["C"], ["CC"]], workers=2))
    assert "fewer workers" in error.value.hint


BUSY = """
import sys
from fedapp.chemistry.parallel import describe_many
from fedapp.config import Chemistry
if __name__ == "__main__":
    smiles = ["c1ccc2ccccc2c1CCCCN"] * 400_000
    for _ in describe_many(smiles, Chemistry(3, 2048, 100, 5, None), b"key", workers=2):
        print("going", flush=True)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(ending: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    parent = subprocess.Popen([sys.executable, script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"going\n"
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    parent.send_signal(ending)
    assert parent.wait(30) != 0
    parent.stdout.close()
    deadline = time.monotonic() + 15
    while any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers):
        assert time.monotonic() < deadline, workers
        time.sleep(0.05)
