"""A run without --full tries less of a sweep, and never less than its ends; all of them are sampled in one place."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.helpers import sweeps
from tests.helpers.sweeps import DRAWN, Effort, every, examples


@pytest.fixture(params=range(5))
def sampled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without --full."""
    monkeypatch.setattr(sweeps, "EFFORT", Effort(full=False, seed=request.param))


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("length", [0, 1, 2, 5, 6, 36])
def test_a_sweep_is_tried_at_both_ends_and_at_some_places_between_in_order(length: int) -> None:
    tried = every(range(length))
    assert len(tried) == min(length, DRAWN + 2)
    assert tried == sorted(set(tried))
    assert set(tried) <= set(range(length))
    assert {0, length - 1} <= set(tried) or not length


@pytest.mark.usefixtures("sampled")
def test_all_workers_draw_the_same() -> None:
    assert every(range(1000)) == every(range(1000))


def test_other_runs_draw_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = set()
    for seed in range(200):
        monkeypatch.setattr(sweeps, "EFFORT", Effort(full=False, seed=seed))
        drawn |= set(every(range(10)))
    assert drawn == set(range(10))


def test_a_full_run_tries_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "EFFORT", Effort(full=True))
    assert every(range(1000)) == list(range(1000))
    assert examples(500).max_examples == 500


@pytest.mark.usefixtures("sampled")
@given(st.integers(1, 1000))
def test_a_property_is_tried_with_as_many_examples_as_it_asks_for_or_with_few(count: int) -> None:
    assert examples(count).max_examples == min(count, sweeps.EXAMPLES)
    assert examples(count).deadline is None


def test_no_property_counts_its_examples_without_asking_how_thorough_the_run_is() -> None:
    counting = [path for path in (ROOT / "tests").rglob("*.py") if re.search(r"\bmax_examples=\d", path.read_text())]
    assert counting == []
    assert settings().max_examples == (100 if sweeps.EFFORT.full else sweeps.EXAMPLES)
