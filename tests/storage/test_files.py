"""Atomic writing: the old file or the new one, never half of either."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fedapp.storage import files
from fedapp.storage.files import atomic_directory, atomic_path
from fedapp.storage.json_file import write_json
from fedapp.storage.leftovers import sweep
from tests.conftest import ROOT
from tests.helpers.folders import names


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_json(target, {"round": 1})
    with pytest.raises(RuntimeError, match="stop"), atomic_path(target) as path:
        path.write_text("{half")
        raise RuntimeError("stop")
    assert target.read_text() == '{\n  "round": 1\n}\n'
    assert names(tmp_path) == ["state.json"]


def test_a_written_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o600


def test_an_error_while_filling_a_directory_leaves_the_old_one(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "data") as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "data") as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (tmp_path / "data" / "a").read_text() == "old"
    assert names(tmp_path) == ["data"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_new_directory_replaces_the_old_one_as_a_whole(exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file system cannot exchange two names."""
    if not exchanges:
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    for name in ("a", "b"):
        with atomic_directory(tmp_path / "data") as folder:
            (folder / name).write_text(name)
    assert names(tmp_path / "data") == ["b"]
    assert names(tmp_path) == ["data"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges names")
def test_killed_at_any_moment_of_replacing_the_old_folder_or_the_new_one_is_there_whole(tmp_path: Path) -> None:
    """The process is killed by itself at each call of the system's that moves or removes something, in turn."""
    code = """
import os, signal, sys
from pathlib import Path
from fedapp.storage.files import atomic_directory
left = int(sys.argv[2])

def hook(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

with atomic_directory(Path(sys.argv[1])) as folder:
    for name in ("a", "b"):
        (folder / name).write_text("new")
    sys.addaudithook(hook)
"""
    seen = set()
    for moment in range(6):
        data = tmp_path / str(moment) / "data"
        with atomic_directory(data) as folder:
            for name in ("a", "b"):
                (folder / name).write_text("old")
        done = subprocess.run([sys.executable, "-c", code, str(data), str(moment)], cwd=ROOT, check=False)
        held = {path.read_text() for path in data.iterdir()}
        assert (len(held), names(data)) == (1, ["a", "b"])
        seen |= {(done.returncode, *held)}
        sweep(data.parent)
        assert names(data.parent) == ["data"]
    assert seen == {(-signal.SIGKILL, "new"), (0, "new")}, "the exchange comes before anything is removed"


def test_a_file_or_folder_that_is_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere" / "file")
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere" / "folder")
    for _ in range(2):
        write_json(tmp_path / "file", {})
        with atomic_directory(tmp_path / "folder") as folder:
            (folder / "a").write_text("a")
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "folder").is_symlink()
    assert names(tmp_path / "elsewhere") == ["file", "folder"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(NotADirectoryError), atomic_directory(tmp_path / "notes"):
        pass
    assert (tmp_path / "notes").read_text() == "mine"


def test_names_as_long_as_a_name_may_be_are_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "\N{GRINNING FACE}" * 60):
        write_json(tmp_path / name, {})
    assert len(names(tmp_path)) == 2
