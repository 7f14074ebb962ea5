"""The real simulation engine: what travels, what is left behind, and what a failure looks like."""

import json
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fedapp.config import to_yaml
from fedapp.consortium.agreement import default_policy
from fedapp.consortium.membership import ROSTER
from fedapp.consortium.policy_file import write_policy
from fedapp.consortium.roster_file import load_roster
from fedapp.errors import RunError
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.runtime.flower import PROXIES
from fedapp.runtime.locks import locked
from fedapp.runtime.processes import child
from fedapp.storage.json_file import read_json, write_sealed
from fedapp.storage.scratch import TEMPORARY, scratch
from simulation import launch
from simulation.events import Follower
from simulation.launch import run_flower
from simulation.submit import gpu_share
from strategies.secagg.phases import Step
from strategies.secagg.state import load
from strategies.secagg.transcript_comparison import compare
from tests.conftest import ROOT
from tests.helpers.capture_app import FOLDER
from tests.helpers.federation import alike, all_held, held, phases, transcripts
from tests.helpers.secret_search import Secrets, in_files
from tests.helpers.small_run import small_run

ODD_NAME = 'run \N{GRINNING FACE} "a" =b\\c'  # beyond U+FFFF, and what TOML and a command line give a meaning to


def flower_processes(below: Path = Path("/")) -> set[int]:
    """Processes of Flower and Ray whose private home lies below a folder; others on this machine are none of our business."""
    found = set()
    for process in psutil.process_iter():
        try:
            home = process.environ().get("FLWR_HOME", "")
        except psutil.Error:
            continue
        if home and Path(home).is_relative_to(below):
            found.add(process.pid)
    return found


