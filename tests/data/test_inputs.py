"""Tables as people have them, from the file to tasks and labels."""

import csv
import gzip
import io
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.inputs import read_inputs
from fedapp.data.prepare import input_digest, prepare
from fedapp.errors import DataError
from fedapp.storage.json_file import read_json
from tests.data.forms import as_chembl_download, as_two_columns
from tests.data.tables import CHEMISTRY, TASKS, rejected, shown_rejects, write_tables
from tests.helpers.sweeps import examples

SIX = replace(TASKS, thresholds=[6.0])


def built(tables: Path, group_by: str = "assay_id") -> Dataset:
    """The dataset of these tables; the prepared folder lies beside it."""
    out = tables.parent / "out"
    prepare(tables, out, CHEMISTRY)
    return build_dataset(out, out / "dataset", "p", replace(SIX, group_by=group_by))


def labels(dataset: Dataset) -> set[tuple[str, str, int]]:
    """(SMILES, group, label)."""
    labels, values = dataset.labels, dataset.labels.values.tolist()
    return set(zip(dataset.smiles()[labels.owners], dataset.tasks["group"][labels.tasks.tolist()], values, strict=True))


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


DOWNLOAD = (
    '"Molecule ChEMBL ID";"Smiles";"Standard Type";"Standard Relation";"Standard Value";"Standard Units";"pChEMBL Value";'
    '"Assay ChEMBL ID";"Target ChEMBL ID"\n'
    '"C1";"CCO";"IC50";"\'=\'";"10";"nM";"8";"A1";"T1"\n'
    '"C2";"CCN";"IC50";"\'>\'";"10000";"nM";"";"A1";"T1"\n'
    '"C2";"CCN";"Inhibition";"\'=\'";"50";"%";"";"A1";"T1"\n'
    '"C3";"CCC";"Ki";"\'=\'";"1";"nM";"9";"A2";"T1"\n'
    '"C4";"CCF";"IC50";"";"";"";"";"A2";"T1"\n'
)


def test_a_download_of_chembl_is_read_as_it_is(tmp_path: Path) -> None:
    dataset = built(write(tmp_path / "mine.csv", DOWNLOAD), "target_id")
    assert labels(dataset) == {("CCO", "T1", 1), ("CCN", "T1", 0), ("CCC", "T1", 1)}
    assert rejected(tmp_path / "out") == [
        ("mine.csv", 4, "A1/C2", "unknown unit"),
        ("mine.csv", 6, "A2/C4", "no unit, where other rows have one"),
    ]


def test_one_table_in_a_folder_may_have_any_name_and_is_read_as_the_file_alone(tmp_path: Path) -> None:
    alone = built(write(tmp_path / "mine.csv", DOWNLOAD))
    write(tmp_path / "other" / "notes.txt", "")
    write(tmp_path / "other" / ".mine.csv", "left by an editor")
    folder = write(tmp_path / "other" / "mine.csv", DOWNLOAD).parent
    assert labels(built(folder)) == labels(alone)
    before = input_digest(folder, CHEMISTRY)
    write(folder / "mine.csv", DOWNLOAD.replace("CCO", "CCCO"))
    assert input_digest(folder, CHEMISTRY) != before, "what was prepared from another content is prepared again"


@pytest.mark.parametrize(("further", "message"), [("more.csv", "no compounds table"), ("compounds.csv", "no activities table")])
def test_of_several_tables_none_is_guessed_to_be_the_activities(tmp_path: Path, further: str, message: str) -> None:
    folder = write(tmp_path / "tables" / "mine.csv", DOWNLOAD).parent
    write(folder / further, "compound_id,smiles\nC1,CCO\n")
    with pytest.raises(DataError, match=message):
        built(folder)


