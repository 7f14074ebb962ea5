"""What the command line says of itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import click
import pytest
import typer
from typer.testing import CliRunner

from fedapp.cli.main import app
from fedapp.runtime.flower import script


def verbs(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every verb with its words, groups among them."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*words, name))


ALL = dict(verbs(typer.main.get_command(app)))


def shown(words: tuple[str, ...]) -> str:
    """The help of a verb as it is printed, without the frame and the line breaks."""
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_tells_what_each_argument_and_option_is(words: tuple[str, ...]) -> None:
    page = shown(words)
    assert "\\" not in page
    for parameter in ALL[words].params:
        explained = getattr(parameter, "help", None)
        assert explained, f"{parameter.name} says nothing"
        assert set(explained.split()) <= set(page.split()), parameter.name
        assert parameter.metavar is None or parameter.metavar in page


def test_help_marks_what_must_be_given() -> None:
    assert "folder to write [required]" in shown(("prepare",))


@pytest.mark.parametrize("package", ["polyphony", "flwr", "torch", "rdkit"])
def test_the_version_names_what_results_depend_on(package: str) -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert f"{package} {version(package)}" in result.output.splitlines()


def test_a_shell_completes_verbs() -> None:
    environment = {**os.environ, "_POLYPHONY_COMPLETE": "complete_bash", "COMP_WORDS": "polyphony sim", "COMP_CWORD": "1"}
    done = subprocess.run([script("polyphony")], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["simulate"]


def test_a_reader_that_leaves_ends_a_verb_without_a_word() -> None:
    program = [sys.executable, "-c", "import sys; from fedapp.cli.main import main; sys.argv[1:] = ['--version']; main()"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (1, 141)


def test_the_command_line_starts_without_what_only_some_verbs_need() -> None:
    """Each of these takes from half a second to three to import, for every verb, `--help` and completion in the shell."""
    code = "import sys, fedapp.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "scipy", "matplotlib", "rdkit", "polars", "flwr", "ray"} & set(loaded)
