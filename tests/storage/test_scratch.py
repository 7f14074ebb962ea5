"""Folders for what need not outlive a process."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fedapp.errors import MachineError
from fedapp.storage import scratch as scratch_module
from fedapp.storage.scratch import SOCKET, for_sockets, in_memory, scratch
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from fedapp.storage.scratch import scratch
with scratch("audit", (Path(sys.argv[1]),)) as folder:
    (folder / "partner-1").mkdir()
    print("held", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_holds_or_a_person_put_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "audit").symlink_to("elsewhere")  # anybody may put one into a folder that is everybody's
    (tmp_path / ".audit.notes").mkdir()
    before = names(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        theirs = names(tmp_path) - before
        with scratch("audit", (tmp_path,)) as ours:
            assert names(tmp_path) == before | theirs | {ours.name}
            assert stat.S_IMODE(ours.stat().st_mode) == 0o700
        assert names(tmp_path) == before | theirs
        other.kill()
    with scratch("audit", (tmp_path,)) as ours:
        assert names(tmp_path) == before | {ours.name}
    assert names(tmp_path) == before


def test_the_first_folder_that_can_be_written_is_taken(tmp_path: Path) -> None:
    with scratch("audit", (tmp_path / "absent", tmp_path)) as folder:
        assert folder.parent == tmp_path
    with pytest.raises(MachineError) as caught, scratch("audit", (tmp_path / "absent",)):
        pytest.fail("there is none")
    assert "TMPDIR" in caught.value.hint


def test_a_temporary_folder_that_is_too_long_for_a_socket_is_left_for_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    for room in (0, 50, SOCKET - 5):
        places = for_sockets(room)
        assert places
        assert all(len(os.fsencode(place)) + room <= SOCKET for place in places)
    assert in_memory()[-1] == long
    monkeypatch.setattr(tempfile, "tempdir", "/t")
    assert for_sockets(50)[0] == Path("/t"), "the person's own choice, where it will do"


def test_memory_is_taken_where_there_is_such_a_place_with_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "MEMORY", tmp_path / "absent")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch("audit", in_memory()) as folder:
        assert folder.parent == tmp_path
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(scratch_module, "MEMORY", tmp_path / "memory")
    for room, parent in ((0, tmp_path / "memory"), (1 << 62, tmp_path)):
        monkeypatch.setattr(scratch_module, "ROOM", room)
        with scratch("audit", in_memory()) as folder:
            assert folder.parent == parent