@pytest.mark.flower
def test_every_message_of_a_real_run_carries_the_protocol_and_nothing_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step, its body and masked words: no trunk, no key, no name, no metric, nor anything that Flower adds.

    Here the run folder has a name that few expect, and TMPDIR is too long for a socket.
    """
    run, captured = small_run(tmp_path / ODD_NAME), tmp_path / "captured"
    captured.mkdir()
    long = tmp_path / ("temporary" * 12)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    used: list[Path] = []

    @contextmanager
    def noted(name: str, parents: tuple[Path, ...]) -> Iterator[Path]:
        with scratch(name, parents) as folder:
            used.append(folder)
            yield folder

    monkeypatch.setattr(launch, "scratch", noted)
    monkeypatch.setenv(FOLDER, str(captured))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    of_ours = launch.submitting(run, tmp_path, 0)
    monkeypatch.setattr(
        launch, "submitting", lambda *told: [of_ours[0], "-m", "tests.helpers.capture_submit", *map(str, (told[0].path, *told[1:]))]
    )
    for name in PROXIES:  # nothing of a simulation leaves this machine, and no proxy is asked for what is on it
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "socks5://127.0.0.1:9")
    follower = Follower(run)
    events = []
    run_flower(run, lambda: events.extend(follower.events()))

    messages = [json.loads(path.read_text()) for path in sorted(captured.glob("*.json"))]
    trunk = held(run, "partner-1")
    update = ["uint32", int(trunk.rows.sum()) * 8 + 8 + 4 + 3]  # listed rows and biases, counters, tag
    rows = ["uint32", 256 + 3]
    for direction in ("down", "up"):
        of_direction = [message for message in messages if message["direction"] == direction]
        assert len(of_direction) == 3 * (2 + 3 * (1 + 3) + 1)
        for message in of_direction:
            step, number = message["records"]["message"]["step"], message["group"]
            beside: list[list[object]] = []
            if direction == "up" and step == Step.COLLECT:
                beside = [rows if number == "0" else update]
            elif direction == "down" and step in (Step.COLLECT, Step.FINISH) and number != "0":
                beside = [rows if number == "1" else update]  # the sum of the last round
            assert message["records"] == {"message": {"step": step, "body": "bytes"}} | ({"words": beside} if beside else {})

    private = secrets_of(run)
    for path in captured.glob("*.raw"):
        raw = path.read_bytes()
        assert private.found_in([raw]) == set()
        assert b"SECRET" not in raw
        assert b"partner" not in raw
    assert private.found_in(in_files(run.partner("partner-1"))) == {"trunk", "key", "identity", "metric"}, "the search finds what is there"
    assert private.found_in(in_files(run.coordinator) + in_files(run.path / "flower")) == set()

    assert alike(all_held(run), version=3)
    assert compare(transcripts(run)) is None
    assert {(event.partner, event.round) for event in events} == {(f"partner-{p}", r) for p in (1, 2, 3) for r in (1, 2, 3)}
    round_ = [Step.COLLECT, Step.CONSISTENCY, Step.UNMASK]
    assert [phase for _, phase in phases(run)] == [Step.ADVERTISE_KEYS, Step.SHARE_KEYS, *round_ * 4, Step.FINISH]
    assert not flower_processes(run.path), "no process outlives the run"
    assert not (run.path / "flower" / "home").exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (run.path, run.path / "flower")} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (run.path / "flower").glob("*.log")} == {0o600}
    assert [folder.exists() for folder in used] == [False], "what the engine wrote elsewhere is gone"
    assert list(long.iterdir()) == []


def secrets_of(run: RunFolder) -> Secrets:
    """What partners hold at the end of a run that nobody else may have."""
    private = Secrets()
    for name in run.partners():
        folder = run.partner(name)
        private.add("trunk", b"".join(array.tobytes() for array in held(run, name).arrays))
        session = load((folder / "protocol.state").read_bytes()).session
        assert session is not None
        for key in (session.group, *session.pairs):
            private.add("key", key)
        private.add("identity", (folder / "identity" / "identity.key").read_bytes().replace(b"-----BEGIN PRIVATE KEY-----\n", b""))
        for path in (folder / "loss").iterdir():
            private.add_number("metric", read_json(path)["loss"])
    return private


@pytest.mark.flower
def test_a_partner_that_fails_is_named_with_its_reason_and_what_to_do(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    (run.partner("partner-2") / "dataset" / "y_values.npy").write_bytes(b"")
    with pytest.raises(RunError) as error:
        run_flower(run, lambda: None)
    assert "2 partners sent a masked input, and 3 are needed" in str(error.value)
    assert "partner-2: " in str(error.value)
    assert "not a complete dataset" in str(error.value)
    assert "--resume" in error.value.hint
    for path in (run.coordinator / "outcome.json", *(run.path / "flower").glob("*.log")):
        assert "y_values" not in path.read_text(), "a reason may tell of data, and stays in the partner's folder"
    assert "y_values" in (run.partner("partner-2") / "error.json").read_text()


@pytest.mark.flower
def test_a_run_whose_launcher_is_killed_leaves_no_process_and_resumes(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=400")
    code = """
import sys
from pathlib import Path
from fedapp.runtime.locks import locked
from fedapp.run_folder import RunFolder
from simulation.launch import run_flower
run = RunFolder.open(Path(sys.argv[1]))
with locked(run.path, "polyphony simulate"):
    run_flower(run, lambda: None)
