"""The benchmark of a whole round: what it says of runs in turns, and that it leaves nothing behind. No time is asserted."""

import json
import shlex
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.cli.progress import RunProgress
from fedapp.config import CONF, load_config
from fedapp.errors import RunError
from simulation.benchmarks import round as round_benchmark
from simulation.benchmarks.round import ORDER, compared, measure_round, timed_rounds
from tests.simulation.demo_run import exit_status

SECONDS = st.lists(st.floats(0.1, 100), min_size=3, max_size=5)
SLOWDOWNS = st.lists(st.floats(1, 3), min_size=len(ORDER) // 2, max_size=len(ORDER) // 2)


def test_either_aggregation_runs_as_often_and_first_as_often_as_the_other() -> None:
    pairs = list(zip(ORDER[::2], ORDER[1::2], strict=True))
    assert all(set(pair) == {"plain", "secure"} for pair in pairs)
    assert pairs.count(("plain", "secure")) == pairs.count(("secure", "plain"))


@given(SECONDS, SECONDS, SLOWDOWNS)
def test_a_machine_that_slows_down_between_pairs_of_runs_changes_no_ratio(
    plain: list[float], secure: list[float], slower: list[float]
) -> None:
    turns = {"plain": plain, "secure": secure}
    told = compared([(name, [second * slower[turn // 2] for second in turns[name]]) for turn, name in enumerate(ORDER)])
    expected = pytest.approx(median(secure) / median(plain), rel=1e-3, abs=1e-3)
    assert told["ratio"] == expected
    assert [expected] * len(slower) == told["ratios"]


def test_one_pair_of_runs_that_was_disturbed_shows_in_the_spread_and_not_in_the_ratio() -> None:
    runs = [(name, [2.0, 2.2, 1.8] if name == "plain" else [2.2, 2.4, 2.0]) for name in ORDER]
    runs[1] = ("secure", [9.0, 9.0, 9.0])
    told = compared(runs)
    assert told["ratio"] == 1.1
    assert told["ratios"] == [1.1, 1.1, 1.1, 4.5]
    assert (told["plain_s"], told["secure_s"], told["rounds"]) == (2.0, 2.3, 12)


@pytest.mark.parametrize("rounds", [0, 1])
def test_runs_without_a_round_to_count_are_refused_before_anything_starts(rounds: int, tmp_path: Path) -> None:
    config = load_config(CONF / "demo.yaml", (f"runs={tmp_path}",))
    with pytest.raises(RunError, match=f"{rounds} rounds leave nothing to measure"):
        measure_round(config, rounds, RunProgress(0, [], json=True))
    assert not list(tmp_path.iterdir())


def test_the_command_tells_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = {"plain": 2.0, "secure": 2.2}
    monkeypatch.setattr(
        round_benchmark, "timed_rounds", lambda config, *_: [9.0] + [seconds[config.aggregation]] * config.federation.rounds
    )
    cost = {"partner_core_s": {"ready_to_mask": 0.01, "training": 0.5}, "partner_fixed_core_s": 0.01}
    monkeypatch.setattr(round_benchmark, "fixed_cost", lambda run: cost)
    monkeypatch.setattr(round_benchmark, "prepare_partners", lambda *_: {})
    words = ("benchmark", "round", str(CONF / "demo.yaml"), "--rounds", "2", f"runs={tmp_path}")
    assert exit_status(*words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("provenance")["command"] == shlex.join(["polyphony", *words, "--json"])
    assert told == {"plain_s": 2.0, "secure_s": 2.2, "ratio": 1.1, "ratios": [1.1] * 4, "rounds": 8, "partners": 4} | cost
    assert exit_status(*words) == 0
    printed = capsys.readouterr().out
    assert "2.200 s a round   1.100 x plain (1.100 to 1.100 in 4 pairs of runs)" in printed
    assert "0.010 processor seconds a round, less the training of: ready to mask 0.010, training 0.500" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.flower
def test_a_run_that_was_timed_is_removed_again(tmp_path: Path) -> None:
    config = load_config(CONF / "demo.yaml", (f"runs={tmp_path}", "data.partners=3", "federation.rounds=2"))
    seconds = timed_rounds(config, 1, RunProgress(0, [], json=True))
    assert len(seconds) == 2
    assert min(seconds) > 0
    assert not list(tmp_path.glob("demo-*"))
