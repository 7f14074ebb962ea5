"""Structures to predict for, from the files that people have."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from fedapp.data.smiles_file import read_smiles
from fedapp.errors import DataError


def test_structures_to_predict_come_from_smi_csv_tsv_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CC first one\n\nCO\n")
    (tmp_path / "A.SMI").write_text("CC first one\rCO\r")
    (tmp_path / "a.smi.gz").write_bytes(gzip.compress(b"CC first one\r\nCO\r\n"))
    (tmp_path / "a.csv").write_text("smiles,compound_id\nCC,007\n")
    (tmp_path / "a.tsv").write_text("compound_id\tsmiles\n007\tCC\n")
    pl.DataFrame({"smiles": ["CC"]}).write_parquet(tmp_path / "a.parquet")
    for name in ("a.smi", "A.SMI", "a.smi.gz"):
        assert read_smiles(tmp_path / name).rows.rows() == [("first one", "CC", ""), ("", "CO", "")]
    for name in ("a.csv", "a.tsv"):
        assert read_smiles(tmp_path / name).rows.rows() == [("007", "CC", "")]
    assert read_smiles(tmp_path / "a.parquet").rows.rows() == [("", "CC", "")]


def test_an_extension_in_a_smi_file_belongs_to_the_structure_and_never_to_the_id(tmp_path: Path) -> None:
    lines = ["CC |&1:0| first", "CO\t|Sg:n:1::ht|", "CN |open", "\tCF  a | b "]
    (tmp_path / "a.smi").write_text("\ufeff" + "\n".join(lines))
    rows = read_smiles(tmp_path / "a.smi").rows.select("compound_id", "smiles").rows()
    assert rows == [("first", "CC |&1:0|"), ("", "CO |Sg:n:1::ht|"), ("", "CN |open"), ("a | b", "CF")]


def test_a_line_of_a_smi_file_ends_where_editors_end_it_whatever_its_name_holds(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CC one\u2028two\nCO\x0bthree\nCN a\x85b\n", encoding="utf-8")
    rows = read_smiles(tmp_path / "a.smi").rows
    assert rows["smiles"].to_list() == ["CC", "CO", "CN"]
    assert rows["compound_id"].to_list() == ["one\u2028two", "three", "a\x85b"]


def test_a_row_that_cannot_be_read_keeps_its_place_with_the_reason_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_bytes(b"CC caf\xe9\nCO a\0b\nCN fine\n")
    (tmp_path / "a.csv").write_bytes(b'smiles,compound_id\nCC,caf\xe9\nCO\n"CF,x\nCN,fine\n')
    assert read_smiles(tmp_path / "a.smi").rows.rows() == [
        ("caf\\xe9", "CC", "row is not UTF-8 text"),
        ("a\\x00b", "CO", "row has a NUL character"),
        ("fine", "CN", ""),
    ]
    assert read_smiles(tmp_path / "a.csv").rows.rows() == [
        ("", "CC,caf\\xe9", "row is not UTF-8 text"),
        ("", "CO", "row has more or fewer cells than the header"),
        ("", '"CF,x', "row opens a quote that is not closed in its line"),
        ("fine", "CN", ""),
    ]


def test_it_is_told_which_column_was_taken_for_what_and_which_was_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("lot;Canonical SMILES\n7;CC\n")
    (tmp_path / "b.csv").write_text("compound_id,smiles\n7,CC\n")
    (tmp_path / "c.smi").write_text("CC 7\n")
    told = [
        "a.csv: read Canonical SMILES as smiles",
        "cells are separated by semicolons",
        "no compound_id: rows are in the order of the file",
        "not read: lot",
    ]
    assert read_smiles(tmp_path / "a.csv").read.split("; ") == told
    assert read_smiles(tmp_path / "b.csv").read == "b.csv: read smiles, compound_id"
    assert read_smiles(tmp_path / "c.smi").read == ""


@pytest.mark.parametrize(
    ("header", "identifier", "told"),
    [
        ("name,smiles,note", "a", "read smiles, name as compound_id; not read: note"),
        ("Name,SMILES,ID", "c", "read SMILES as smiles, ID as compound_id; not read: Name"),
        ("name,smiles,molecule_chembl_id", "c", "read smiles, molecule_chembl_id as compound_id; not read: name"),
        ("name,smiles,name", "", "the name may be in name or name|has the column name more than once"),
    ],
)
def test_a_table_of_structures_has_its_ids_where_tables_have_them_or_else_in_id_or_name(
    tmp_path: Path, header: str, identifier: str, told: str
) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\na,CC,c\n")
    if not identifier:
        with pytest.raises(DataError, match=told):
            read_smiles(tmp_path / "a.csv")
        return
    found = read_smiles(tmp_path / "a.csv")
    assert found.rows.rows() == [(identifier, "CC", "")]
    assert found.read == f"a.csv: {told}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.smi", b"\n", "no rows"),
        ("a.smi", "CC a\n".encode("utf-16"), "not UTF-8 text"),
        ("a.smi.gz", b"CC a\n", "cannot read"),
        ("a.csv", b"smiles\n", "no rows"),
        ("a.csv", b"name\nCC\n", "no column smiles"),
    ],
)
def test_structures_to_predict_that_cannot_be_read_are_an_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_smiles(tmp_path / name)


def test_a_missing_file_of_structures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_smiles(tmp_path / "a.csv")
