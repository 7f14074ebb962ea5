"""A line's end that was altered is damage; a line that a kill cut off is none."""

from pathlib import Path

import pytest

from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_lines import append_line, last_line, sealed_line, whole_lines

LINES = [sealed_line({"round": number}) for number in (1, 2)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for line in LINES:
        append_line(tmp_path / "sums.jsonl", line)
    return tmp_path / "sums.jsonl"


@pytest.mark.parametrize("bit", range(8))
def test_an_altered_end_of_the_last_line_is_named_and_the_line_is_not_lost(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1 << bit
    path.write_bytes(content)
    for read in (whole_lines, last_line):
        with pytest.raises(DamagedFileError, match=r"sums\.jsonl: its last line has no end"):
            read(path)
    assert path.read_bytes() == content


def test_what_a_kill_left_of_a_line_is_no_damage_wherever_it_was_cut(path: Path) -> None:
    whole = path.read_text()
    for left in range(len(LINES[0]) + 1, len(whole)):
        path.write_text(whole[:left])
        assert whole_lines(path) == LINES[:1]
        assert last_line(path) == LINES[0]
