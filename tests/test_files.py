"""Atomic writing: the old file or the new one, never half of either."""

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.files import (
    TOLD,
    DamagedFileError,
    atomic_directory,
    atomic_path,
    read_json,
    read_object,
    read_sealed,
    reading,
    sweep,
    write_json,
    write_sealed,
)


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


# Reading back


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff", b'{"round": "1"}', b'{"other": 1}', b"[" * 100_000])
def test_a_damaged_json_file_is_an_error_that_names_it_with_a_hint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"state\.json is damaged: \S") as caught:
        read_object(path, {"round": int}, "do this")
    assert caught.value.hint == "do this"
    assert len(str(caught.value)) < 200 + TOLD


def test_a_missing_file_is_named_and_what_the_system_says_of_another_trouble_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"state\.json is missing"):
        read_json(tmp_path / "state.json")
    with pytest.raises(IsADirectoryError):
        read_json(tmp_path)
    with pytest.raises(KeyboardInterrupt), reading(tmp_path):
        raise KeyboardInterrupt


@given(value=st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)), place=st.integers(0))
def test_a_sealed_file_reads_back_as_it_was_written_or_not_at_all(tmp_path_factory: pytest.TempPathFactory, value: Any, place: int) -> None:
    value.pop("seal", None)
    path = tmp_path_factory.mktemp("sealed") / "x.json"
    write_sealed(path, value)
    assert read_sealed(path, {}) == value
    content = bytearray(path.read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    path.write_bytes(content)
    try:
        assert read_sealed(path, {}).items() >= value.items(), "but for the name of the seal itself, nothing can be altered"
    except DamagedFileError as error:
        assert "x.json" in str(error)