def test_the_form_of_chembls_api_in_a_folder_gives_the_same(tmp_path: Path) -> None:
    rows = csv.reader(io.StringIO(DOWNLOAD), delimiter=";")
    names = ["molecule_chembl_id", "canonical_smiles", "standard_type", "standard_relation", "standard_value", "standard_units"]
    header = [*names, "pchembl_value", "assay_chembl_id", "target_chembl_id"]
    next(rows)
    lines = [",".join(cells).replace("'", "") for cells in [header, *rows]]
    write(tmp_path / "api" / "activities.csv", "\n".join(lines) + "\n")
    first, second = built(write(tmp_path / "mine.csv", DOWNLOAD), "target_id"), built(tmp_path / "api", "target_chembl_id")
    assert labels(first) == labels(second)
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "text",
    ["smiles,active\nCCO,1\nCCN,0\nCCC,1.0\n", "smiles,pIC50\nCCO,8\nCCN,4\nCCC,7\n", "IC50 (nM)\tSMILES\n10\tCCO\n1e5\tCCN\n100\tCCC\n"],
)
def test_a_table_of_two_columns_is_one_assay_named_after_the_file(tmp_path: Path, text: str) -> None:
    dataset = built(write(tmp_path / "herg.v2.csv", text))
    assert labels(dataset) == {("CCO", "herg.v2", 1), ("CCN", "herg.v2", 0), ("CCC", "herg.v2", 1)}


def test_the_same_values_give_the_same_tasks_and_labels_in_every_form(tmp_path: Path) -> None:
    values = {name: 3.5 + (7 * number + 2) % 6 for number, name in enumerate("ABCDEF")}
    rows = [f"x,{name},{value},=,p" for name, value in values.items()]
    rows += [f"y,{name},{value},{'<' if value < 6 else '>'},p" for name, value in values.items()]
    compounds = [f"{name},{'C' * (1 + number)}O" for number, name in enumerate("ABCDEF")]
    for name in ("ours", "chembl", "two"):
        write_tables(tmp_path / name / "tables", compounds, rows)
    as_chembl_download(tmp_path / "chembl" / "tables")
    as_two_columns(tmp_path / "two" / "tables")
    ours, chembl, two = (built(tmp_path / name / "tables") for name in ("ours", "chembl", "two"))
    assert ours.tasks["group"].to_list() == ["x", "y"]
    assert ours.digest == chembl.digest
    assert {(smiles, label) for smiles, group, label in labels(ours) if group == "x"} == {
        (smiles, label) for smiles, _, label in labels(two)
    }


def test_the_same_value_of_one_structure_counts_once_where_compounds_have_no_ids(tmp_path: Path) -> None:
    built(write(tmp_path / "t.csv", "smiles,pKi\nCCO,8\nOCC,8.0\nCCN,4\nCCO,7.5\n"))
    assert rejected(tmp_path / "out") == [("t.csv", 3, "t/OCC", "repeats an earlier row")]


def test_a_bad_structure_of_one_table_costs_its_rows_with_the_reason(tmp_path: Path) -> None:
    built(write(tmp_path / "t.csv", "compound_id,smiles,pKi\n1,CCO,8\n2,C1CC,8\n3,CCN,4\n4,CC,6\n4,CN,6\n4,CN,7\n5,,7\n,CCC,7\n"))
    assert rejected(tmp_path / "out") == [
        ("t.csv", 3, "t/2", "SMILES cannot be parsed"),
        *[("t.csv", line, "t/4", "compound_id stands for different values of smiles") for line in (5, 6, 7)],
        ("t.csv", 8, "t/5", "empty smiles"),
        ("t.csv", 9, "t/", "empty compound_id"),
    ]


def test_an_empty_structure_is_called_so_where_compounds_have_no_ids(tmp_path: Path) -> None:
    built(write(tmp_path / "t.csv", "smiles,pIC50\nCC,8\n,7\nCO,4\n"))
    assert [(line, reason) for _, line, _, reason in rejected(tmp_path / "out")] == [(3, "empty smiles")]


