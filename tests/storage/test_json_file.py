"""JSON files read back: as they were written, or with an error that names them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.storage.damage import TOLD, DamagedFileError, reading
from fedapp.storage.json_file import read_json, read_object, read_sealed, write_sealed


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
        assert read_sealed(path, {}) == value, "1e9 may have become 1E9"
    except DamagedFileError as error:
        assert "x.json" in str(error)


def test_a_file_without_a_digest_is_damaged_unless_a_person_says_that_it_is_theirs(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"round": 3}')
    with pytest.raises(DamagedFileError, match=r"x\.json was altered: it has no digest"):
        read_sealed(path, {"round": int})
    path.write_text('{"round": 3, "seal": "by hand"}')
    assert read_sealed(path, {"round": int}) == {"round": 3}
