"""What the machine refuses is told in a sentence that names the cause; a fault of the program keeps its traceback."""

import errno
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import torch

from fedapp.errors import DataError, PolyphonyError, explained
from tests.conftest import ROOT
from tests.data.tables import good_tables

TOO_MUCH = 1 << 62


def test_an_error_of_ours_is_itself() -> None:
    error = DataError("a", "b")
    assert explained(error) is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_file_and_the_remedy(number: int) -> None:
    error = explained(OSError(number, os.strerror(number), "/data/x"))
    assert error is not None
    assert str(error) == f"/data/x: {os.strerror(number)}"
    assert error.hint.startswith("free some space")


def test_links_that_lead_round_in_a_circle_are_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "table.csv").symlink_to("table.csv")
    with pytest.raises((OSError, RuntimeError)) as caught:
        (tmp_path / "table.csv").resolve(strict=True)
    assert str(explained(caught.value)) == f"{tmp_path / 'table.csv'}: {os.strerror(errno.ELOOP)}"


def allocated(kind: str) -> object:
    if kind == "python":
        return bytearray(TOO_MUCH)
    return np.empty(TOO_MUCH, dtype=np.uint8) if kind == "numpy" else torch.empty(TOO_MUCH, dtype=torch.uint8)


@pytest.mark.parametrize("library", ["python", "numpy", "torch"])
def test_too_little_memory_is_told_as_that_whoever_notices(library: str) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocated(library)
    error = explained(caught.value)
    assert error is not None
    assert str(error).startswith("the memory of this machine is not enough")
    assert "\n" not in str(error)
    assert error.hint


def test_a_worker_that_was_ended_from_outside_is_told_as_that() -> None:
    error = explained(BrokenProcessPool("terminated abruptly"))
    assert isinstance(error, PolyphonyError)
    assert "memory" in str(error)


def test_a_fault_of_the_program_is_not_explained_away() -> None:
    assert explained(KeyError("x")) is None
    assert explained(RuntimeError("shapes differ")) is None


def test_a_verb_on_a_disk_that_takes_no_more_ends_with_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """Here the tables' file is polars' to write, which has an error of its own for it."""
    code = """
import resource, sys
from fedapp.cli.main import main
import fedapp.data.dataset, fedapp.data.prepare  # compiled files are not what the disk refuses
resource.setrlimit(resource.RLIMIT_FSIZE, (256, resource.RLIM_INFINITY))
main()
"""
    tables = good_tables(tmp_path / "tables")
    command = [sys.executable, "-c", code, "prepare", str(tables), "--out", str(tmp_path / "out"), "tasks.min_per_class=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"error: {tmp_path / 'out'}: {os.strerror(errno.EFBIG)}" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