def test_an_assay_of_several_types_of_value_is_one_for_each(tmp_path: Path) -> None:
    rows = ["x,A,8,nM,IC50", "x,B,90000,nM,IC50", "x,A,8,nM,Ki", "x,B,80000,nM,Ki", "y,A,8,nM,Ki", "y,B,1e5,nM,Ki"]
    columns = "assay_id,compound_id,value,unit,standard_type"
    tables = write_tables(tmp_path / "tables", ["A,CC", "B,CO"], rows, ["x,T1", "y,T1"], columns=columns)
    assert built(tables).tasks["group"].to_list() == ["x IC50", "x Ki", "y"]
    assert pl.read_parquet(tmp_path / "out" / "assays.parquet").rows() == [("x IC50", "T1"), ("x Ki", "T1"), ("y", "T1")]
    assert read_json(tmp_path / "out" / "summary.json")["assays_split"] == 1


def test_one_table_with_targets_and_no_assays_has_one_assay_for_each_target(tmp_path: Path) -> None:
    dataset = built(write(tmp_path / "t.csv", "smiles,target_id,pKi\nCC,T1,8\nCO,T1,4\nCC,T2,4\nCO,T2,8\nCN,,8\n"))
    assert labels(dataset) == {("CC", "T1", 1), ("CO", "T1", 0), ("CC", "T2", 0), ("CO", "T2", 1)}
    assert rejected(tmp_path / "out") == [("t.csv", 6, "/CN", "empty assay_id")]


def test_an_assay_of_several_targets_is_one_for_each_and_an_absent_target_is_that_of_its_assay(tmp_path: Path) -> None:
    rows = ["CC,8,p,x,T1", "CO,4,p,x,T1", "CC,8,p,x,T2", "CO,4,p,x,T2", "CC,8,p,y,T1", "CO,4,p,y,"]
    dataset = built(write(tmp_path / "t.csv", "smiles,value,unit,assay_id,target_id\n" + "\n".join(rows)))
    assert dataset.tasks["group"].to_list() == ["x T1", "x T2", "y"]
    assert pl.read_parquet(tmp_path / "out" / "assays.parquet").rows() == [("x T1", "T1"), ("x T2", "T2"), ("y", "T1")]
    assert rejected(tmp_path / "out") == []


def test_a_part_of_an_assay_never_takes_the_name_of_another(tmp_path: Path) -> None:
    rows = ["CC,8,p,x,T1", "CO,4,p,x,T2", "CC,8,p,x T1,T3"]
    with pytest.raises(DataError, match="two assays would be named x T1"):
        built(write(tmp_path / "t.csv", "smiles,value,unit,assay_id,target_id\n" + "\n".join(rows)))


@pytest.mark.parametrize("absent", ["", "NaN", "nan", "None", "null", "NA", "N/A", "#N/A", "<NA>"])
def test_an_absent_target_or_id_is_no_name_that_rows_could_share(tmp_path: Path, absent: str) -> None:
    rows = [f"{assay},{compound},{value},p" for assay in "uv" for compound, value in (("A", 8), ("B", 4))]
    rows += [f"{absent},A,8,p", f"u,{absent},8,p"]
    assays = [f"u,{absent}", f"v,{absent}"]
    tables = write_tables(tmp_path / "t", ["A,CC", "B,CO", f"{absent},CN"], rows, assays, columns="assay_id,compound_id,value,unit")
    assert built(tables, "target_id").tasks["group"].to_list() == ["assay u", "assay v"]
    assert [row for row in rejected(tmp_path / "out") if "empty" in row[3]] == [
        ("activities.csv", 6, "/A", "empty assay_id"),
        ("activities.csv", 7, "u/", "empty compound_id"),
        ("compounds.csv", 4, "", "empty compound_id"),
    ]


