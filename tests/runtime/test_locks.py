"""One process at a time on a folder: the second ends with an error that names the first."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedapp.errors import BusyError
from fedapp.runtime import locks
from fedapp.runtime.locks import alone_in, locked
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from fedapp.runtime.locks import locked
with locked(Path(sys.argv[1]), "polyphony simulate"):
    print("held", flush=True)
    sys.stdin.read()
"""
WITH_A_CHILD = """
import sys
from pathlib import Path
from fedapp.runtime.locks import locked
from fedapp.runtime.processes import child
stubborn = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(2)"
with locked(Path(sys.argv[1]), "polyphony simulate"), child([sys.executable, "-c", stubborn], Path(sys.argv[1]) / "log", {}):
    while "up" not in (Path(sys.argv[1]) / "log").read_text():
        pass
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(folder: Path, code: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a folder."""
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_the_first_is_and_since_when(tmp_path: Path) -> None:
    with another(tmp_path) as process, pytest.raises(BusyError) as caught, locked(tmp_path, "polyphony audit"):
        pytest.fail("both hold it")
    told = str(caught.value)
    assert all(word in told for word in (str(tmp_path), "polyphony simulate", f"process {process.pid} ", "since 20"))
    assert caught.value.hint


def test_within_one_process_there_is_but_one_too_and_afterwards_it_is_free(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path, "first"):
            with pytest.raises(BusyError, match="first"), locked(tmp_path, "second"):
                pytest.fail("both hold it")
            with pytest.raises(BusyError, match="first"), locked(tmp_path, "second"):
                pytest.fail("the one that was refused took it away")


def test_a_killed_holder_holds_nothing_any_more(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        process.kill()
        process.wait()
        with locked(tmp_path, "next"):
            pass


def test_what_a_killed_holder_started_is_waited_for(tmp_path: Path) -> None:
    """Flower's processes take a moment to end after their launcher was killed, and write into the run until then."""
    with another(tmp_path, WITH_A_CHILD) as process:
        process.kill()
        process.wait()
        with locked(tmp_path, "next"):
            for pid in {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}:
                with open_quietly(pid) as command:
                    assert str(tmp_path) not in command


@contextmanager
def open_quietly(pid: int) -> Iterator[str]:
    try:
        yield (Path("/proc") / str(pid) / "cmdline").read_text(errors="replace")
    except OSError:
        yield ""


def test_patience_waits_for_a_living_holder(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        process.stdin.close()  # type: ignore[union-attr]
        with locked(tmp_path, "next", patience=60):
            assert process.wait() == 0


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"pid": "x"}', b"\xff"])
def test_a_damaged_note_of_the_holder_changes_nothing(damage: bytes, tmp_path: Path) -> None:
    with locked(tmp_path, "first"):
        (tmp_path / locks.LOCK).write_bytes(damage)
        with pytest.raises(BusyError, match="another process"), locked(tmp_path, "second"):
            pytest.fail("both hold it")
    with locked(tmp_path, "third"):
        pass


def test_a_file_system_without_locks_is_told_of_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(held: int, kind: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(locks, "flock", refused)
    with locked(tmp_path, "first"):
        pass
    assert "keeps no locks" in caplog.text


def test_a_folder_is_held_alone_for_a_moment_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(BusyError, match="another process is changing files there"), alone_in(tmp_path, patience=0):
        pass
    with alone_in(tmp_path, patience=0), locked(tmp_path, "polyphony serve"):
        pass  # what holds a run or a site is another lock
    assert [path.name for path in tmp_path.iterdir()] == [locks.LOCK]
