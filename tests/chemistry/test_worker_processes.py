import os
import signal
from collections.abc import Callable
from functools import partial

import psutil
import pytest

from fedapp.chemistry import parallel, rejection
from fedapp.chemistry.parallel import describe_many
from fedapp.chemistry.parse import SHORT
from fedapp.chemistry.structure import Structure
from fedapp.chemistry.worker_processes import in_processes
from fedapp.errors import DataError
from tests.chemistry.structures import CHEMISTRY, KEY

STUCK, CRASH, KILLED = "stuck", "crash", "killed"
CHUNKS = [["C", STUCK], ["CCCC"], [CRASH], ["N", "O"]]


def described(smiles: str) -> str:
    """Stands for RDKit: two inputs of which the computation never ends, or ends the process."""
    while smiles == STUCK:
        pass
    if smiles == CRASH:
        os.kill(os.getpid(), signal.SIGSEGV)
    if smiles == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{smiles} described"


def test_a_structure_that_never_ends_or_crashes_costs_that_structure_alone() -> None:
    fates = {STUCK: rejection.TOO_SLOW, CRASH: rejection.CRASHED}
    expected = [[fates.get(smiles, f"{smiles} described") for smiles in chunk] for chunk in CHUNKS]
    assert list(in_processes(described, CHUNKS, workers=2, seconds=0.2)) == expected


def test_a_worker_that_somebody_kills_is_an_error_and_no_reason_to_reject_a_structure() -> None:
    with pytest.raises(DataError, match="worker process died"):
        list(in_processes(described, [["C"], ["CC", KILLED]], workers=2))


def test_a_caller_that_stops_early_leaves_no_worker() -> None:
    before = set(psutil.Process().children(recursive=True))
    chunks = in_processes(described, CHUNKS[1:2] * 5, workers=2)
    assert next(chunks) == ["CCCC described"]
    chunks.close()  # type: ignore[attr-defined]
    assert {process for process in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(process.cmdline())} <= before


def test_a_long_smiles_in_a_small_table_is_described_where_it_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def watched(work: Callable[[str], Structure | str], chunks: list[list[str]], workers: int) -> object:
        used.append(workers)
        return ([work(smiles) for smiles in chunk] for chunk in chunks)

    monkeypatch.setattr(parallel, "in_processes", watched)
    run = partial(describe_many, chemistry=CHEMISTRY, key=KEY, workers=1)
    assert len(next(run(["CC", "CCO"]))) == 2
    assert used == []
    long = "[CH3]" + "[CH2]" * (SHORT // 5)
    described = next(run(["CC", long]))
    assert used == [1]
    assert isinstance(described[1], Structure)
