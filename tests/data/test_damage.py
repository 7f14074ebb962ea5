"""Every file that a run leaves, damaged in every way: a reader says what it said before, or names the file; it never does anything else."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from fedapp.consortium.membership import ROSTER, open_membership
from fedapp.consortium.node_key import read_private_key
from fedapp.consortium.promises import load_transcript
from fedapp.consortium.roster_file import load_roster
from fedapp.data.dataset import Dataset
from fedapp.model.checkpoint import load_tensors
from fedapp.model.saved_model import read_model
from fedapp.partner.open_side import read_row_list
from fedapp.partner_folder import PartnerFolder
from fedapp.report.saved_run import read_run
from fedapp.report.summary import summarise
from fedapp.run_folder import FACTS, RunFolder
from fedapp.storage.json_file import ValueType, read_sealed
from simulation.events import Follower
from simulation.experiment import headline
from simulation.launch import check_outcome
from strategies.partner.repetition import read_repetition
from strategies.partner.secure_partner import open_participant
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.damage import damages, replaced, told
from tests.helpers.federation import federate
from tests.helpers.request_lines import read_requests
from tests.helpers.small_run import small_run
from tests.helpers.sweeps import EFFORT, every

NAME = "partner-1"
READ_BY_NOBODY = ("identity.pub", "node.pub")  # made for others
# Damage that no digest tells from a shorter or another file: lines that are gone, words of a person's.
UNSEALED = (".jsonl", "policy.yaml", "consortium.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two rounds, finished."""
    made = small_run(tmp_path_factory.mktemp("runs") / "run", "federation.rounds=2", "federation.metrics_shown=[loss]")
    federate(made)
    return made


def readers(run: RunFolder) -> dict[str, Callable[[], Any]]:
    """Whoever reads a run folder, each with what it makes of it."""
    folder, config = run.path / "partners" / NAME, run.config()

    def settings() -> Any:
        opened = RunFolder.open(run.path)
        return opened.config(), values(run.path / "run.json", FACTS), opened.partners(), opened.federated()

    def membership() -> Any:
        opened = open_membership(PartnerFolder(folder).identity, run.path / ROSTER, PartnerFolder(folder).policy)
        return opened.policy, opened.limits, opened.roster, open_participant(folder, opened).state

    return {
        "settings": settings,
        "membership": membership,
        "node key": lambda: read_private_key(PartnerFolder(folder).identity / "node.key").private_numbers().private_value,
        "events": lambda: list(map(str, Follower(run).events())),
        "end": lambda: check_outcome(run, run.path / "run.log"),
        "headline": lambda: headline(run),
        "dataset": lambda: str(vars(Dataset.open(folder / "dataset"))),
        "report": lambda: reported(run.path),
        "requests": lambda: read_requests(folder),
        "repetition": lambda: read_repetition(PartnerFolder(folder)),
        "trunk": lambda: SharedTrunk.read(folder / "shared.safetensors").to_bytes(),
        "rows": lambda: str(read_row_list(folder)),
        "state": lambda: [str(load_tensors(path)) for path in sorted((folder / "state").iterdir())],
        "prediction": lambda: read_model(folder).predict(np.array([0, 2]), np.array([3, 5])).tobytes(),
        "transcript": lambda: [load_transcript(path, load_roster(run.path / ROSTER)) for path in folder.glob("transcript-*.jsonl")],
        "config": lambda: config == run.config(),
    }


def reported(path: Path) -> tuple[str, tuple[str, ...]]:
    """What a report counts, and what it says of files."""
    saved = read_run(path)
    return str(summarise(saved)), saved.problems


def values(path: Path, kinds: dict[str, ValueType]) -> list[Any]:
    """Of these keys."""
    held = read_sealed(path, kinds)
    return [held[key] for key in kinds]


def files_of(run: RunFolder) -> list[Path]:
    """Those of the coordinator and of one partner."""
    others = [run.path / "partners" / name for name in run.partners() if name != NAME]
    return [path for path in sorted(run.path.rglob("*")) if path.is_file() and not any(path.is_relative_to(other) for other in others)]


