"""`polyphony price`, whole, on a few compounds of the demo."""

import json
import shutil
from pathlib import Path

import pytest

from fedapp.errors import ConfigError
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from simulation.price import begin, check_changes
from tests.simulation.audit.demo_pool import demo_config
from tests.simulation.demo_run import demo_run, exit_status

SMALL = ("federation.rounds=2", "training.batch_size=64", "privacy.row_guard=3", "evaluation.min_per_class=2")
OFF, FEWER = ["privacy.row_guard=0"], ["privacy.row_guard=2", "privacy.least_supporters=2"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = demo_run(tmp_path_factory.mktemp("price") / "run", "price", *SMALL)
    begin(run, [OFF, FEWER])
    assert exit_status("price", "--resume", str(run.path)) == 0
    return run.path


def test_each_setting_is_held_against_the_experiment_as_it_is(done: Path) -> None:
    told = read_json(done / "price.json")
    asis, off, fewer = told["federations"]
    assert [each["settings"] for each in told["federations"]] == [[], OFF, FEWER]
    assert asis["rows"] < fewer["rows"] < off["rows"]
    for fold in ("validation", "test"):
        assert 0 < told["alone"][fold] < 1
        assert asis[fold]["price"] is None
        for other in (off, fewer):
            lost = other[fold]["price"]
            assert lost["value"] == pytest.approx(other[fold]["combined"] - asis[fold]["combined"])
            assert lost["low"] <= lost["value"] <= lost["high"]


def test_a_setting_that_changes_nothing_has_no_price(done: Path) -> None:
    again = RunFolder.create(done.parent / "again", RunFolder.open(done).config(), "price")
    shutil.copytree(done / "partners", again.path / "partners", dirs_exist_ok=True)
    begin(again, [["privacy.row_guard=3"]])
    assert exit_status("price", "--resume", str(again.path)) == 0
    first, same = read_json(again.path / "price.json")["federations"]
    assert same["test"]["price"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert {**first, "settings": []} == read_json(done / "price.json")["federations"][0]


def test_a_killed_run_goes_on_with_the_federations_that_were_finished(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "killed"
    shutil.copytree(done, path)
    (path / "price" / "1.json").unlink()
    kept = {each.name: each.stat().st_mtime_ns for each in (path / "price").glob("*.json")}
    assert exit_status("price", "--resume", str(path), "--json") == 0
    assert {each.name: each.stat().st_mtime_ns for each in (path / "price").glob("*.json") if each.name in kept} == kept
    told = json.loads(capsys.readouterr().out)
    assert told["federations"] == read_json(done / "price.json")["federations"]
    assert told["provenance"]["command"] == f"polyphony price --resume {path} --json"


def test_people_read_one_line_a_federation(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "again"
    shutil.copytree(done, path)
    assert exit_status("price", "--resume", str(path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" rows")[0].rsplit(maxsplit=1)[0].strip() for line in lines[1:4]] == [
        "demo as it is",
        " ".join(OFF),
        " ".join(FEWER),
    ]
    assert all("combined 0." in line for line in lines[1:4])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ([], "no setting is given whose price is asked"),
        ([["training.learning_rate=1"]], "'training.learning_rate=1' is no setting of privacy"),
        ([["privacy.row_gard=2"]], "row_gard"),
        ([["privacy.least_supporters=1"]], "privacy.least_supporters"),
    ],
)
def test_what_has_no_price_is_refused(changes: list[list[str]], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_changes(demo_config(*SMALL), changes)


def test_nothing_is_left_of_a_run_that_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_status("price", "--with", "privacy.row_guard=-1") == 1
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_keeps_its_settings(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("price", "--resume", str(done), "--with", "privacy.row_guard=0") == 1
    assert "a resumed run keeps its settings" in capsys.readouterr().err
