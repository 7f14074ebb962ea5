"""The real simulation engine: what travels, what is left behind, and what a failure looks like."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fedapp.errors import RunError
from fedapp.files import read_json
from fedapp.run_folder import RunFolder
from simulation import launch
from simulation.follow import Follower
from simulation.launch import run_flower
from simulation.processes import child
from strategies.journal import read_journal
from tests.capture_app import FOLDER
from tests.conftest import ROOT
from tests.small_run import small_run

TRUNK = [[256, 8], [8]]


def flower_processes() -> set[int]:
    """Processes of Flower and Ray, by their command lines."""
    words = ("flower-", "flwr", "ray::", "raylet", "gcs_server")
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if any(word in line for word in words) and "pytest" not in line:
            found.add(process.pid)
    return found


@pytest.mark.flower
def test_every_message_of_a_real_run_carries_the_trunk_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No head, no task name or count, no label or compound count, no metric: the trunk's two arrays and the round number alone."""
    run, captured = small_run(tmp_path / "run"), tmp_path / "captured"
    captured.mkdir()
    monkeypatch.setenv(FOLDER, str(captured))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(launch, "APP", launch.APP.replace("fedapp.server_app", "tests.capture_app"))
    before = flower_processes()
    follower = Follower(run)
    events = []
    run_flower(run, lambda: events.extend(follower.events()))

    messages = [json.loads(path.read_text()) for path in sorted(captured.glob("*.json"))]
    down = [message for message in messages if message["direction"] == "down"]
    up = [message for message in messages if message["direction"] == "up"]
    assert len(down) == len(up) == 3 * (3 + 1)
    assert all(message["records"] == {"trunk": TRUNK, "config": {"round": int(message["group"])}} for message in down)
    assert all(message["records"] == {"trunk": TRUNK, "metrics": {}} for message in up if message["type"] == "train")
    assert all(message["records"] == {"metrics": {}} for message in up if message["type"] == "evaluate")
    expected = len(TRUNK) * (128 + 1 + 20) + (256 * 8 + 8) * 4  # two arrays in numpy's format, with names and types
    for path in captured.glob("*.raw"):
        raw = path.read_bytes()
        assert b"SECRET" not in raw
        assert b"partner" not in raw
        assert len(raw) <= expected

    assert {(event.partner, event.round) for event in events} == {(f"partner-{p}", r) for p in (1, 2, 3) for r in (1, 2, 3)}
    assert [exchange.phase for exchange in read_journal(run.coordinator / "journal.jsonl")] == ["train"] * 3 + ["final"]
    assert not (flower_processes() - before), "no process outlives the run"
    assert not (run.path / "flower" / "home").exists()


@pytest.mark.flower
def test_a_partner_that_fails_is_named_with_its_reason_and_what_to_do(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    (run.partner("partner-2") / "dataset" / "y_labels.npy").write_bytes(b"")
    with pytest.raises(RunError) as error:
        run_flower(run, lambda: None)
    assert "2 of 3 partners replied" in str(error.value)
    assert "partner-2: " in str(error.value)
    assert "not a complete dataset" in str(error.value)
    assert "--resume" in error.value.hint
    assert "y_labels" not in (run.coordinator / "outcome.json").read_text()


@pytest.mark.flower
def test_a_run_whose_launcher_is_killed_leaves_no_process_and_resumes(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=400")
    before = flower_processes()
    code = """
import sys
from pathlib import Path
from fedapp.run_folder import RunFolder
from simulation.launch import run_flower
run_flower(RunFolder.open(Path(sys.argv[1])), lambda: None)
"""
    launcher = subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=ROOT)
    wait_for(lambda: len(read_journal(run.coordinator / "journal.jsonl")) > 2, 120)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    wait_for(lambda: not (flower_processes() - before), 60)
    done = len(read_journal(run.coordinator / "journal.jsonl"))
    short = RunFolder.open(run.path)
    text = (run.path / "config.yaml").read_text().replace("rounds: 400", f"rounds: {done + 2}")
    (run.path / "config.yaml").write_text(text)
    run_flower(short, lambda: None)
    rounds = [exchange.round for exchange in read_journal(run.coordinator / "journal.jsonl") if exchange.phase == "train"]
    assert rounds == sorted(rounds)
    assert set(rounds) == set(range(1, done + 3))


def test_a_child_and_its_children_end_with_the_block(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stubborn!r}])"]
    with child(command, tmp_path / "log", {}) as process:
        wait_for(lambda: bool(psutil.Process(process.pid).children()), 10)
        family = [process.pid, *(each.pid for each in psutil.Process(process.pid).children(recursive=True))]
    assert not any(psutil.pid_exists(pid) for pid in family)


def test_a_flower_that_ends_at_once_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "script", lambda name: "/bin/false")
    with pytest.raises(RunError, match="did not start") as error:
        run_flower(small_run(tmp_path / "run"), lambda: None)
    assert "superlink.log" in error.value.hint


def wait_for(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.2)


def test_the_outcome_names_every_failed_partner(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    for name in ("partner-1", "partner-3"):
        (run.partner(name) / "error.json").write_text(json.dumps({"error": f"reason of {name}", "hint": "mend it"}))
    (run.coordinator / "outcome.json").write_text(json.dumps({"state": "failed", "error": "round 1 failed"}))
    with pytest.raises(RunError, match=r"round 1 failed.*partner-1: reason of partner-1; partner-3: reason of partner-3") as error:
        launch.check_outcome(run, run.path / "log")
    assert error.value.hint.startswith("mend it")
    assert read_json(run.coordinator / "outcome.json")["state"] == "failed"
    assert os.fspath(run.path) in error.value.hint
