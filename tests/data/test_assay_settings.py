"""What an assays table says of an assay's labels: weight, thresholds of its own, and that it only helps the others."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.integrity import read_summary
from fedapp.data.losses import taken_columns
from fedapp.data.prepare import prepare
from fedapp.errors import DataError
from tests.data.tables import CHEMISTRY, TASKS, shown_rejects, write_tables

COMPOUNDS = [f"{number},{'C' * (1 + number)}O" for number in range(8)]
POTENCY = [f"ic50,{number},{4 + number / 2},=,p" for number in range(8)]
SCREEN = [f"hts,{number},{10 * number},=,%" for number in range(8)]
COLUMNS = "assay_id,target_id,weight,auxiliary,thresholds"


def prepared(folder: Path, assays: list[str], activities: list[str] | None = None, columns: str = COLUMNS) -> Path:
    tables = write_tables(folder / "tables", COMPOUNDS, activities or [*POTENCY, *SCREEN], assays, assay_columns=columns)
    prepare(tables, folder / "prepared", CHEMISTRY, workers=1)
    return folder / "prepared"


def dataset(folder: Path, assays: list[str], group_by: str = "assay_id", columns: str = COLUMNS) -> Dataset:
    return build_dataset(prepared(folder, assays, columns=columns), folder / "dataset", "p", replace(TASKS, group_by=group_by))


def test_a_screen_in_percent_is_an_auxiliary_task_with_its_own_threshold_and_weight(tmp_path: Path) -> None:
    made = dataset(tmp_path, ["ic50,T1,,,", "hts,T1,0.25,true,50"])
    assert made.tasks.select("group", "threshold", "unit", "weight", "auxiliary").rows() == [
        ("hts", 50.0, "%", 0.25, True),
        *(("ic50", threshold, "p", pytest.approx(1 / 3), False) for threshold in (5.5, 6.5, 7.5)),
    ]
    assert made.judged.tolist() == [False, True, True, True]


def test_values_in_percent_of_a_target_are_a_group_beside_its_p_values(tmp_path: Path) -> None:
    made = dataset(tmp_path, ["ic50,T1,,,", "hts,T1,0.25,yes,50"], group_by="target_id")
    assert made.tasks["group"].unique(maintain_order=True).to_list() == ["T1", "T1 %"]


@pytest.mark.parametrize("cell", ["5;7", " 5 ; 7 ", "7;5;7", "5 7", "5.0;7.0;"])
def test_thresholds_of_an_assay_are_read_however_they_are_separated(tmp_path: Path, cell: str) -> None:
    made = dataset(tmp_path, [f"ic50,T1,{cell}"], columns="assay_id,target_id,Threshold")
    assert made.tasks["threshold"].to_list() == [5.0, 7.0]


@pytest.mark.parametrize(
    ("cells", "reason", "text"),
    [
        ("-1,,", "weight is not a number", "-1"),
        ("0,,", "weight is not a number", "0"),
        ("heavy,,", "weight is not a number", "heavy"),
        ("inf,,", "weight is not a number", "inf"),
        *((f"{cell},,", "weight is not a number", cell) for cell in ("nan", "NaN", "NA", "none")),
        *((f",{cell},", "auxiliary is neither true nor false", cell) for cell in ("nan", "NA", "none")),
        *((f",,{cell}", "thresholds are not numbers", cell) for cell in ("nan", "NaN", "NA", "5.5;nan")),
        (",perhaps,", "auxiliary is neither true nor false", "perhaps"),
        (",,5.5;high", "thresholds are not numbers", "5.5;high"),
        (",,inf", "thresholds are not numbers", "inf"),
    ],
)
def test_a_cell_that_cannot_be_read_is_told_with_file_line_and_text_and_the_other_assays_go_on(
    tmp_path: Path, cells: str, reason: str, text: str
) -> None:
    rows = [*POTENCY, *(f"other,{number},{4 + number / 2},=,p" for number in range(8))]
    folder = prepared(tmp_path, ["other,T2,,,", f"ic50,T1,{cells}"], rows)
    listed = [row for row in shown_rejects(folder) if row[0] == "assays.csv"]
    assert [(file, line, name, shown) for file, line, name, _, shown in listed] == [("assays.csv", 3, "ic50", text)]
    assert listed[0][3].startswith(reason)
    assert build_dataset(folder, tmp_path / "dataset", "p", TASKS).tasks["group"].unique().to_list() == ["other"]


@pytest.mark.parametrize(
    ("one", "other", "name", "words"),
    [
        ("2,,", "3,,", "weight", "2.0 and 3.0"),
        (",true,", ",,", "auxiliary", "True and False"),
        (",,5", ",,", "thresholds", r"\[5.0\] and of the configuration"),
    ],
)
def test_assays_of_one_group_that_say_different_things_are_named(tmp_path: Path, one: str, other: str, name: str, words: str) -> None:
    rows = [*POTENCY, *(f"ki,{number},{4 + number / 2},=,p" for number in range(8))]
    folder = prepared(tmp_path, [f"ic50,T1,{one}", f"ki,T1,{other}"], rows)
    with pytest.raises(DataError, match=f"assays ic50 and ki are both of T1, and their {name} differ: {words}") as caught:
        build_dataset(folder, tmp_path / "dataset", "p", replace(TASKS, group_by="target_id"))
    assert "tasks.group_by" in caught.value.hint
    assert build_dataset(folder, tmp_path / "dataset", "p", TASKS).tasks["group"].n_unique() == 2


@pytest.mark.parametrize("cell", ["1000;10000", "6;1000", "-1", "16.5"])
def test_a_threshold_that_can_be_no_p_value_costs_its_assay_and_says_what_to_write(tmp_path: Path, cell: str) -> None:
    rows = [*POTENCY, *(f"molar,{number},{10**number},=,nM" for number in range(8))]
    folder = prepared(tmp_path, ["ic50,T1,,,", f"molar,T2,,,{cell}"], rows)
    (row,) = [row for row in shown_rejects(folder) if row[0] == "assays.csv"]
    assert row[:3] == ("assays.csv", 3, "molar") and row[4] == cell
    assert row[3].startswith("thresholds are not within 0 to 16") and row[3].endswith("for 1000 nM write 6")
    assert build_dataset(folder, tmp_path / "dataset", "p", TASKS).tasks["group"].unique().to_list() == ["ic50"]


def test_so_does_one_that_can_be_no_value_in_percent_and_the_limits_of_each_unit_are_its_own(tmp_path: Path) -> None:
    further = [f"more,{number},{10 * number},=,%" for number in range(8)]
    folder = prepared(tmp_path, ["hts,T1,,true,50000", "more,T1,,true,30;-80", "ic50,T2,,,0;16"], [*POTENCY, *SCREEN, *further])
    (row,) = [row for row in shown_rejects(folder) if row[0] == "assays.csv"]
    assert row[1:3] == (2, "hts") and row[4] == "50000"
    assert row[3].startswith("thresholds are not within -1000 to 1000") and "in %" in row[3]


def test_thresholds_of_an_assay_in_nM_are_p_values(tmp_path: Path) -> None:
    rows = [f"molar,{number},{10**number},=,nM" for number in range(8)]
    made = build_dataset(prepared(tmp_path, ["molar,T2,,,6"], rows), tmp_path / "dataset", "p", TASKS)
    assert made.tasks.select("threshold", "unit", "positives", "negatives").rows() == [(6.0, "p", 4, 4)]  # 1 to 1000 nM are active


def test_a_misspelt_setting_is_refused_and_not_counted_as_read(tmp_path: Path) -> None:
    for column in ("tresholds", "auxilliary", "wieght"):
        with pytest.raises(DataError, match=rf"assays\.csv has no column .*, but one called {column}"):
            prepared(tmp_path / column, ["ic50,T1,1"], POTENCY, f"assay_id,target_id,{column}")


def test_of_an_assays_table_only_what_is_read_is_told_to_be(tmp_path: Path) -> None:
    folder = prepared(tmp_path, ["ic50,T1,2,HeLa"], POTENCY, "assay_id,target_id,Weight,cell line")
    told = taken_columns(read_summary(folder)["tables"]["assays"])
    assert told == "read assay_id, target_id, Weight as weight; for tasks.group_by alone: cell line"


def test_values_in_percent_of_an_assay_of_which_nothing_is_said_have_an_unknown_unit(tmp_path: Path) -> None:
    folder = prepared(tmp_path, ["ic50,T1,,,", "hts,T1,2,no,"])
    reasons = {(row[2], row[3]) for row in shown_rejects(folder) if row[0] == "activities.csv"}
    assert reasons == {(f"hts/{number}", "unknown unit") for number in range(8)}


def test_a_value_in_percent_beyond_all_noise_is_rejected(tmp_path: Path) -> None:
    folder = prepared(tmp_path, ["ic50,T1,,,", "hts,T1,,true,50"], [*POTENCY, *SCREEN, "hts,0,1001,=,%", "hts,1,-1000,=,%"])
    assert [row[3:] for row in shown_rejects(folder)] == [("value in % outside -1000 to 1000", "1001")]


def test_an_assays_table_with_a_column_of_truth_values_and_numbers_is_read_from_parquet_too(tmp_path: Path) -> None:
    tables = write_tables(tmp_path / "tables", COMPOUNDS, [*POTENCY, *SCREEN])
    said = {"assay_id": ["ic50", "hts"], "weight": [None, 0.5], "auxiliary": [False, True], "thresholds": [None, 50]}
    pl.DataFrame(said).write_parquet(tables / "assays.parquet")
    prepare(tables, tmp_path / "prepared", CHEMISTRY, workers=1)
    made = build_dataset(tmp_path / "prepared", tmp_path / "dataset", "p", TASKS)
    assert made.tasks.filter("auxiliary").select("group", "threshold", "weight").rows() == [("hts", 50.0, 0.5)]