"""
    before = engine_folders()
    launcher = subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=ROOT)
    wait_for(lambda: (2, Step.COLLECT) in phases(run), 120)
    assert len(flower_processes(run.path)) > 3
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    with locked(run.path, "second"):
        assert not flower_processes(run.path), "what a killed launcher left holds the run until it has ended"
    private, left = secrets_of(run), [folder for folder in engine_folders() if folder not in before]
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in (*left, run.path, run.path / "flower")), "nobody else reads them"
    for folder in (*left, run.path / "flower"):
        assert private.found_in(in_files(folder)) == set()
        assert not any(b"SECRET" in content for content in in_files(folder))
    last = shortened(run, max(number for number, _ in phases(run)) + 2)
    run_flower(run, lambda: None)
    rounds = [number for number, phase in phases(run) if phase == Step.COLLECT and number]
    assert rounds == sorted(rounds)
    assert set(rounds) == set(range(1, last + 1))
    assert alike(all_held(run), version=last)
    assert not [folder for folder in left if folder.exists()], "the next run has swept it away"


def engine_folders() -> list[Path]:
    """Where Flower and Ray work, and write their logs, while a run goes on."""
    return [folder for place in {Path(tempfile.gettempdir()), *TEMPORARY} for folder in place.glob(f".{launch.SCRATCH}.*.part")]


def shortened(run: RunFolder, rounds: int) -> int:
    """Let everybody agree on fewer rounds, so that the test ends; how many."""
    config = run.given_config()
    (run.path / "config.yaml").write_text(to_yaml(replace(config, federation=replace(config.federation, rounds=rounds))))
    roster = load_roster(run.path / ROSTER)
    for name in run.partners():
        write_policy(PartnerFolder(run.partner(name)).policy, default_policy(run.config(), roster))
    return rounds


def test_a_child_and_its_children_end_with_the_block(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stubborn!r}])"]
    with child(command, tmp_path / "log", {}, grace=0.5) as process:
        wait_for(lambda: bool(psutil.Process(process.pid).children()), 10)
        family = [process.pid, *(each.pid for each in psutil.Process(process.pid).children(recursive=True))]
    assert not any(psutil.pid_exists(pid) for pid in family)


def test_a_flower_that_ends_at_once_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "script", lambda name: "/bin/false")
    with pytest.raises(RunError, match="SuperLink ended") as error:
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
        write_sealed(run.partner(name) / "error.json", {"error": f"reason of {name}", "hint": "mend it"})
    write_sealed(run.coordinator / "outcome.json", {"state": "failed", "error": "round 1 failed"})
    with pytest.raises(RunError, match=r"round 1 failed.*partner-1: reason of partner-1; partner-3: reason of partner-3") as error:
        launch.check_outcome(run, run.path / "log")
    assert error.value.hint == f"mend it; put that right and go on with --resume {run.path}"  # once, though two say it
    assert read_json(run.coordinator / "outcome.json")["state"] == "failed"


RAY = """\x1b[91mERROR \x1b[0m:     Traceback (most recent call last):
  File "ray_actor.py", line 1, in fetch
ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.
\x1b[91mERROR \x1b[0m:     strategies.coordinator.exchange.RoundFailedError: 0 partners advertised, and 3 are needed
"""


def test_where_no_partner_could_say_why_the_engines_log_does(tmp_path: Path) -> None:
    """A worker that is killed for its memory writes no error.json; what an earlier attempt left in the log is not told again."""
    run, log = small_run(tmp_path / "run"), tmp_path / "run.log"
    earlier = "ValueError: of an earlier attempt\n"
    log.write_text(earlier + RAY)
    outcome = run.coordinator / "outcome.json"
    write_sealed(outcome, {"state": "failed", "error": "0 partners advertised, and 3 are needed"})
    with pytest.raises(RunError) as error:
        launch.check_outcome(run, log, len(earlier))
    assert str(error.value) == (
        "0 partners advertised, and 3 are needed – ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."
    )
    assert str(log) in error.value.hint
    outcome.unlink()
    with pytest.raises(RunError, match=r"ended without a result: strategies\.coordinator\.exchange\.RoundFailedError: 0 partners"):
        launch.check_outcome(run, log, len(earlier))
    log.write_text(earlier)
    with pytest.raises(RunError, match="ended without a result; its log is"):
        launch.check_outcome(run, log, len(earlier))


STARTING = """Exception: The current node timed out during startup. The GCS may have become overloaded.
The above exception was the direct cause of the following exception:
RuntimeError: Simulation Runtime crashed.
The above exception was the direct cause of the following exception:
RuntimeError: An error was encountered. Ending simulation.
"""


def test_what_flower_says_of_every_failure_does_not_hide_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text(STARTING)
    assert launch.last_reason(log, 0).startswith("Exception: The current node timed out during startup.")


@pytest.mark.parametrize("partners", [2, 3, 6, 7, 8, 32, 1000])
def test_all_partners_find_room_on_one_gpu_at_once(monkeypatch: pytest.MonkeyPatch, partners: int) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert 0.999 - partners / 10_000 < gpu_share(partners) * partners <= 1


def test_without_a_gpu_nobody_asks_for_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu_share(8) == 0
