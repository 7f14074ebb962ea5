"""Predictions for new compounds: every row of the input comes back, with probabilities or with a reason."""

from pathlib import Path

import polars as pl
import pytest

from fedapp.errors import DataError, OutputError, RunError
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.partner import Partner
from fedapp.prediction import predict_file
from tests.small_run import small_config, write_dataset

TASKS = [f"SECRET-alpha-target{task} >= 5.5" for task in range(4)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, config = tmp_path_factory.mktemp("partner"), small_config()
    partner = Partner(folder, write_dataset(folder / "dataset", "alpha"), config)
    trunk = trunk_arrays(Trunk(256, [8], 1))
    partner.evaluate(partner.fit(trunk, {"round": 1})[0], {"round": 1})
    return folder


def test_every_row_comes_back_in_order_with_probabilities_or_a_reason(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("compound_id,smiles\n007,CCO\nbad,nonsense\n008,c1ccccc1\n")
    assert predict_file(model, tmp_path / "new.csv", tmp_path / "out.csv") == (2, 1)
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
    with pytest.raises(DataError, match="none of 1 structures is usable"):
        predict_file(model, tmp_path / "new.csv", tmp_path / "out.csv")


def test_predictions_take_the_place_of_predictions_and_of_nothing_else(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the input, under whatever name, nor of a table of a person's; and that is known before anything is computed."""
    new = tmp_path / "new.csv"
    new.write_text("compound_id,smiles\na,CCO\n")
    for name in ("out.csv", "out.parquet"):
        for _ in range(2):
            assert predict_file(model, new, tmp_path / name) == (1, 0)
    (tmp_path / "empty.csv").touch()
    assert predict_file(model, new, tmp_path / "empty.csv") == (1, 0)
    monkeypatch.setattr("fedapp.prediction.read_smiles", lambda _: pytest.fail("it went on"))
    (tmp_path / "link.csv").symlink_to(new)
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / "picture.parquet").write_bytes(b"\x89PNG")
    (tmp_path / "folder.csv").mkdir()
    tasks = model / "dataset" / "tasks.parquet"
    before = {path: path.read_bytes() for path in (new, tasks, tmp_path / "notes.csv", tmp_path / "picture.parquet")}
    for out in (*before, tmp_path / "link.csv", tmp_path / "folder.csv"):
        with pytest.raises(OutputError):
            predict_file(model, new, out)
    assert {path: path.read_bytes() for path in before} == before
