"""What a measurement says of its origin, and what it does not say of the machine."""

import json
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from simulation.results import provenance
from simulation.results.provenance import PROVENANCE, Provenance, machine, processor, source_commit


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a repository of its own, committed."""
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    folder = tmp_path / "repository" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("first = 1\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "--message", "first")
    return folder


def test_the_commit_is_the_one_that_was_checked_out(package: Path) -> None:
    git(package, "tag", "--annotate", "--message", "a release", "v1")  # a tag may be moved: the commit alone is told
    assert source_commit(package) == git(package, "rev-parse", "HEAD")[:12]


def test_changed_source_is_told(package: Path) -> None:
    (package / "__init__.py").write_text("first = 2\n")
    assert source_commit(package) == git(package, "rev-parse", "HEAD")[:12] + "-dirty"


def test_a_package_that_was_installed_into_a_repository_of_others_has_no_commit(package: Path) -> None:
    installed = package.parent / "venv" / "package"
    shutil.copytree(package, installed)
    assert source_commit(installed) is None


def test_outside_a_repository_and_without_git_there_is_no_commit(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    alone = tmp_path / "alone"
    shutil.copytree(package, alone)
    assert source_commit(alone) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_commit(package) is None


def test_the_processor_is_told_by_its_name_where_the_system_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")
    assert processor() in (platform.processor(), platform.machine())
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel\t\t: 85\nmodel name\t: Chip 9: the fast one\n\nprocessor\t: 1\n")
    assert processor() == "Chip 9: the fast one"


def test_a_machine_is_told_in_general_words_without_its_name_or_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/some/where/bin/polyphony", "compare", "conf/fsmol.yaml", "name=two words"])
    result = Provenance.begin().joined_to({"auc_pr": 0.5})
    facts = result[PROVENANCE]
    assert result["auc_pr"] == 0.5
    assert facts["command"] == "polyphony compare conf/fsmol.yaml 'name=two words'"
    assert facts["wall_seconds"] >= 0
    assert {"polyphony", "rdkit", "torch", "python"} <= set(facts["versions"])
    assert set(facts["machine"]) == {"processor", "cores", "memory_gib", "gpu"} == set(machine())
    words = json.dumps(facts).split('"')
    assert not {platform.node(), str(Path.cwd()), str(Path.home()), "/some/where/bin/polyphony"} & set(words)
    assert not any(word.startswith("/") for word in words)
