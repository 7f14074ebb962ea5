"""A table that is read is the one that was written, or its damage is named."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from fedapp.storage.damage import DamagedFileError
from fedapp.storage.sealed_table import read_table, write_table

TABLE = pl.DataFrame(
    {
        "fold": ["validation", "test", None, "tést", ""] * 8,
        "row": pl.Series(range(40), dtype=pl.Int32),
        "output": pl.Series([0.25 * number if number % 7 else None for number in range(40)], dtype=pl.Float32),
        "counts": [bool(number % 3) for number in range(40)],
    }
)


def test_a_table_comes_back_as_it_was_written_for_its_owner_alone(tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet", TABLE)
    assert_frame_equal(read_table(tmp_path / "table.parquet"), TABLE)
    assert (tmp_path / "table.parquet").stat().st_mode & 0o777 == 0o600
    assert_frame_equal(pl.read_parquet(tmp_path / "table.parquet"), TABLE)


def test_whatever_byte_is_altered_the_table_is_as_it_was_or_its_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, TABLE)
    written, named = path.read_bytes(), 0
    for place in range(len(written)):
        path.write_bytes(written[:place] + bytes([written[place] ^ (1 << place % 8)]) + written[place + 1 :])
        try:
            assert_frame_equal(read_table(path), TABLE)
        except DamagedFileError as error:
            assert str(path) in str(error)
            named += 1
    assert named > len(written) / 4


def test_a_table_without_a_digest_is_damaged(tmp_path: Path) -> None:
    TABLE.write_parquet(tmp_path / "table.parquet")
    with pytest.raises(DamagedFileError, match=r"table\.parquet was altered: it has no digest"):
        read_table(tmp_path / "table.parquet")


@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_table_that_was_cut_off_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, TABLE)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedFileError, match="table.parquet"):
        read_table(path)


@given(st.lists(st.text(max_size=70)), st.lists(st.floats(width=32), min_size=1))
def test_what_is_written_comes_back_even_where_cells_look_like_a_seal(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], numbers: list[float]
) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.parquet"
    told = [*texts, "polyphony.seal:" + "0" * 64, "0" * 64, "polyphony.seal:" + "ab" * 32]
    table = pl.DataFrame({"text": told, "number": pl.Series(numbers).extend_constant(None, len(told))[: len(told)]})
    write_table(path, table)
    assert_frame_equal(read_table(path), table)
