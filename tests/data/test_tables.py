import gzip
from pathlib import Path

import polars as pl
import pytest

from fedapp.data.tables import LINE, read_note, read_table
from fedapp.errors import DataError


def lines(folder: Path) -> list[int]:
    return read_table(folder, "compounds", ["compound_id", "smiles"]).rows[LINE].to_list()


def test_everything_is_text_so_ids_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_text("compound_id,smiles\n007,CC\n1e5,CO\n")
    assert read_table(tmp_path, "compounds", ["compound_id", "smiles"]).rows["compound_id"].to_list() == ["007", "1e5"]


def test_gz_and_parquet_give_the_same_as_csv(tmp_path: Path) -> None:
    text = "extra,smiles,compound_id\n1,CC,007\n2, CO ,8\n,,9\n"
    for name in ("plain", "zipped", "columnar"):
        (tmp_path / name).mkdir()
    (tmp_path / "plain" / "compounds.csv").write_text(text)
    (tmp_path / "zipped" / "compounds.csv.gz").write_bytes(gzip.compress(text.encode()))
    pl.DataFrame({"extra": [1, 2, None], "smiles": ["CC", " CO ", None], "compound_id": ["007", "8", "9"]}).write_parquet(
        tmp_path / "columnar" / "compounds.parquet"
    )
    read = [read_table(tmp_path / name, "compounds", ["compound_id", "smiles"]).rows for name in ("plain", "zipped", "columnar")]
    assert read[0].equals(read[1])
    assert read[0].drop(LINE).equals(read[2].drop(LINE))
    assert read[0].drop(LINE).rows() == [("007", "CC"), ("8", "CO"), ("9", "")]


def test_numbers_in_parquet_become_text_that_reads_back_the_same(tmp_path: Path) -> None:
    pl.DataFrame({"compound_id": [7, 8], "smiles": ["C", "C"], "value": [0.1 + 0.2, 1e-300]}).write_parquet(tmp_path / "compounds.parquet")
    rows = read_table(tmp_path, "compounds", ["compound_id", "value"]).rows
    assert rows["compound_id"].to_list() == ["7", "8"]
    assert [float(text) for text in rows["value"]] == [0.1 + 0.2, 1e-300]


