"""`polyphony compare`, from a run whose federated arm is done to its printed result."""

import json
import re
import sys
from pathlib import Path

import pytest

from fedapp.cli.main import main
from fedapp.evaluation.arms import ARMS
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json, read_sealed
from tests.helpers.federated_run import federated_run


def compared(monkeypatch: pytest.MonkeyPatch, path: Path, guard: int, *words: str) -> None:
    """Finish the comparison of a small run by the command line."""
    run = federated_run(path, f"privacy.row_guard={guard}", "evaluation.unguarded=true")
    run.update(kind="compare")
    monkeypatch.setattr(sys, "argv", ["polyphony", "compare", "--resume", str(path), *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def test_the_result_has_a_line_for_every_arm_and_what_the_row_guard_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compared(monkeypatch, tmp_path / "run", 10)
    out, err = capsys.readouterr()
    saved = read_json(tmp_path / "run" / "comparison.json")
    printed = re.findall(r"^(\w+) +AUC-PR (\d\.\d{4})  AUC-ROC", out, re.MULTILINE)
    assert printed == [(arm, f"{saved[arm]['auc_pr']:.4f}") for arm in ARMS]
    assert f"combined over local: {saved['gain']['value']:+.4f} (" in out
    for base in ("local_twice", "pooled", "merged"):
        assert f"combined over {base}: {saved['gains'][base]['combined']['difference']['value']:+.4f} (" in out
    effect = saved["federated"]["auc_pr"] - saved["unguarded"]["auc_pr"]
    assert f"the row guard {'gains' if effect > 0 else 'costs'} {abs(effect):.4f} AUC-PR\n" in out
    assert "unguarded round 3/3" in err
    assert "Without row guard" in (tmp_path / "run" / "report.html").read_text()


def test_without_a_row_guard_nothing_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compared(monkeypatch, tmp_path / "run", 0)
    out, err = capsys.readouterr()
    assert re.findall(r"^(\w+) +AUC-PR", out, re.MULTILINE) == [arm for arm in ARMS if arm != "unguarded"]
    assert "row guard" not in out
    assert "unguarded" not in err
    assert not (tmp_path / "run" / "unguarded").exists()


def test_json_has_all_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    compared(monkeypatch, tmp_path / "run", 10, "--json")
    result = json.loads(capsys.readouterr().out)
    assert {"run", "rounds", "seconds", "round_seconds", "peak_memory_bytes", "report", "row_guard_effect"} <= set(result)
    for arm in ARMS:
        assert {"auc_pr", "auc_roc", "bce", "calibration_error"} <= set(result[arm])
    assert set(result["gain"]) == set(result["gain_ratio"]) == {"value", "low", "high"}
    assert result.items() >= read_sealed(tmp_path / "run" / "comparison.json", {}).items()
    assert result["provenance"]["command"] == f"polyphony compare --resume {tmp_path / 'run'} --json"
    config = RunFolder.open(tmp_path / "run").config()
    assert (result["seed"], result["bits"]) == (config.seed, config.chemistry.bits)
    assert (result["rows_in_sum"], result["named_in_sums"]) == (None, {}), "partners do not look at sums under plain aggregation"


@pytest.mark.parametrize("verb", ["compare", "privacy"])
def test_what_judges_is_refused_without_a_test_fold_before_anything_is_written(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["polyphony", verb, "evaluation.test_fold=null", f"runs={tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code
    assert "judges, and evaluation.test_fold is null" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
