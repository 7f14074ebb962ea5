"""The project's pages, held to their word: commands are run, and whatever they name or link to exists."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from fedapp import client_app, server_app
from fedapp.cli.main import app
from fedapp.config import CONF, load_config
from fedapp.runtime.flower import QUIET, script
from strategies.secagg.phases import diagram
from tests.conftest import ROOT
from tests.helpers.docs import PAGES, README, anchors, commands, inline_code, links, section, target_of
from tests.helpers.local_grid import RUN_ID, LocalGrid
from tests.helpers.small_run import small_run

LONGEST_README = 150  # lines
FILES = {"csv", "html", "json", "safetensors", "svg"}  # audit.html is a file and no key

# Each command of the pages, and what runs it.
RUN_BY = {
    "pip install -e .": "test_the_package_is_installed_from_this_tree",
    "pip install -e '.[dev]'": "test_the_package_is_installed_from_this_tree",
    "polyphony simulate": "test_the_two_commands_give_a_report",
    "export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1": "test_flwr_run_installs_nothing",
    'flwr run . --stream --federation-config "num-supernodes=4"': "test_flwr_run_installs_nothing",
    "polyphony identity new keys": "test_a_consortium_is_put_together_as_described",
    'polyphony consortium new consortium.yaml --name "three chemists"': "test_a_consortium_is_put_together_as_described",
    "polyphony consortium add consortium.yaml alpha keys/identity.pub": "test_a_consortium_is_put_together_as_described",
    "polyphony consortium show consortium.yaml": "test_a_consortium_is_put_together_as_described",
    "polyphony consortium check consortium.yaml --identity keys": "test_a_consortium_is_put_together_as_described",
    "polyphony transcript compare partner-1.jsonl partner-2.jsonl --roster consortium.yaml": "test_transcripts_of_a_run_agree",
    "polyphony transcript verify partner-1.jsonl --roster consortium.yaml": "test_transcripts_of_a_run_agree",
    "ruff format --check . && ruff check . && mypy": ".ci/run",
    "pytest": ".ci/run",
}


def test_every_command_is_run_by_something() -> None:
    rehearsal = commands(section("fedapp/site/README.md", "A rehearsal on one machine"))  # run by tests/sites/test_guide.py
    deployment = commands(PAGES["conf/deployment/README.md"])  # run by tests/test_supply_chain.py
    assert {command for text in PAGES.values() for command in commands(text)} == {*RUN_BY, *rehearsal, *deployment}
    gate = (ROOT / ".ci" / "run").read_text()
    for command, place in RUN_BY.items():
        if place == ".ci/run":
            assert command in section("README.md", "Development"), "where .ci/run says that it stands"
            assert all(part.strip() in gate for part in command.split("&&")), command
        else:
            assert place in globals(), place


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= LONGEST_README


def verbs() -> dict[str, set[str]]:
    """Each verb of the command line, with the verbs under it."""
    groups = {}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        groups[str(group.name)] = {str(command.name) for command in group.typer_instance.registered_commands}
    return {str(command.name): set() for command in app.registered_commands} | groups


def test_every_verb_is_in_the_readme() -> None:
    table = section("README.md", "Verbs")
    for verb, under in verbs().items():
        assert re.search(rf"`(polyphony )?{verb}\b", table), verb
        for second in under:
            assert re.search(rf"`(polyphony {verb} )?{second}\b", table), f"{verb} {second}"


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_key_and_module_that_a_page_names_exists(page: str) -> None:
    config = load_config(CONF / "default.yaml")
    sections = {name for name in vars(config) if hasattr(getattr(config, name), "__dataclass_fields__")}
    for code in inline_code(PAGES[page]):
        words = code.split()
        if words[0] == "polyphony" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in verbs(), code
            assert not verbs()[words[1]] or len(words) == 2 or words[2] in verbs()[words[1]], code
        for name, key in re.findall(r"(?<![\w./-])([a-z]+)\.([a-z_]+)\b(?![(/])", code):
            if name in sections and not (key in FILES or hasattr(getattr(config, name), key)):
                pytest.fail(f"no key {name}.{key}")
        if words[:2] == ["python", "-m"]:
            assert find_spec(words[2]), code


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in links(PAGES[page]):
        target, anchor = target_of(page, link)
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, new = set(), {"README.md"}
    while new:
        reached |= new
        targets = {target_of(page, link)[0] for page in new for link in links(PAGES[page])}
        new = {page for page in PAGES if ROOT / page in targets} - reached
    assert reached == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    """A security officer can look each of them up."""
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = {code for code in inline_code(PAGES[page]) if re.fullmatch(r"test_\w+", code)}
    assert not {name for name in named if f"def {name}(" not in source}


@pytest.mark.parametrize("heading", ["Promises", "What a recording tells later"])
def test_every_promise_and_every_thing_that_falls_is_shown_by_tests(heading: str) -> None:
    text = section("strategies/SECURITY.md", heading)
    numbers = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    shown = re.findall(r"^(\d+)\. `test_", text, re.MULTILINE)
    assert numbers == shown == [str(number) for number in range(1, len(numbers) + 1)]
    assert len(numbers) > 10


def test_the_diagram_is_the_table_of_phases() -> None:
    assert f"```mermaid\n{diagram()}\n```" in PAGES["strategies/secagg/PROTOCOL.md"]


def test_a_consortium_is_put_together_as_described(tmp_path: Path) -> None:
    commands = [command for command, test in RUN_BY.items() if test == "test_a_consortium_is_put_together_as_described"]
    others = [f"polyphony identity new {name}" for name in ("b", "c")]
    others += [f"polyphony consortium add consortium.yaml {name} {name}/identity.pub" for name in ("b", "c")]
    for command in [*commands[:3], *others, *commands[3:]]:
        done = subprocess.run([script("polyphony"), *shlex.split(command)[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert "alpha" in done.stdout


def test_transcripts_of_a_run_agree(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=2")
    grid = LocalGrid(client_app.app, len(run.partners()), {"run-dir": str(run.path), "conf": "demo"})
    server_app.run(grid, Context(RUN_ID, 0, {}, RecordDict(), dict(grid.run_config)))
    for name in ("partner-1", "partner-2"):
        (transcript,) = run.partner(name).glob("transcript-*.jsonl")
        shutil.copy(transcript, run.path / f"{name}.jsonl")
    told = ""
    for command in (command for command, test in RUN_BY.items() if test == "test_transcripts_of_a_run_agree"):
        words = [script("polyphony"), *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=run.path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        told += done.stdout
    assert "agree" in told
    assert "proves     nothing of anybody" in told


def test_every_experiment_that_ships_is_told() -> None:
    for path in CONF.glob("*.yaml"):
        assert f"({path.name})" in PAGES["conf/README.md"]


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
    assert "no differential privacy" in page
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
    """`flwr run .` from a fresh clone, with the variable that the page names: the SuperLink uses what is installed, torch included."""
    clone = tmp_path / "clone"
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    demo = clone / "conf" / "demo.yaml"
    demo.write_text(demo.read_text().replace("rounds: 12", "rounds: 2"))  # what is installed shows in the first
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
    assert len(list(run.glob("partners/partner-1/metrics/*"))) == 2


@pytest.mark.flower
@pytest.mark.data
def test_tox21_runs_from_its_tables_to_a_report(tmp_path: Path, real_data: Path) -> None:
    environment = {**os.environ, "POLYPHONY_DATA": str(real_data)}
    command = [script("polyphony"), "simulate", str(ROOT / "conf" / "tox21.yaml"), "federation.rounds=8", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(result["report"]).is_file()
    assert result["auc_pr"] > 0.2, "guessing gives 0.08"
