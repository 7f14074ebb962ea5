"""Atomic writing: the old file or the new one, never half of either."""

import stat
from pathlib import Path

import pytest

from fedapp.files import atomic_directory, atomic_path, sweep, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    write_json(target, {"round": 1})
    with pytest.raises(OSError, match="full"), atomic_path(target) as path:
        path.write_text("{half")
        raise OSError("full")
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


def test_a_new_directory_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with atomic_directory(tmp_path / "data") as folder:
            (folder / name).write_text(name)
    assert names(tmp_path / "data") == ["b"]


def test_what_a_killed_process_left_unfinished_is_swept_and_nothing_else(tmp_path: Path) -> None:
    writing = atomic_path(tmp_path / "a" / "state.json")
    writing.__enter__().write_text("{half")
    filling = atomic_directory(tmp_path / "a" / "data")
    (filling.__enter__() / "x").write_text("half")
    write_json(tmp_path / "a" / "whole.json", {})
    sweep(tmp_path)
    assert names(tmp_path / "a") == ["whole.json"]
