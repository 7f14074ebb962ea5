"""The README, held to its word: every command in it is run, and every verb of the command line is in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from fedapp.cli.main import app
from simulation.launch import QUIET, script
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()

# Each command of the README, and what runs it.
RUN_BY = {
    "pip install -e .": "test_the_package_is_installed_from_this_tree",
    "pip install -e '.[dev]'": "test_the_package_is_installed_from_this_tree",
    "polyphony simulate": "test_the_two_commands_give_a_report",
    "export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1": "test_flwr_run_installs_nothing",
    'flwr run . --stream --federation-config "num-supernodes=4"': "test_flwr_run_installs_nothing",
    "ruff format --check . && ruff check . && mypy": ".ci/run",
    "pytest": ".ci/run",
}


def console_commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_command_in_the_readme_is_run_by_something() -> None:
    assert set(console_commands()) == set(RUN_BY)
    gate = (ROOT / ".ci" / "run").read_text()
    for command, place in RUN_BY.items():
        if place == ".ci/run":
            assert all(part.strip() in gate for part in command.split("&&")), command
        else:
            assert place in globals(), place


def test_every_verb_is_in_the_readme() -> None:
    for command in app.registered_commands:
        assert f"`polyphony {command.name}" in README


def test_every_experiment_that_ships_is_in_the_readme_or_the_default() -> None:
    for path in (ROOT / "conf").glob("*.yaml"):
        assert f"conf/{path.name}" in README or path.name == "demo.yaml"


def test_the_package_is_installed_from_this_tree() -> None:
    origin = json.loads(distribution("polyphony").read_text("direct_url.json") or "{}")
    assert origin["dir_info"]["editable"]
    assert Path(origin["url"].removeprefix("file://")) == ROOT


@pytest.mark.flower
def test_the_two_commands_give_a_report(tmp_path: Path) -> None:
    done = subprocess.run([script("polyphony"), "simulate"], cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.glob("runs/demo-*/report.html"))
    assert len(pages) == 1
    assert str(pages[0]) in done.stdout
    page = pages[0].read_text()
    assert "computed from the structures" in page
    assert "in the clear" in page
    shown = {shape(line) for line in README.splitlines()}
    assert {shape(line) for line in done.stdout.splitlines()} <= shown, "the README shows another output"

    run = pages[0].parent
    again = subprocess.run([script("polyphony"), "report", str(run)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    (tmp_path / "new.smi").write_text("CCO ethanol\nc1ccccc1C(=O)O benzoic-acid\nnonsense broken\n")
    words = ["predict", "--model", str(run / "partners" / "partner-1"), "--smiles", "new.smi", "--out", "out.csv", "--json"]
    predicted = subprocess.run([script("polyphony"), *words], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert predicted.returncode == 0, predicted.stderr
    result = json.loads(predicted.stdout)
    assert (result["predicted"], result["without_prediction"]) == (2, 1)
    assert "computed" in result["note"]


def shape(line: str) -> str:
    """A line without its numbers and paths."""
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"\S*/\S*", "PATH", line)).strip()


@pytest.mark.flower
def test_flwr_run_installs_nothing(tmp_path: Path) -> None:
    """`flwr run .` from a fresh clone, with the README's variable: the SuperLink uses what is installed, torch included."""
    clone = tmp_path / "clone"
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    home = tmp_path / "flower-home"
    bin_path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": bin_path, "FLWR_HOME": str(home), **QUIET}
    command = ["flwr", "run", ".", "--stream", "--federation-config", "num-supernodes=4"]
    try:
        done = subprocess.run([script(command[0]), *command[1:]], cwd=clone, env=environment, capture_output=True, text=True, timeout=900)
    finally:
        subprocess.run(["pkill", "-f", str(home)], check=False)
    output = done.stdout + done.stderr
    assert "finished; for the report: polyphony report" in output, output[-3000:]
    assert "Installing application dependencies" not in output
    assert not (home / "runtime-envs").exists()
    (run,) = clone.glob("runs/flower-*")
    assert len(list(run.glob("partners/*/model.safetensors"))) == 4


@pytest.mark.flower
@pytest.mark.data
def test_tox21_runs_from_its_tables_to_a_report(tmp_path: Path, real_data: Path) -> None:
    environment = {**os.environ, "POLYPHONY_DATA": str(real_data)}
    command = [script("polyphony"), "simulate", str(ROOT / "conf" / "tox21.yaml"), "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(result["report"]).is_file()
    assert result["auc_pr"] > 0.25, "guessing gives 0.08"
