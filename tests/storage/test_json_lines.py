"""Files of lines: each whole or gone, whenever a writer was killed, and read from their end."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedapp.storage.json_lines import PIECE, append_line, last_line

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n"), max_size=50)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def test_a_file_that_is_not_there_or_empty_has_no_line(path: Path) -> None:
    assert last_line(path) is None
    assert not path.exists()
    path.touch()
    assert last_line(path) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXT, max_size=4), TEXT)
def test_a_line_cut_off_at_any_byte_is_gone_and_those_before_are_whole(path: Path, lines: list[str], torn: str) -> None:
    whole = "".join(f"{line}\n" for line in lines).encode()
    for length in range(len(torn.encode()) + 1):
        path.write_bytes(whole + torn.encode()[:length])
        assert last_line(path) == (lines[-1] if lines else None)
        assert path.read_bytes() == whole
    append_line(path, torn)
    assert path.read_bytes() == whole + torn.encode() + b"\n"
    assert last_line(path) == torn


@pytest.mark.parametrize("length", [0, 1, PIECE - 2, PIECE - 1, PIECE, 2 * PIECE + 1])
@pytest.mark.parametrize("torn", [0, 1, PIECE, PIECE + 1])
def test_lines_may_be_longer_than_what_is_read_at_once(path: Path, length: int, torn: int) -> None:
    path.write_bytes(b"first\n" + b"x" * length + b"\n" + b"y" * torn)
    assert last_line(path) == "x" * length
    assert path.stat().st_size == 6 + length + 1


def test_how_long_a_file_is_does_not_matter(path: Path) -> None:
    """A terabyte of holes is not read."""
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 40)
        file.write(b"\nlast\nto")
    assert last_line(path) == "last"
    assert path.stat().st_size == (1 << 40) + 6
    path.unlink()


def test_a_file_of_lines_is_its_owners_alone(path: Path) -> None:
    append_line(path, "x")
    assert path.stat().st_mode & 0o777 == 0o600
