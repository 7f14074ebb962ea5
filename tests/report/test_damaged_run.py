"""Every file that a report reads, with any one bit of it flipped: the report says what it said before, or names the file."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from fedapp.data.integrity import HEADER, KINDS, TASKS
from fedapp.report.saved_files import read_dataset
from fedapp.report.saved_run import SavedRun, read_run
from fedapp.run_folder import CONFIG_FILE, FACTS, FILES
from fedapp.storage.digests import file_digests
from fedapp.storage.json_file import read_json, write_sealed
from strategies.update.self_audit import SUM, Audited
from tests.helpers.damage import damages, replaced, told
from tests.helpers.sealed import seal
from tests.helpers.small_run import write_dataset
from tests.helpers.sweeps import EFFORT
from tests.report.synthetic import Synthetic

FLIPS = 25 if EFFORT.full else 2  # of each file
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of one partner with all that a report reads, sealed as runs seal it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    Synthetic(folder, partners=["Alder"], tasks=4, values=2, rounds=1, secure=True).write()
    partner = folder / "partners" / "Alder"
    seal(folder / "coordinator" / "outcome.json", '{"state": "failed", "error": "two were left"}')
    seal(partner / "error.json", '{"error": "the disk is full", "hint": ""}')
    seal(partner / "model.json", '{"members": [{"shared_heads": {"classification": "own"}}]}')
    seal(partner / "self_audit.jsonl", json.dumps(vars(Audited(1, SUM, 0, 5, 1, 1, 2, 9))))
    write_sealed(folder / "run.json", read_json(folder / "run.json") | {FILES: file_digests(folder, [CONFIG_FILE])})
    return folder


def contents(run: SavedRun) -> dict[str, Any]:
    """All that a report is made of, but for keys that nobody asks for, as an altered name of a digest's own key is."""
    held = vars(run) | {"problems": None, "facts": [run.facts.get(key) for key in FACTS]}
    held |= {"datasets": [header.get(key) for header in run.datasets.values() for key in KINDS], "tasks": run.tasks.to_dicts()}
    held["arms"] = {name: (arm.metrics.to_dicts(), arm.losses.to_dicts()) for name, arm in run.arms.items()}
    if run.comparison:
        tables = {"tasks": run.comparison.tasks.to_dicts(), "breakdown": run.comparison.breakdown.to_dicts()}
        held["comparison"] = vars(run.comparison) | tables
    return held


def test_a_bit_flipped_in_any_file_that_a_report_reads_is_named_or_changes_nothing(run: Path) -> None:
    random, before = Random(EFFORT.seed), contents(read_run(run))
    assert read_run(run).problems == ()
    seen = set()
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        for what, content in list(damages(path.read_bytes(), random, FLIPS))[4:]:
            with replaced(path, content):
                found, error = told(lambda: read_run(run))
            where = f"{path.relative_to(run)} {what}: {error or found.problems}"
            if error or found.problems:
                assert path.name in (error or " ".join(found.problems)), where
                seen.add(path.name)
            elif content.endswith(b"\n") or path.suffix != ".jsonl":  # without its end a line is not there yet
                assert contents(found) == before, where
    assert {"config.yaml", "run.json", "journal.jsonl", "comparison.json", "tasks.parquet"} <= seen or not EFFORT.full


@pytest.mark.parametrize(
    "name", ["run.json", "coordinator/outcome.json", "comparison.json", "partners/Alder/loss/round-0001.json", "partners/Alder/model.json"]
)
def test_an_altered_figure_in_a_sealed_file_is_named(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    place = next(place for place, byte in enumerate(content) if chr(byte).isdigit() or chr(byte) in "fo")
    with replaced(run / name, content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]):
        found, error = told(lambda: read_run(run))
    assert Path(name).name in (error or " ".join(found.problems))


@pytest.mark.parametrize("name", ["coordinator/journal.jsonl", "partners/Alder/sums.jsonl", "partners/Alder/self_audit.jsonl"])
def test_an_altered_figure_in_a_line_is_named_with_its_line(run: Path, name: str) -> None:
    content = (run / name).read_text()
    with replaced(run / name, content.replace('"round": 1', '"round": 3').encode()):
        assert any("line " in each and Path(name).name in each for each in read_run(run).problems)


def test_no_altered_table_of_tasks_is_decoded_or_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dataset(tmp_path / "dataset", "Birch").directory
    whole = read_dataset("Birch", folder, problems := [])
    assert len(whole[1]) == 4
    assert not problems
    path = folder / TASKS
    content = path.read_bytes()
    monkeypatch.setattr(pl, "read_parquet", lambda *_, **__: pytest.fail("it was decoded"))
    for place in range(0, len(content), 1 if EFFORT.full else 97):
        with replaced(path, content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]):
            header, tasks = read_dataset("Birch", folder, problems := [])
        assert header == whole[0]
        assert tasks.is_empty()
        assert [each.partition(" ")[0] for each in problems] == [TASKS]


def test_tasks_of_which_nothing_says_what_they_must_be_are_left_out(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", "Birch").directory
    with replaced(folder / HEADER, (folder / HEADER).read_bytes().replace(b'"tasks": 4', b'"tasks": 5')):
        header, tasks = read_dataset("Birch", folder, problems := [])
    assert header == {}
    assert tasks.is_empty()
    assert [each.partition(" ")[0] for each in problems] == [HEADER, TASKS]
