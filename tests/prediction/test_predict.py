"""Predictions for new compounds: every row of the input comes back, with probabilities or with a reason."""

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.task_names import OWN_COLUMNS, column_names
from fedapp.errors import DataError, OutputError, RunError
from fedapp.evaluation import arms
from fedapp.model.members import Member
from fedapp.model.network import Heads, Trunk, trunk_arrays
from fedapp.model.saved_model import read_model, save_model
from fedapp.partner.client import Partner
from fedapp.prediction.predict import Predicted, predict_file
from tests.helpers.small_run import small_config, write_dataset

AWKWARD = ("smiles", "reason", "compound_id", 'pKi, "high"', "two\nlines", "µ-opioid 受体", "smiles (task 0)", "plain", "", "A >= 5.5")
TASKS = [f"SECRET-alpha-target{task} >= 5.5" for task in range(4)]


def with_tasks(model: Path, folder: Path, tasks: Sequence[tuple[str, float | None]]) -> Path:
    """The trunk and chemistry of a model under tasks of other names."""
    saved = read_model(model)
    named = [{"group": group, "threshold": threshold, "auc_pr": None, "auc_roc": None} for group, threshold in tasks]
    folder.mkdir()
    members = [replace(member, heads=Heads(8, len(tasks), 3)) for member in saved.members]
    save_model(folder, members, saved.choice, saved.header | {"tasks": named})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, config = tmp_path_factory.mktemp("partner"), small_config()
    partner = Partner(folder, write_dataset(folder / "dataset", "alpha"), config)
    trunk = trunk_arrays(Trunk(256, [8], 1))
    partner.evaluate(partner.fit(trunk, {"round": 1})[0], {"round": 1})
    return folder


