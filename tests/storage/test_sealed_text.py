"""A text with a digest is the one that was written, or a person's who said so."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.storage.damage import DamagedFileError
from fedapp.storage.sealed_text import LABEL, check_text, sealed_text

TEXT = "a: 1\n# a comment\nb: tést\n"


@given(place=st.integers(0))
def test_no_flipped_bit_is_overlooked(tmp_path_factory: pytest.TempPathFactory, place: int) -> None:
    path, written = tmp_path_factory.mktemp("texts") / "config.yaml", bytearray(sealed_text(TEXT).encode())
    path.write_bytes(written)
    check_text(path)
    written[place // 8 % len(written)] ^= 1 << place % 8
    path.write_bytes(written)
    with pytest.raises(DamagedFileError, match=r"config\.yaml"):
        check_text(path)


@pytest.mark.parametrize("kept", [0, 4, len(TEXT), len(sealed_text(TEXT).encode()) - 1])
def test_a_text_that_was_cut_off_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(sealed_text(TEXT).encode()[:kept])
    with pytest.raises(DamagedFileError, match="last line") as caught:
        check_text(path, "restore it")
    assert caught.value.hint == f'restore it; whoever means another value writes "{LABEL}by hand" there'


def test_what_a_person_changed_and_says_so_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"a: 7\n{LABEL}by hand\n")
    check_text(path)