READERS_OF = {  # what reads a file; the slow ones are left out where they read nothing
    "config.yaml": ("settings", "config", "report"),
    "run.json": ("settings", "events", "end", "headline", "report"),
    "consortium.yaml": ("membership", "transcript"),
    "policy.yaml": ("membership",),
    "identity.key": ("membership",),
    "node.key": ("node key",),
    "protocol.state": ("membership",),
    "repetition.json": ("repetition", "membership"),
    "journal.jsonl": ("headline", "report"),
    "outcome.json": ("settings", "end", "report"),
    "requests.jsonl": ("requests",),
    "sums.jsonl": ("report",),
    "self_audit.jsonl": (),  # status tells of it: see tests/site/test_damaged_site.py
    "rows.npy": ("rows",),
    "shared.safetensors": ("trunk",),
    "model.safetensors": ("prediction",),
    "dataset": ("dataset", "report"),
    "loss": ("events", "report"),
    "metrics": ("events", "report"),
    "state": ("state",),
}


def test_whoever_reads_a_damaged_file_names_it_or_says_what_it_said_before(run: RunFolder) -> None:
    random, known = Random(20), readers(run)
    before = {name: read() for name, read in known.items()}
    for path in files_of(run):
        if path.name in READ_BY_NOBODY:
            continue
        names = READERS_OF.get(path.name) or READERS_OF.get(path.parent.name) or (("transcript",) if "transcript" in path.name else ())
        tried = every(list(damages(path.read_bytes(), random)), drawn=1)
        paged = range(len(tried)) if EFFORT.full else [Random(EFFORT.seed).randrange(len(tried))]  # a page takes longer than all else
        for number, (what, content) in enumerate(tried):
            with replaced(path, content):
                found = {name: told(known[name]) for name in names if name != "report" or number in paged}
            where = f"{path.relative_to(run.path)} {what}"
            for name, (value, error) in found.items():
                assert not error or named(path, error), f"{where}: {name} says {error}"
                same = error or value == before[name] or (name == "report" and path.name in " ".join(value[1]))
                assert same or path.name.endswith(UNSEALED), f"{where}: {name} says {value}"


def named(path: Path, error: str) -> bool:
    """Whether an error says which file is meant, or its folder, or what no longer fits together: key, roster, policy, or a line."""
    fits = path.name in ("consortium.yaml", "policy.yaml", "identity.key") and "roster" in error
    return path.name in error or f"{path.parent} " in error or "transcript" in error or fits


@pytest.mark.parametrize(
    "name", ["config.yaml", "run.json", "coordinator/outcome.json", "partners/partner-1/policy.yaml", "consortium.yaml"]
)
def test_an_emptied_file_is_never_taken_for_one_that_says_little(run: RunFolder, name: str) -> None:
    known = readers(run)
    names = READERS_OF[Path(name).name]
    for content in (b"", b"\n", b"{}\n", b"null\n"):
        with replaced(run.path / name, content):
            errors = [told(known[each])[1] for each in names if each != "report"]
        assert all(Path(name).name in error for error in errors), errors


def test_a_run_in_whose_journal_no_round_is_left_is_named_and_the_report_still_tells(run: RunFolder) -> None:
    with replaced(run.coordinator / "journal.jsonl", b""):
        _, error = told(lambda: headline(run))
        assert "journal.jsonl tells of no round" in error
        assert read_run(run.path).finished


def test_a_last_line_that_a_kill_cut_off_is_no_damage(run: RunFolder) -> None:
    journal, requests = run.coordinator / "journal.jsonl", run.partner(NAME) / "requests.jsonl"
    for path, read in ((journal, lambda: headline(run)), (requests, lambda: read_requests(run.partner(NAME)))):
        with replaced(path, path.read_bytes() + b'{"round": 4, "pha'):
            assert told(read) == (read(), "")


def test_a_damaged_line_in_the_middle_is_named_by_its_number(run: RunFolder) -> None:
    path = run.coordinator / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for damage in ("{}\n", "what\n", json.dumps(json.loads(lines[2]) | {"round": "2"}) + "\n"):
        with replaced(path, "".join([*lines[:2], damage, *lines[3:]]).encode()):
            assert "journal.jsonl: line 3 is damaged" in told(lambda: headline(run))[1]
            assert any("line 3 of journal.jsonl" in problem for problem in read_run(run.path).problems)
