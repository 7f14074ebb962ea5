"""A partner's fixed cost: real partners are measured, each second counts once, and all is as it was afterwards. No time is asserted."""

import time
from pathlib import Path

import pytest

from fedapp.errors import RunError
from simulation.benchmarks.fixed_cost import PARTS, TRAINING, Clock, fixed_cost
from tests.helpers.federation import alike, all_held
from tests.helpers.small_run import small_run


def spend(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


class Work:
    @staticmethod
    def inner() -> None:
        spend(0.03)

    @classmethod
    def outer(cls) -> None:
        spend(0.01)
        cls.inner()


def test_a_second_counts_as_the_innermost_part_once_and_only_inside_of_one() -> None:
    clock, before = Clock(), dict(vars(Work))
    with clock.counting(Work, "inner", "inner"), clock.counting(Work, "outer", "outer"):
        Work.outer()
        assert not clock.spent, "nobody is being measured"
        begun = time.process_time()
        with clock.part("rest"):
            Work.outer()
        passed = time.process_time() - begun
    assert clock.spent["inner"] >= 0.03
    assert 0.01 <= clock.spent["outer"] < passed - 0.03 + 1e-9
    assert sum(clock.spent.values()) == pytest.approx(passed, abs=1e-3)
    assert dict(vars(Work)) == before


def test_real_partners_make_their_rounds_and_each_part_costs_something(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    own = {(owner, name): vars(owner)[name] for functions in PARTS.values() for owner, name in functions}
    told = fixed_cost(run)
    assert alike(all_held(run), version=3)
    assert set(told["partner_core_s"]) == set(PARTS)
    assert min(told["partner_core_s"].values()) > 0
    fixed = sum(seconds for part, seconds in told["partner_core_s"].items() if part != TRAINING)
    assert told["partner_fixed_core_s"] == pytest.approx(fixed, abs=1e-3)
    assert {(owner, name): vars(owner)[name] for owner, name in own} == own


def test_a_partner_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small_run(tmp_path / "run")
    (run.partner("partner-2") / "dataset" / "folds.npy").unlink()
    with pytest.raises(RunError, match="partner-2: .*folds"):
        fixed_cost(run)
