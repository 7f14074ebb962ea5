"""Every kind of bad row, and that it is reported with its file, line, id and reason."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.curate import Rejects, check_activities
from fedapp.data.notation import MOLAR
from fedapp.data.prepare import prepare
from fedapp.data.tables import LINE, Table
from tests.data.tables import CHEMISTRY, rejected, write_tables


def prepared(tmp_path: Path, **tables: object) -> Path:
    prepare(write_tables(tmp_path / "tables", **tables), tmp_path / "out", CHEMISTRY)  # type: ignore[arg-type]
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",A,5,=,p", "empty assay_id"),
        ("x,,5,=,p", "empty compound_id"),
        ("x,A,6,=,p", "repeats an earlier row"),
        ("x,A,50,=,%", "unknown unit"),
        ("x,A,50,=,ug/ml", "unknown unit"),
        ("x,A,50,=,NM", "unknown unit"),
        ("x,A,5,,p", "unknown relation"),
        ("x,A,5,==,p", "unknown relation"),
        ("x,A,5,?,nM", "unknown relation"),
        ("x,A,,=,p", "value is not a number"),
        ("x,A,NaN,=,p", "value is not a number"),
        ("x,A,active,=,label", "value is not a number"),
        ("x,A,<5,=,p", "value begins with a relation"),
        ("x,A,inf,=,p", "value is infinite"),
        ("x,A,-inf,=,p", "value is infinite"),
        ("x,A,1e999,=,nM", "value is infinite"),
        ("x,A,0,=,nM", "molar value is not positive"),
        ("x,A,-3,=,uM", "molar value is not positive"),
        ("x,A,2,=,label", "value without unit is not 0 or 1"),
        ("x,A,0.5,=,label", "value without unit is not 0 or 1"),
        ("x,A,1,>,label", "a 0/1 label has no relation but ="),
        ("x,Z,5,=,p", "compound_id is not in the compounds table"),
        ("x,B,5,=,p", "compound was rejected"),
    ],
)
def test_a_bad_activity_is_rejected_with_its_line_and_the_rest_goes_on(tmp_path: Path, row: str, reason: str) -> None:
    out = prepared(tmp_path, compounds=["A,CC", "B,C1CC"], activities=["x,A,6,=,p", row, "x,B,5,=,p"])
    assay, compound = row.split(",")[:2]
    assert ("activities.csv", 3, f"{assay}/{compound}", reason) in rejected(out)
    assert pl.read_parquet(out / "activities.parquet").height == 1


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        (["B,CO", "B,CO"], {3: "repeats an earlier row"}),
        (["B,CO", "B,CN"], dict.fromkeys((2, 3), "compound_id stands for different values of smiles")),
        (
            ["B,CO", "B,CN", "B,CO"],
            dict.fromkeys((2, 3), "compound_id stands for different values of smiles") | {4: "repeats an earlier row"},
        ),
        (["B,CO", "B,OC"], {}),
        (["B,CO", "B,OC", "B,CN"], dict.fromkeys((2, 3, 4), "compound_id stands for different values of smiles")),
        (["B,CO", "B,C1CC"], {3: "SMILES cannot be parsed"}),
        ([",CO", "B,CO"], {2: "empty compound_id"}),
        (["B,", "B,CO"], {2: "empty smiles"}),
        (["B,C1CC", "C,CO"], {2: "SMILES cannot be parsed"}),
        (["B,[Na+].[Cl-]"], {2: "structure has no carbon"}),
        (["D,CO"], {2: "compound has no activities"}),
        (["B,CO,x"], {2: "row has more or fewer cells than the header"}),
    ],
)
def test_a_bad_compound_is_rejected_with_its_line(tmp_path: Path, rows: list[str], reasons: dict[int, str]) -> None:
    out = prepared(tmp_path, compounds=[*rows, "A,CC"], activities=[f"x,{compound},6,=,p" for compound in "ABC"])
    assert {line: reason for file, line, _, reason in rejected(out) if file == "compounds.csv"} == reasons


def test_one_good_row_of_a_compound_is_kept_beside_a_repeat_or_an_empty_one(tmp_path: Path) -> None:
    out = prepared(tmp_path, compounds=["A,CC", "A,CC", "A,", "B,CO", "B,CN"], activities=["x,A,6,=,p", "x,B,6,=,p"])
    assert pl.read_parquet(out / "compounds.parquet")["compound_id"].to_list() == ["A"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["y,1"], [("activities.csv", 2, "x/A", "assay_id is not in the assays table")]),
        (
            ["x,1", "x,2", "y,1"],
            [
                ("activities.csv", 2, "x/A", "assay was rejected"),
                ("assays.csv", 2, "x", "assay_id stands for different values of the other columns"),
                ("assays.csv", 3, "x", "assay_id stands for different values of the other columns"),
            ],
        ),
        (["x,1", "y,1", "y,1"], [("assays.csv", 4, "y", "repeats an earlier row")]),
        (["x,1", "y,1", "z,1"], [("assays.csv", 4, "z", "assay has no activities")]),
        (["x,1", "y,1", ",1"], [("assays.csv", 4, "", "empty assay_id")]),
    ],
)
def test_assays_are_checked_where_there_is_a_table_of_them(tmp_path: Path, rows: list[str], expected: list[object]) -> None:
    out = prepared(tmp_path, compounds=["A,CC"], activities=["x,A,6,=,p", "y,A,5,=,p"], assays=rows)
    assert rejected(out) == expected


def test_two_different_values_of_one_compound_are_replicates_and_both_stay(tmp_path: Path) -> None:
    out = prepared(tmp_path, compounds=["A,CC"], activities=["x,A,6,=,p", "x,A,6.1,=,p", "x,A,6,<,p"])
    assert pl.read_parquet(out / "activities.parquet").height == 3
    assert rejected(out) == []


def curated(*rows: tuple[str, str, str]) -> list[tuple[str, float, str]]:
    """(relation, value, kind) of rows of (value, relation, unit)."""
    values, relations, units = zip(*rows, strict=True)
    cells = {LINE: list(range(len(rows))), "assay_id": "x", "compound_id": "A", "value": values, "relation": relations, "unit": units}
    table = Table(Path("activities.csv"), pl.DataFrame(cells), [], [])
    return check_activities(table, Rejects()).select("relation", "value", "kind").rows()  # type: ignore[return-value]


def test_molar_values_become_p_values_and_their_relations_flip() -> None:
    assert curated(("1000", "=", "nM"), ("10", "<", "uM"), ("10", ">", "mM")) == [("=", 6.0, "p"), (">", 5.0, "p"), ("<", 2.0, "p")]


def test_p_values_and_labels_stay_as_they_are() -> None:
    assert curated(("6.5", "<", "p"), ("1", "=", "label"), ("0.0", "=", "label")) == [
        ("<", 6.5, "p"),
        ("=", 1.0, "label"),
        ("=", 0.0, "label"),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    {"=": "=", "~": "=", "<": "<", "<=": "<", "<<": "<", ">": ">", ">=": ">", ">>": ">"}.items(),
)
def test_every_relation_is_understood(written: str, meant: str) -> None:
    assert curated(("6", written, "p"))[0][0] == meant


def test_both_ways_to_write_micro_mean_the_same() -> None:
    assert curated(("3", "=", "\u00b5M")) == curated(("3", "=", "\u03bcM")) == curated(("3", "=", "uM"))


@given(value=st.floats(1e-20, 1e20), unit=st.sampled_from(sorted(MOLAR)))
def test_a_p_value_is_nine_minus_the_logarithm_of_nanomoles_or_cannot_be(value: float, unit: str) -> None:
    nanomolar = {"pM": 1e-3, "nM": 1, "mM": 1e6, "M": 1e9}.get(unit, 1e3) * value
    expected = 9 - np.log10(nanomolar)
    found = [p_value for _, p_value, _ in curated((repr(value), "=", unit))]
    if -1.999999 < expected < 15.999999:
        assert found == [pytest.approx(expected, abs=1e-5)]
    elif not -2.000001 < expected < 16.000001:
        assert found == []


def test_without_the_columns_relation_and_unit_values_are_labels() -> None:
    table = Table(Path("a.csv"), pl.DataFrame({LINE: [2], "assay_id": ["x"], "compound_id": ["A"], "value": ["1"]}), [], [])
    assert check_activities(table, Rejects()).select("relation", "value", "kind").rows() == [("=", 1.0, "label")]


@pytest.mark.parametrize(("values", "labels"), [(["1", "0", "1", "7"], 3), (["1", "0", "35", "7"], 2), (["1", "0", "35", "7", "2.5"], 0)])
def test_where_most_values_of_an_assay_are_no_labels_those_that_are_one_or_zero_are_none_either(values: list[str], labels: int) -> None:
    """A column of IC50 whose unit was left out holds a 1 now and then."""
    cells = {"assay_id": ["x"] * len(values) + ["y"], "compound_id": "A", "value": [*values, "1"], LINE: range(len(values) + 1)}
    table, rejects = Table(Path("activities.csv"), pl.DataFrame(cells), [], []), Rejects()
    assert check_activities(table, rejects)["assay_id"].to_list() == ["x"] * labels + ["y"]
    assert sum(rejects.counts("activities.csv").values()) == len(values) - labels
