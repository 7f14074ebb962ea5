"""Sweeping: what nobody alive is writing, and nothing else."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedapp.storage import leftovers
from fedapp.storage.files import atomic_directory
from fedapp.storage.json_file import write_json
from fedapp.storage.leftovers import UNFINISHED, discard, held_folder, sweep, sweep_beside
from tests.conftest import ROOT
from tests.helpers.folders import names


@contextmanager
def another(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is writing a file, a folder and a scratch folder below `tmp_path`."""
    code = """
import sys
from pathlib import Path
from fedapp.storage.files import UNFINISHED, atomic_directory, atomic_path, held_folder
here = Path(sys.argv[1])
with atomic_path(here / "state.json") as file, atomic_directory(here / "a" / "data") as folder, held_folder(".x.", here, UNFINISHED) as own:
    file.write_text("half")
    (folder / "rows").write_text("half")
    (own / "rows").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process


def parts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(UNFINISHED)]


def test_what_another_living_process_is_writing_is_not_swept_and_it_ends_well(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        before = parts(tmp_path)
        sweep(tmp_path)
        assert parts(tmp_path) == before
        assert len(before) == 3
        process.communicate("")
    assert process.returncode == 0
    assert names(tmp_path) == ["a", "state.json"]
    assert (tmp_path / "a" / "data" / "rows").read_text() == "half"


def test_what_a_killed_process_left_unfinished_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in ("notes.part", ".notes.part", ".download.crdownload", "whole.json"):
        (tmp_path / name).write_text("a person's")
    with another(tmp_path) as process:
        process.kill()
    assert len(parts(tmp_path)) == 5
    sweep(tmp_path)
    assert names(tmp_path) == [".download.crdownload", ".notes.part", "a", "notes.part", "whole.json"]
    assert names(tmp_path / "a") == []


def test_of_a_symbolic_link_that_is_swept_which_lies_beside_what_it_names(tmp_path: Path) -> None:
    """A site may keep a file on another disk."""
    home, disk = tmp_path / "home", tmp_path / "disk"
    home.mkdir()
    disk.mkdir()
    with another(disk) as process:
        process.kill()
    (home / "keys").symlink_to(disk / "state.json")
    sweep_beside(home / "keys")
    assert [name for name in names(disk) if "state.json" in name] == []
    (home / "loop").symlink_to(home / "loop")
    (home / "data").symlink_to(disk / "a" / "data")
    assert parts(disk / "a")
    sweep(home)
    assert names(disk / "a") == []
    assert [path for path in home.iterdir() if not path.is_symlink()] == []


def test_writing_again_sweeps_what_a_kill_left_of_the_same_folder(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        process.kill()
    with atomic_directory(tmp_path / "a" / "data") as folder:
        (folder / "rows").write_text("whole")
    assert names(tmp_path / "a") == ["data"]


def test_what_is_swept_between_its_making_and_its_holding_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process is as quick as it can be: it sweeps right after the file or folder was made."""
    hold, swept = leftovers._hold, []

    def late(held: int, path: Path) -> bool:
        if len(swept) % 2 == 0:
            assert discard(path)
        swept.append(path)
        return hold(held, path)

    monkeypatch.setattr(leftovers, "_hold", late)
    write_json(tmp_path / "a.json", {})
    with held_folder(".x.", tmp_path) as folder:
        assert folder.is_dir()
    assert names(tmp_path) == ["a.json"]
    assert len(swept) == 4


def test_where_a_file_system_keeps_no_locks_writing_works_and_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(held: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(leftovers, "flock", refused)
    write_json(tmp_path / "a.json", {})
    with atomic_directory(tmp_path / "data") as folder:
        sweep(tmp_path)
        (folder / "a").write_text("a")
    assert names(tmp_path) == ["a.json", "data"]
