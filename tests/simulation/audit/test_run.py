"""`polyphony audit`, whole, on a few compounds of the demo."""

import json
import re
import shutil
from dataclasses import replace
from itertools import permutations
from math import nan
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from fedapp.cli.audit import MARKS
from fedapp.partner.client import Partner
from fedapp.report.verdict import Verdict, worst
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from simulation.audit import federations
from simulation.audit import run as audit_run
from simulation.audit.findings import CONTROL, OFF, ON, Finding
from simulation.audit.run import FIGURES, PRINTED, gates
from tests.simulation.demo_run import demo_run, exit_status

SMALL = (
    "federation.rounds=2",
    "audit.trials=4",
    "audit.undefended_trials=3",
    "audit.compounds=70",
    "privacy.row_guard=3",
    "privacy.least_supporters=2",
)

NOBODY_NAMED = Finding(
    name="named",
    attack="twin rows",
    adversary="partner",
    defences=ON,
    what="Share.",
    value=0.0,
    lower=0.0,
    upper=0.2,
    chance=0.0,
    gate=0.1,
    judged="upper",
    trials=10,
)


def new_run(path: Path) -> RunFolder:
    return demo_run(path, "audit", *SMALL)


def audited(path: Path, *words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(federations, "in_memory", lambda: (path.parent,))
        return exit_status("audit", "--resume", str(path), *words)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    run = new_run(tmp_path_factory.mktemp("audit") / "run")
    return run.path, audited(run.path)


def found(path: Path, name: str, defences: str) -> list[dict[str, float]]:
    return [each for each in read_json(path / "audit.json")["findings"] if each["name"] == name and each["defences"] == defences]


def test_so_few_compounds_cannot_show_that_no_more_than_one_in_a_thousand_is_named_and_the_exit_status_is_that_of_the_worst_gate(
    done: tuple[Path, int],
) -> None:
    path, status = done
    gates = read_json(path / "audit.json")["gates"]
    gate = gates["decoded_fingerprints"]
    assert gate["value"] == 0 and gate["upper"] > gate["gate"]
    assert (gate["verdict"], gate["pass"]) == ("too few to tell", False)
    assert gates["identified_by_rows"]["pass"] is False, "nor can that gate hold, whether rows of 16 columns look alike by chance or not"
    assert status == (3 if "fail" in {each["verdict"] for each in gates.values()} else 4)


def test_without_the_row_guard_the_same_attack_names_most_compounds(done: tuple[Path, int]) -> None:
    assert max(each["value"] for each in found(done[0], "identified_by_rows", OFF)) > 0.5


def test_an_attack_that_cannot_work_at_this_size_is_shown_where_it_does(done: tuple[Path, int]) -> None:
    (control,) = found(done[0], "decoded_fingerprints", CONTROL)
    assert control["value"] > 0.9


def test_the_coordinators_view_passes_under_secure_aggregation_and_not_in_the_clear(done: tuple[Path, int]) -> None:
    assert all(each["pass"] for each in found(done[0], "coordinator_view", ON))
    assert not all(each["pass"] is not False for each in found(done[0], "coordinator_view", OFF))


def test_a_gate_says_who_attacks_how_far_and_what_chance_gives(done: tuple[Path, int]) -> None:
    gates = read_json(done[0] / "audit.json")["gates"]
    assert {"identified_by_rows", "decoded_fingerprints", "membership_trunk", "attribution", "coordinator_view"} <= set(gates)
    assert all(set(gate) == {"adversary", "value", "upper", "gate", "chance", "verdict", "pass"} for gate in gates.values())


def test_the_page_is_written_and_the_scratch_removed(done: tuple[Path, int]) -> None:
    path, _ = done
    assert "Compounds named one by one" in (path / "audit.html").read_text()
    assert RunFolder.open(path).status()["state"] == "finished"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_killed_audit_goes_on_with_the_federations_that_were_finished(
    done: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "killed"
    shutil.copytree(done[0], path)
    (path / "audit.json").unlink()
    (path / "audit" / "on-003.safetensors").unlink()
    kept = {each.name: each.stat().st_mtime_ns for each in (path / "audit").glob("*-00[12].safetensors")}
    monkeypatch.setattr(audit_run, "write_audit_report", lambda folder: folder / "audit.html")  # the first audit's test looks at the page
    assert audited(path, "--json") == done[1]
    assert_every_figure_is_printed(json.loads(capsys.readouterr().out), read_json(path / "audit.json"))
    assert {each.name: each.stat().st_mtime_ns for each in (path / "audit").glob("*-00[12].safetensors")} == kept
    one, other = (load_file(folder / "audit" / "on-003.safetensors") for folder in (path, done[0]))
    assert {name: array.tobytes() for name, array in one.items()} == {name: array.tobytes() for name, array in other.items()}
    first, again = (read_json(folder / "audit.json")["gates"] for folder in (done[0], path))
    judged_alike = {name: gate for name, gate in first.items() if name != "coordinator_view"}  # its masks are never the same twice
    assert json.dumps(judged_alike) == json.dumps({name: again[name] for name in judged_alike})


def assert_every_figure_is_printed(told: dict[str, Any], saved: dict[str, Any]) -> None:
    """With defences on and off and the controls, at their scale; and no structure that was recovered."""
    assert {key: told[key] for key in PRINTED} == {key: saved[key] for key in PRINTED}
    assert told["findings"] == [{key: each[key] for key in FIGURES} for each in saved["findings"]]
    assert {each["defences"] for each in told["findings"]} == {ON, OFF, CONTROL}
    assert told["provenance"]["command"].startswith("polyphony audit --resume ")
    text = json.dumps(told)
    assert saved["recovered"] and not any(each["true_smiles"] in text for each in saved["recovered"] if len(each["true_smiles"]) > 5)


def test_of_several_figures_with_one_name_the_worst_is_judged() -> None:
    def figure(upper: float, defences: str) -> Finding:
        return replace(NOBODY_NAMED, upper=upper, defences=defences)

    (gate,) = gates([figure(0.05, ON), figure(0.2, ON), figure(0.9, OFF)]).values()
    figures = {"adversary": "partner", "value": 0.0, "upper": 0.2, "gate": 0.1, "chance": 0.0}
    assert gate == figures | {"verdict": "too few to tell", "pass": False}


def test_of_several_figures_with_one_name_one_that_fails_counts_before_one_of_which_nothing_can_be_told() -> None:
    few = replace(NOBODY_NAMED, upper=0.9)
    many = replace(few, value=0.3, lower=0.2, upper=0.4)
    nothing = replace(few, value=nan, upper=nan)
    for order in permutations([few, many, nothing]):
        assert gates(list(order))["named"]["verdict"] == "fail"
    assert json.loads(json.dumps(gates([nothing])))["named"]["value"] is None


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [(["pass", "pass"], 0), (["pass", "fail", "too few to tell"], 3), (["pass", "too few to tell"], 4), ([], 4)],
)
def test_the_exit_status_tells_a_gate_that_fails_from_too_few_to_tell_and_both_from_an_audit_that_could_not_be_made(
    verdicts: list[str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = {
        f"gate {number}": {"adversary": "partner", "value": None, "upper": 0.2, "gate": 0.1, "chance": 0.0, "verdict": Verdict(verdict)}
        for number, verdict in enumerate(verdicts)
    }
    made = {"verdict": worst(map(Verdict, verdicts)), "gates": judged, "seconds": 1.0, "report": "r", "run": "r"}
    monkeypatch.setattr(audit_run, "audit", lambda run, display: made)
    run = new_run(tmp_path / "run")
    assert audited(run.path) == expected
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  gate")[0].strip() for line in lines[: len(verdicts)]] == [MARKS[Verdict(each)] for each in verdicts]
    assert audited(run.path, "--json") == expected
    assert json.loads(capsys.readouterr().out)["verdict"] == made["verdict"]


def test_an_audit_that_could_not_be_made_ends_with_1_and_a_named_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited(tmp_path / "nowhere") == 1
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("privacy.row_guard=12", "model.hidden=[2]"), "leaves a sum of [0-9]+ words"),
        (("privacy.row_guard=60",), "leaves no row"),
    ],
)
def test_a_row_guard_that_leaves_too_little_is_refused_before_anything_is_trained(
    overrides: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[object] = []
    monkeypatch.setattr(Partner, "fit", lambda *given: trained.append(given))
    run = demo_run(tmp_path / "run", "audit", *SMALL, *overrides)
    assert audited(run.path) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert re.search(told, error)
    assert trained == [] and not (run.path / "audit").exists()
    assert RunFolder.open(run.path).status()["state"] == "failed"
