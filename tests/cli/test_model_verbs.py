"""`predict`, `export` and `report` as they are typed."""

import json
from pathlib import Path

import pytest

from fedapp.cli import main
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.model.saved_model import read_model
from fedapp.partner.client import Partner
from tests.helpers.small_run import small_config, write_dataset
from tests.report.synthetic import Synthetic
from tests.site.saved_site import fresh


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("partner")
    partner = Partner(folder, write_dataset(folder / "dataset", "alpha"), small_config())
    partner.evaluate(partner.fit(trunk_arrays(Trunk(256, [8], 1)), {"round": 1})[0], {"round": 1})
    return folder


def typed(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit status of a command line."""
    monkeypatch.setattr("sys.argv", ["polyphony", *map(str, words)])
    try:
        main.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_model_is_exported_and_predicts(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "export", model, "--out", tmp_path / "model") == 0
    printed = capsys.readouterr().out
    assert "model of alpha (federated of round 1, of 3), 4 tasks, in" in printed
    assert "the validation fold chose the federated model" in printed
    assert "card.md before you give it on" in printed
    (tmp_path / "new.smi").write_text("CCO\nnonsense\n")
    words = ("predict", "--model", tmp_path / "model", "--smiles", tmp_path / "new.smi", "--out", tmp_path / "out.csv", "--json")
    assert typed(monkeypatch, *words) == 0
    expected = {"out": str(tmp_path / "out.csv"), "predicted": 1, "without_prediction": 1, "note": "", "warnings": []}
    assert json.loads(capsys.readouterr().out) == expected | {"chosen": "the federated model"}


def test_export_as_json_names_what_was_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "export", model, "--out", tmp_path / "model", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == {
        "out": str(tmp_path / "model"),
        "name": "alpha",
        "round": 1,
        "tasks": 4,
        "digest": read_model(tmp_path / "model").digest,
        "choice": {"classification": "federated"},
        "shared_heads": {},
        "note": "",
    }


def test_another_version_is_a_warning_beside_the_result(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fedapp.prediction.predict.versions", lambda: {"rdkit": "1900.1", "polyphony": "0"})
    (tmp_path / "new.smi").write_text("CCO\n")
    assert typed(monkeypatch, "predict", "--model", model, "--smiles", tmp_path / "new.smi", "--out", tmp_path / "out.csv") == 0
    said = capsys.readouterr()
    assert "warning: the model was trained with rdkit" in said.err
    assert "warning" not in said.out


@pytest.mark.parametrize("verb", ["predict", "export"])
def test_a_damaged_model_is_an_error_that_names_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-1])
    (tmp_path / "new.smi").write_text("CCO\n")
    words = ("--model", tmp_path, "--smiles", tmp_path / "new.smi") if verb == "predict" else (tmp_path,)
    assert typed(monkeypatch, verb, *words, "--out", tmp_path / "out.csv") == 1
    assert f"error: {tmp_path / 'model.safetensors'}" in capsys.readouterr().err


def test_report_of_a_site_prints_where_its_page_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = fresh(tmp_path / "site")
    assert typed(monkeypatch, "report", site.path) == 0
    assert capsys.readouterr().out == f"{site.path / 'report.html'}\n"
    assert (site.path / "tasks.csv").is_file()


def test_report_tells_what_the_page_tells_of_files_that_were_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site, run = fresh(tmp_path / "site"), Synthetic(tmp_path / "run", kind="simulate", tasks=6, rounds=1).write()
    (site.state / "loss").mkdir()
    (site.state / "loss" / "round-0001.json").write_text("no JSON")
    (run / "partners" / "Alder" / "dataset" / "tasks.parquet").write_bytes(b"PAR1 no more")
    for folder, damaged in ((site.path, "round-0001.json"), (run, "tasks.parquet in Alder/dataset")):
        assert typed(monkeypatch, "report", folder) == 0
        told = capsys.readouterr()
        assert told.out == f"{folder / 'report.html'}\n"
        assert told.err.startswith("warning: ")
        assert damaged in told.err
        assert damaged in (folder / "report.html").read_text()


def test_report_of_another_folder_says_what_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "report", tmp_path) == 1
    assert "is neither a run folder nor a site" in capsys.readouterr().err
