"""Records as they lie in the tree, and which results become one."""

import json
import re
import shlex
import subprocess
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from fedapp.cli.arguments import read_experiment
from fedapp.cli.main import app
from fedapp.errors import RunError
from fedapp.storage.damage import DamagedFileError
from simulation.results import records as stored
from simulation.results.records import file_record, read_record, read_records
from tests.conftest import ROOT
from tests.simulation.results.made_up import FACTS

RECORDS = read_records()


def printed(facts: dict[str, Any] | None = None, **result: Any) -> str:
    """What a verb would have printed."""
    return json.dumps({"tasks": 3, "auc_pr": 0.25, "provenance": FACTS | (facts or {})} | result) + "\n"


def parsed(command: str) -> dict[str, Any]:
    """The parameters that our own command line takes a command for; typer raises on a verb or an option that there is not."""
    verb, words = typer.main.get_command(app), shlex.split(command)[1:]
    context = verb.make_context("polyphony", words)
    while isinstance(verb, typer.core.TyperGroup):
        name, under, words = verb.resolve_command(context, [*context._protected_args, *context.args])
        assert under is not None and name is not None
        verb, context = under, under.make_context(name, words, parent=context)
    return context.params


@pytest.mark.parametrize("name", RECORDS)
def test_the_command_of_a_record_is_one_of_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPHONY_DATA", "data")
    command = RECORDS[name].provenance["command"]
    if command.startswith("python -m "):
        assert find_spec(command.split()[2])
        return
    parameters = parsed(command)
    if "experiment" in parameters:
        read_experiment(parameters["experiment"])


def test_a_command_that_is_not_ours_would_be_noticed() -> None:
    for command in ("polyphony compere conf/fsmol.yaml", "polyphony benchmark secagg --sheep 3", "polyphony benchmark rounds"):
        with pytest.raises(typer.core.click.UsageError):
            parsed(command)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_says_when_on_what_and_from_which_source_it_was_measured(name: str) -> None:
    facts = RECORDS[name].provenance
    assert re.fullmatch(r"[0-9a-f]{7,40}", facts["commit"])
    assert date.fromisoformat(facts["date"])
    assert facts["machine"]["cores"] >= 1
    assert "transcribed" in facts or {"versions", "wall_seconds"} <= set(facts)
    assert not list(stored.paths_in(RECORDS[name].result | facts)), "a path of a machine"


def test_the_commits_of_records_are_ours() -> None:
    commits = sorted({record.provenance["commit"] for record in RECORDS.values()})

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("the history is not here")
    for commit in commits:
        assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0, commit


def test_what_a_verb_printed_becomes_a_record_without_the_paths_of_the_machine(tmp_path: Path) -> None:
    text = printed(run="/home/somebody/runs/tox21-1", report="/home/somebody/runs/tox21-1/report.html")
    record = read_record(file_record("compare-tox21-seed3", text, tmp_path))
    assert record.result == {"tasks": 3, "auc_pr": 0.25}
    assert record.provenance == FACTS
    assert record.name == "compare-tox21-seed3"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("../escape", printed(), "cannot be called '../escape'"),
        ("", printed(), "cannot be called ''"),
        ("tox21", "", "no result of a command that measures"),
        ("tox21", printed() + printed(), "no result of a command that measures"),
        ("tox21", "[1]", "it holds no JSON object"),
        ("tox21", '{"auc_pr": 0.5}', "it has no provenance"),
        ("tox21", printed({"commit": None}), "commit"),
        ("tox21", printed(gains={}), "it has no run"),
        ("tox21", printed(gains={}, run=["a"]), "its run is"),
        ("tox21", printed({"wall_seconds": "long"}), "wall_seconds"),
        ("tox21", printed({"commit": "0123456789ab-dirty"}), "measured with changes on 0123456789ab"),
        ("tox21", printed({"command": "polyphony compare /home/me/own.yaml"}), "names '/home/me/own.yaml'"),
        ("tox21", printed({"command": "polyphony compare runs=/data/runs"}), "names '/data/runs'"),
        ("tox21", printed({"command": "polyphony compare 'data.tables=[~/a,b]'"}), "names '~/a'"),
        ("tox21", printed(warnings=["rows were lost: see C:\\data\\dropped.csv"]), "names 'C:"),
        ("tox21", printed(partners={"p": {"/srv/p": 1}}), "names '/srv/p'"),
    ],
)
def test_what_cannot_be_measured_again_by_others_becomes_no_record(name: str, text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=re.escape(reason)) as refused:
        file_record(name, text, tmp_path)
    assert refused.value.hint
    assert not list(tmp_path.rglob("*"))


def test_a_fraction_and_a_unit_are_no_paths() -> None:
    assert not list(stored.paths_in(["3/4 of it", "km/h", "a / b", "https://example.org/a", "conf/fsmol.yaml", "-/+"]))


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "audit-fsmol.json").write_text('{"provenance": 3}')
    with pytest.raises(DamagedFileError, match=r"audit-fsmol\.json"):
        read_records(tmp_path)


def test_the_program_refuses_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from simulation.results import __main__ as program

    monkeypatch.setattr(program, "PAGE", tmp_path / "RESULTS.md")
    command = typer.Typer()
    command.command()(program.results)
    refused = CliRunner().invoke(command, ["--add", "tox21"], input="nonsense")
    assert refused.exit_code == 1
    assert "error: this is no result" in refused.stderr and "hint: give what it printed" in refused.stderr
    assert not (tmp_path / "RESULTS.md").exists()
    assert CliRunner().invoke(command, []).exit_code == 0
    assert (tmp_path / "RESULTS.md").read_text() == (ROOT / "simulation" / "RESULTS.md").read_text()