def test_every_row_comes_back_in_order_with_probabilities_or_a_reason(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("compound_id,smiles\n007,CCO\nbad,nonsense\n008,c1ccccc1\n")
    assert predict_file(model, tmp_path / "new.csv", tmp_path / "out.csv") == Predicted(rows=2, left_out=1, note="", warnings=())
    table = pl.read_csv(tmp_path / "out.csv", infer_schema_length=None, schema_overrides={"compound_id": pl.String})
    assert table.columns == ["compound_id", "smiles", "reason", *TASKS]
    assert table["compound_id"].to_list() == ["007", "bad", "008"]
    assert table["reason"].to_list() == ["", "SMILES cannot be parsed", ""]
    for task in TASKS:
        ethanol, bad, benzene = table[task].to_list()
        assert bad is None
        assert 0 < ethanol < 1
        assert 0 < benzene < 1


def test_csv_smi_and_parquet_give_the_same(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("compound_id,smiles\na,CCO\nb,c1ccccc1\n")
    (tmp_path / "new.smi").write_text("CCO a\nc1ccccc1\tb\n")
    pl.read_csv(tmp_path / "new.csv").write_parquet(tmp_path / "new.parquet")
    for name in ("csv", "smi", "parquet"):
        predict_file(model, tmp_path / f"new.{name}", tmp_path / f"{name}.parquet")
    first, *others = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("csv", "smi", "parquet"))
    assert all(first.equals(other) for other in others)


def test_the_standardised_form_decides_not_the_way_it_is_written(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.smi").write_text("[Na+].CC(=O)[O-] salt\nOC(C)=O acid\n")
    predict_file(model, tmp_path / "new.smi", tmp_path / "out.parquet")
    salt, acid = pl.read_parquet(tmp_path / "out.parquet").select(TASKS).rows()
    assert salt == acid


def test_an_unknown_kind_of_output_is_refused_before_any_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.csv or \.parquet"):
        predict_file(model, tmp_path / "absent.csv", tmp_path / "out.xlsx")


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no model in"):
        predict_file(tmp_path, tmp_path / "new.csv", tmp_path / "out.csv")


def test_an_input_without_any_usable_structure_is_an_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("smiles\nnonsense\n")
    with pytest.raises(DataError, match="none of 1 structure is usable"):
        predict_file(model, tmp_path / "new.csv", tmp_path / "out.csv")


def test_predictions_need_the_model_file_alone_wherever_it_lies(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.smi").write_text("CCO a\nc1ccccc1 b\n")
    moved = tmp_path / "else where" / "model"
    moved.mkdir(parents=True)
    shutil.copy(model / "model.safetensors", moved)
    predict_file(model, tmp_path / "new.smi", tmp_path / "here.parquet")
    predict_file(moved, tmp_path / "new.smi", tmp_path / "there.parquet")
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()


def test_tasks_called_like_columns_or_like_each_other_have_columns_of_their_own(model: Path, tmp_path: Path) -> None:
    tasks: list[tuple[str, float | None]] = [*((name, None) for name in AWKWARD), ("A", 5.5), ("B", 5.00001), ("B", 5.00002)]
    named = with_tasks(model, tmp_path / "model", tasks)
    (tmp_path / "new.smi").write_text("CCO a\n")
    for suffix in ("csv", "parquet"):
        predict_file(named, tmp_path / "new.smi", tmp_path / f"out.{suffix}")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        header, cells = csv.reader(file)
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert table.columns == header
    assert len(set(header)) == len(OWN_COLUMNS) + len(tasks)
    assert header[:3] == ["compound_id", "smiles", "reason"]
    assert header[4] == "reason (task 1)"
    assert header[6:9] == ['pKi, "high"', "two\nlines", "µ-opioid 受体"]
    assert header[-4:] == ["A >= 5.5 (task 9)", "A >= 5.5 (task 10)", "B >= 5.0 (task 11)", "B >= 5.0 (task 12)"]
    assert cells[:3] == ["a", "CCO", ""]
    assert [float(cell) for cell in cells[3:]] == pytest.approx(list(table.row(0)[3:]))


@given(st.lists(st.tuples(st.sampled_from(["smiles", "a", "smiles (task 0)", "a (task 1)", "a (task 0)"]), st.sampled_from([None, 5.0]))))
def test_every_task_has_a_column_of_its_own_and_the_others_keep_their_names(tasks: list[tuple[str, float | None]]) -> None:
    columns = column_names(tasks)
    assert len({*OWN_COLUMNS, *columns}) == len(OWN_COLUMNS) + len(tasks)
    plain = [group if threshold is None else f"{group} >= 5.0" for group, threshold in tasks]
    assert all(column.startswith(name) for name, column in zip(plain, columns, strict=True))
    if not any("(task" in name for name in plain):
        assert [column for name, column in zip(plain, columns, strict=True) if [*OWN_COLUMNS, *plain].count(name) == 1] == [
            name for name in plain if [*OWN_COLUMNS, *plain].count(name) == 1
        ]


def test_a_model_that_gives_no_numbers_is_an_error_that_says_for_how_many_tasks(model: Path, tmp_path: Path) -> None:
    saved = read_model(model)
    saved.used()[0].heads.bias.data[1] = float("nan")
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", saved.members, saved.choice, saved.header)
    (tmp_path / "new.smi").write_text("CCO\n")
    with pytest.raises(RunError, match="no numbers for 1 of 4 tasks"):
        predict_file(tmp_path / "model", tmp_path / "new.smi", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("package", ["rdkit", "polyphony"])
def test_another_version_than_in_training_is_said(model: Path, tmp_path: Path, package: str) -> None:
    saved = read_model(model)
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", saved.members, saved.choice, saved.header | {"versions": {package: "1900.1"}})
    (tmp_path / "new.smi").write_text("CCO\n")
    (warning,) = predict_file(tmp_path / "model", tmp_path / "new.smi", tmp_path / "out.csv").warnings
    assert f"trained with {package} 1900.1" in warning
    save_model(tmp_path / "model", saved.members, saved.choice, {key: held for key, held in saved.header.items() if key != "versions"})
    (warning,) = predict_file(tmp_path / "model", tmp_path / "new.smi", tmp_path / "out.csv").warnings
    assert "does not say with which versions" in warning


def test_predictions_take_the_place_of_predictions_and_of_nothing_else(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the input, under whatever name, nor of a table of a person's; and that is known before anything is computed."""
    new = tmp_path / "new.csv"
    new.write_text("compound_id,smiles\na,CCO\n")
    for name in ("out.csv", "out.parquet"):
        for _ in range(2):
            assert predict_file(model, new, tmp_path / name).rows == 1
    (tmp_path / "empty.csv").touch()
    assert predict_file(model, new, tmp_path / "empty.csv").rows == 1
    monkeypatch.setattr("fedapp.prediction.predict.read_smiles", lambda _: pytest.fail("it went on"))
    (tmp_path / "link.csv").symlink_to(new)
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / "picture.parquet").write_bytes(b"\x89PNG")
    annotated = [tmp_path / f"{name}.csv" for name in ("left-out", "measured", "commented", "corrected")]
    header = "compound_id,smiles,reason"
    annotated[0].write_text(f"{header}\na,CCO,not sold any more\n")
    annotated[1].write_text(f"{header},pIC50\na,CCO,,6.5\n")
    annotated[2].write_text(f"{header},A,my notes\na,CCO,,0.5,buy this one\n")
    annotated[3].write_text(f"{header},A\na,CCO,I do not believe it,0.5\n")
    (tmp_path / "folder.csv").mkdir()
    tasks = model / "dataset" / "tasks.parquet"
    before = {path: path.read_bytes() for path in (new, tasks, tmp_path / "notes.csv", tmp_path / "picture.parquet", *annotated)}
    for out in (*before, tmp_path / "link.csv", tmp_path / "folder.csv"):
        with pytest.raises(OutputError):
            predict_file(model, new, out)
    assert {path: path.read_bytes() for path in before} == before


def test_values_have_their_unit_in_the_columns_name_auxiliary_tasks_have_no_column_and_such_a_file_is_ours(
    model: Path, tmp_path: Path
) -> None:
    saved = read_model(model)
    value = {"kind": "regression", "unit": "p", "centre": 6.0, "scale": 2.0}
    facts: list[dict[str, object]] = [
        {"threshold": 6.5},
        value,
        {"threshold": 50.0, "unit": "%", "auxiliary": True},
        value | {"unit": "%", "centre": 40.0},
    ]
    tasks = [{"group": "A", "threshold": None, "auc_pr": None, "auc_roc": None} | own for own in facts]
    (tmp_path / "model").mkdir()
    member = Member(arms.FEDERATED, 1, saved.used()[0].trunk, Heads(8, len(tasks), 3))
    choice = dict.fromkeys(arms.KINDS, arms.FEDERATED)
    save_model(tmp_path / "model", [member], choice, saved.header | {"tasks": tasks})
    (tmp_path / "new.smi").write_text("CCO a\nnonsense b\n")
    for _ in range(2):  # the second time over its own output
        predict_file(tmp_path / "model", tmp_path / "new.smi", tmp_path / "out.csv")
    table = pl.read_csv(tmp_path / "out.csv")
    assert table.columns == [*OWN_COLUMNS, "A >= 6.5", "A (p)", "A (%)"]
    probability, p_value, percent = table.row(0)[3:]
    assert 0 < probability < 1
    assert 3 < p_value < 9
    assert 35 < percent < 45
    assert table.row(1)[3:] == (None, None, None)
    noted = table.with_columns(pl.lit(7.0).alias("my score"))
    noted.write_csv(tmp_path / "out.csv")
    with pytest.raises(OutputError):
        predict_file(tmp_path / "model", tmp_path / "new.smi", tmp_path / "out.csv")