def test_an_assay_without_a_target_never_joins_the_target_that_bears_its_number(tmp_path: Path) -> None:
    rows = [f"{assay},{compound},{value},p" for assay in (101, 17) for compound, value in (("A", 8), ("B", 4))]
    columns = "assay_id,compound_id,value,unit"
    tables = write_tables(tmp_path / "t", ["A,CC", "B,CO"], rows, ["101,17", "17,"], columns=columns)
    assert built(tables, "target_id").tasks["group"].to_list() == ["17", "assay 17"]
    write_tables(tmp_path / "t", ["A,CC", "B,CO"], rows, ["101,assay 17", "17,"], columns=columns)
    with pytest.raises(DataError, match="assay 17 is the name of a target_id too"):
        built(tables, "target_id")


def test_ids_that_pandas_made_floats_of_are_whole_numbers_again(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    pl.DataFrame({"compound_id": [1, 2], "smiles": ["CC", "CO"]}).write_parquet(tables / "compounds.parquet")
    activities = {"assay_id": [7.0, 7.0, None], "compound_id": [1.0, 2.0, float("nan")], "value": [8.0, 4.5, 6.0], "unit": ["p"] * 3}
    pl.DataFrame(activities).write_parquet(tables / "activities.parquet")
    pl.DataFrame({"assay_id": [7], "target_id": [17.0]}).write_parquet(tables / "assays.parquet")
    assert labels(built(tables, "target_id")) == {("CC", "17", 1), ("CO", "17", 0)}
    assert rejected(tmp_path / "out") == [("activities.parquet", 3, "/", "empty assay_id")]


@pytest.mark.parametrize("spellings", [("8", "8", "4"), ("8", "8.0", "4"), ("8.00", "8e0", "4.0"), ("+8", "08", "4.")])
def test_replicates_are_told_apart_by_value_and_not_by_spelling(tmp_path: Path, spellings: tuple[str, ...]) -> None:
    rows = [*[f"x,A,{value},=,p" for value in spellings], "x,B,4,=,p", "x,C,9,=,p"]
    built(write_tables(tmp_path / "tables", ["A,CC", "B,CO", "C,CN"], rows))
    assert rejected(tmp_path / "out") == [("activities.csv", 3, "x/A", "repeats an earlier row")]


def test_the_same_value_in_another_unit_or_with_another_sign_of_the_relation_repeats_it(tmp_path: Path) -> None:
    rows = ["x,A,10,<,nM", "x,A,0.01,<=,uM", "x,A,8,>,p", "x,A,8,=,p", "x,B,4,=,p"]
    prepare(write_tables(tmp_path / "tables", ["A,CC", "B,CO"], rows), tmp_path / "out", CHEMISTRY)
    assert [(line, text) for _, line, _, _, text in shown_rejects(tmp_path / "out")] == [(3, "0.01"), (4, "8")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
@pytest.mark.parametrize("name", ["activities.csv", "activities.tsv.gz", "measured.csv", "compounds.csv", "assays.csv.gz"])
def test_an_empty_file_in_a_folder_of_tables_is_named_and_said_to_be_empty(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=f"{name} is empty"):
        prepare(tmp_path, tmp_path / "out", CHEMISTRY)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "smiles,pKi\nCC,8\n".encode("utf-16"), "not UTF-8 text"),
        ("t.csv", "smiles,pKi\nCC,8\n".encode("utf-16-le"), "not UTF-8 text"),
        ("t.xlsx", b"PK", "not a table that can be read"),
        ("t.csv", b"", "t.csv is empty: it has no column smiles, value"),
        ("t.csv.gz", gzip.compress(b"", mtime=0), "t.csv.gz is empty: it has no column smiles, value"),
        ("t.parquet", b"", "t.parquet is empty"),
        ("t.csv", b"smiles,pKi\n", "no usable rows"),
        ("t.csv", b"compound_id,pKi\nA,8\n", "no column smiles"),
        ("t.csv", b"smiles;pKi\nCC;8,1\nCO;4,2\n", "none of 2 rows is usable"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        prepare(tmp_path / name, tmp_path / "out", CHEMISTRY)
    assert name in f"{error.value} {error.value.hint}"


def test_a_decimal_comma_is_never_a_separator_of_thousands_nor_the_other_way_round(tmp_path: Path) -> None:
    built(write(tmp_path / "t.csv", "smiles;IC50 (nM)\nCC;1\nCO;90000\nCN;1,5\nCF;1.000,5\nCCl;12,000\n"))
    assert [(line, reason) for _, line, _, reason in rejected(tmp_path / "out")] == [(line, "value has a comma") for line in (4, 5, 6)]


@pytest.mark.parametrize(
    ("value", "unit", "fine"),
    [
        ("16", "p", True),
        ("16.1", "p", False),
        ("-2", "p", True),
        ("-2.1", "p", False),
        ("6500", "p", False),
        ("100", "M", True),
        ("1e6", "M", False),
        ("1e9", "nM", True),
        ("1e-5", "pM", False),
        ("1e15", "nM", False),
    ],
)
def test_values_that_cannot_be_are_rejected_by_their_range(tmp_path: Path, value: str, unit: str, fine: bool) -> None:
    rows = ["x,A,6,=,p", f"x,B,{value},=,{unit}"]
    prepare(write_tables(tmp_path / "tables", ["A,CC", "B,CO"], rows), tmp_path / "out", CHEMISTRY)
    expected = [] if fine else [("activities.csv", 3, "x/B", "p-value outside -2 to 16")]
    assert rejected(tmp_path / "out") == expected


ROWS = st.lists(
    st.tuples(
        st.sampled_from("xy"), st.sampled_from("ABC"), st.sampled_from(["8", "8.0", "4", "1e9", "-", ""]), st.sampled_from(["p", "nM", ""])
    ),
    min_size=1,
    max_size=15,
)


@examples(30)  # a prepared folder is written every time
@given(rows=ROWS, damage=st.lists(st.tuples(st.floats(0, 1), st.sampled_from(['"', ",", "\n", "\0", "", "\u00b5"])), max_size=6))
def test_of_any_damaged_table_rows_read_are_those_accepted_and_those_rejected(
    rows: list[tuple[str, ...]], damage: list[tuple[float, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    tables = write_tables(folder / "t", ["A,CC", "B,CO", "C,C1CC", "D,CN"], [])
    body = "\n".join(["x,A,8,p", "x,B,4,p", *[",".join(row) for row in rows]]) + "\n"
    for place, text in damage:
        at = 16 + int(place * (len(body) - 16))
        body = body[:at] + text + body[at + (not text) :]
    (tables / "activities.csv").write_text("assay_id,compound_id,value,unit\n" + body)
    summary = prepare(tables, folder / "out", CHEMISTRY)["tables"]
    listed = [file for file, *_ in rejected(folder / "out")]
    for table in summary.values():
        assert table["read"] == table["accepted"] + listed.count(table["file"])
    physical = [line for line in io.StringIO(body, newline="") if line.strip()]
    assert summary["activities"]["read"] == len(physical)  # every column is read, so no row has more than one line
    assert summary["activities"]["accepted"] == pl.read_parquet(folder / "out" / "activities.parquet").height


def test_values_without_a_unit_that_are_no_labels_are_read_where_they_stand_once_more_with_it(tmp_path: Path) -> None:
    rows = ["x,A,6.3,500", "x,B,5.3,5000"]
    measured = write_tables(tmp_path / "measured", ["A,CC", "B,CO"], rows, columns="assay_id,compound_id,value,value_nM")
    activities = read_inputs(measured).activities
    assert activities.chosen.unit == "nM"
    assert activities.rows["value"].to_list() == ["500", "5000"]
    assert activities.unread() == ["value"]
    labels = write_tables(tmp_path / "labels", ["A,CC", "B,CO"], ["x,A,1,500", "x,B,0,5000"], columns="assay_id,compound_id,value,value_nM")
    assert read_inputs(labels).activities.rows["value"].to_list() == ["1", "0"]