def test_lines_are_those_of_the_file_after_blank_lines_and_cells_with_newlines(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_text('compound_id,smiles,molblock\n1,CC,\n\n2,CO,"\n  RDKit\n\nM  END\n"\n4,CN,\n')
    assert lines(tmp_path) == [2, 4, 9]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_bytes(b"\xef\xbb\xbfcompound_id,smiles\r\n1,CC\r\n")
    assert read_table(tmp_path, "compounds", ["compound_id", "smiles"]).rows.rows() == [(2, "1", "CC")]


def test_rows_that_cannot_be_taken_apart_are_kept_with_their_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [b"compound_id,smiles", b"1,CC", b"2", b"3,CC,x", b'4,"C"C', b"5,\xb5", b"6,CO"]
    (tmp_path / "compounds.csv").write_bytes(b"\n".join(rows) + b"\n")
    table = read_table(tmp_path, "compounds", ["compound_id", "smiles"])
    assert table.rows["compound_id"].to_list() == ["1", "6"]
    assert table.unreadable == [
        (3, "row has more or fewer cells than the header", "2"),
        (4, "row has more or fewer cells than the header", "3,CC,x"),
        (5, "row has misplaced quotes", '4,"C"C'),
        (6, "row is not UTF-8 text", r"5,\xb5"),
    ]


def test_more_rows_than_one_block_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedapp.data.tables._BLOCK", 3)
    (tmp_path / "compounds.csv").write_text("compound_id,smiles\n" + "".join(f"{n},C\n" for n in range(10)))
    assert lines(tmp_path) == list(range(2, 12))


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere") as error:
        lines(tmp_path / "nowhere")
    assert "compounds.csv" in error.value.hint


def test_a_missing_table_is_an_error_that_says_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no compounds table") as error:
        lines(tmp_path)
    assert "compounds.csv.gz" in error.value.hint
    assert "compound_id, smiles" in error.value.hint


def test_a_missing_column_is_an_error_that_names_file_and_column_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_text("number|structure\n1|CC\n")
    with pytest.raises(DataError, match=r"compounds\.csv has no column compound_id, smiles") as error:
        lines(tmp_path)
    assert "number|structure" in error.value.hint
    assert "smiles may be called smiles, canonical_smiles" in error.value.hint


def test_a_column_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_text("compound_id,smiles,smiles\n1,CC,CO\n")
    with pytest.raises(DataError, match="column smiles more than once"):
        lines(tmp_path)


def test_a_table_in_two_formats_is_an_error(tmp_path: Path) -> None:
    for name in ("compounds.csv", "compounds.csv.gz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"both compounds\.csv and compounds\.csv\.gz"):
        lines(tmp_path)


@pytest.mark.parametrize("text", ["compound_id,smiles\n", "compound_id,smiles\n\n\n"])
def test_a_table_without_a_row_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "compounds.csv").write_text(text)
    with pytest.raises(DataError, match="no usable rows"):
        lines(tmp_path)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_text("")
    with pytest.raises(DataError, match="no column compound_id"):
        lines(tmp_path)


@pytest.mark.parametrize("name", ["compounds.csv.gz", "compounds.parquet"])
@pytest.mark.parametrize(
    "content", [b"not what the name says", gzip.compress(b"compound_id,smiles\n" + b"1,CC\n" * 999)[:-20]], ids=["no archive", "cut short"]
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"cannot read .*{name}"):
        lines(tmp_path)


def test_a_note_beside_the_tables_is_read(tmp_path: Path) -> None:
    assert read_note(tmp_path) == ""
    (tmp_path / "note.txt").write_text("computed labels\n")
    assert read_note(tmp_path) == "computed labels"


def test_a_note_that_is_not_utf8_is_an_error_that_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes("measured at\n25 \u00b0C\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"note\.txt is not UTF-8 text: line 2 has the byte 0xb0") as error:
        read_note(tmp_path)
    assert error.value.hint == "save it as UTF-8"


def test_a_header_that_is_not_utf8_hides_no_column_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_bytes("compound_id,smiles,Ki (\u00b5M)\nA,CC,1\n".encode("latin-1"))
    table = read_table(tmp_path, "compounds", ["compound_id", "smiles"])
    assert table.rows.rows() == [(2, "A", "CC")]
    assert table.unread() == [r"Ki (\xb5M)"]


def test_a_name_with_a_space_that_does_not_break_is_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "compounds.csv").write_text("Molecule\u00a0ChEMBL ID,smiles\nA,CC\n")
    assert read_table(tmp_path, "compounds", ["compound_id", "smiles"]).rows.rows() == [(2, "A", "CC")]


def test_columns_without_a_name_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "assays.csv").write_text("assay_id,target_id,,\nx,T1,,\ny,T2,,\n")
    assert read_table(tmp_path, "assays", ["assay_id"], None).rows.rows() == [(2, "x", "T1"), (3, "y", "T2")]


def test_what_an_assays_table_calls_its_target_is_read_as_the_target(tmp_path: Path) -> None:
    (tmp_path / "assays.csv").write_text("Assay ChEMBL ID;Target ChEMBL ID;organism\nx;T1;NA\n")
    table = read_table(tmp_path, "assays", ["assay_id"], None)
    assert table.rows.rows(named=True) == [{LINE: 2, "assay_id": "x", "target_id": "T1", "organism": ""}]
    assert table.separator == ";"


def test_a_parquet_column_of_relations_under_another_name_is_an_error(tmp_path: Path) -> None:
    pl.DataFrame({"smiles": ["CC"], "value": ["1"], "mod": ["<"]}).write_parquet(tmp_path / "activities.parquet")
    with pytest.raises(DataError, match="no column relation, but mod holds such"):
        read_table(tmp_path, "activities", ["smiles", "value"], ["relation"])


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Enum(["", "<", "="])])
def test_relations_under_another_name_are_found_behind_any_number_of_empty_cells(kind: pl.DataType, tmp_path: Path) -> None:
    rows = pl.DataFrame({"smiles": ["CC"] * 3001, "value": ["1"] * 3001, "mod": [*[""] * 3000, "<"]})
    rows.write_csv(tmp_path / "as_csv.csv")
    rows.with_columns(pl.col("mod").cast(kind)).write_parquet(tmp_path / "as_parquet.parquet")
    for name in ("as_csv.csv", "as_parquet.parquet"):
        with pytest.raises(DataError, match="no column relation, but mod holds such"):
            read_table(tmp_path / name, "activities", ["smiles", "value"], ["relation"])


@pytest.mark.parametrize("cell", [["CC"], {"smiles": "CC"}, b"CC"])
def test_a_parquet_column_of_neither_text_nor_numbers_is_named(cell: object, tmp_path: Path) -> None:
    pl.DataFrame({"compound_id": [1], "smiles": [cell]}).write_parquet(tmp_path / "compounds.parquet")
    with pytest.raises(DataError, match="the column smiles holds"):
        lines(tmp_path)
