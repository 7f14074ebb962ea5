"""Ctrl-C on the real thing: everything ends, the run says how to go on, and goes on."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from fedapp.runtime.flower import script
from fedapp.storage.json_file import read_json
from strategies.coordinator.journal import read_journal
from tests.simulation.test_launch import flower_processes, wait_for

ROUNDS = 14
SMALL = (f"federation.rounds={ROUNDS}", "model.hidden=[16]", "chemistry.bits=1024", "data.partners=3")


@pytest.mark.flower
def test_ctrl_c_ends_every_process_and_the_run_resumes(tmp_path: Path) -> None:
    with subprocess.Popen([script("polyphony"), "simulate", *SMALL], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as started:
        wait_for(lambda: any(exchange.round > 2 for exchange in journal(tmp_path)), 240)
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=90)
    assert started.returncode == 130
    (run,) = tmp_path.glob("runs/*")
    assert "error: interrupted" in err
    assert f"hint: go on with --resume {run}" in err
    assert "Traceback" not in err
    assert not flower_processes(tmp_path)
    assert read_json(run / "run.json")["state"] == "interrupted"
    assert not list(run.rglob(".*.part")), "no half-written file"

    resumed = subprocess.run(
        [script("polyphony"), "simulate", "--resume", str(run), "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert resumed.returncode == 0, resumed.stderr
    result = json.loads(resumed.stdout)
    assert {"run", "rounds", "auc_pr", "seconds", "report"} <= set(result)
    assert result["rounds"] == ROUNDS
    assert 0 < result["auc_pr"] < 1
    assert Path(result["report"]).is_file()
    assert {exchange.round for exchange in journal(tmp_path)} == set(range(ROUNDS + 1)), "set-up, and every round"

    again = subprocess.run(
        [script("polyphony"), "simulate", "--resume", str(run), "seed=2"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 1
    assert "keeps its configuration" in again.stderr


def journal(folder: Path) -> list:  # type: ignore[type-arg]
    """All exchanges of the only run in `folder`, none before it starts."""
    return [exchange for path in folder.glob("runs/*/coordinator/journal.jsonl") for exchange in read_journal(path)]
