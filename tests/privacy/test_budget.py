"""A budget: on disk before what it pays for, and never exceeded."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.privacy.accounting import NoiseEvent, epsilon
from fedapp.privacy.budget import Budget, BudgetError
from tests.partner.test_client import Killed

ROUND = NoiseEvent(1.5, 0.05, 20)


def budget(folder: Path, limit: float = 3.0) -> Budget:
    """The account as a fresh process opens it."""
    return Budget(folder / "privacy-budget.json", limit, 1e-6)


def test_what_was_paid_is_there_for_the_next_process(tmp_path: Path) -> None:
    assert budget(tmp_path).spent() == 0.0
    budget(tmp_path).spend("row list", NoiseEvent(5.0))
    total = budget(tmp_path).spend("round 1", ROUND)
    assert budget(tmp_path).events() == [("row list", NoiseEvent(5.0)), ("round 1", ROUND)]
    assert budget(tmp_path).spent() == total == epsilon([NoiseEvent(5.0), ROUND], 1e-6)
    assert (tmp_path / "privacy-budget.json").stat().st_mode & 0o777 == 0o600


def test_it_pays_for_as_many_rounds_as_it_said_and_then_refuses(tmp_path: Path) -> None:
    promised = budget(tmp_path).left(ROUND)
    assert promised > 2
    for number in range(promised):
        budget(tmp_path).spend(f"round {number + 1}", ROUND)
    assert budget(tmp_path).left(ROUND) == 0
    before = (tmp_path / "privacy-budget.json").read_bytes()
    with pytest.raises(BudgetError, match=f"round {promised + 1} would bring .* beyond privacy.epsilon of 3") as error:
        budget(tmp_path).spend(f"round {promised + 1}", ROUND)
    assert error.value.hint
    assert (tmp_path / "privacy-budget.json").read_bytes() == before
    assert budget(tmp_path).spent() <= 3.0


@pytest.mark.parametrize("after", [False, True])
def test_a_process_killed_while_it_pays_leaves_all_earlier_payments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    budget(tmp_path).spend("round 1", ROUND)
    replaced = Path.replace

    def die(path: Path, target: Path) -> Path:
        if after:
            replaced(path, target)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", die)
        budget(tmp_path).spend("round 2", ROUND)
    assert [what for what, _ in budget(tmp_path).events()] == ["round 1", "round 2"][: 1 + after]


@pytest.mark.parametrize("content", ["", "[", "{}x", "[1]", '[{"what": "round 1"}]', '[{"what": "x", "noise_multiplier": 0.0}]', "7"])
def test_a_damaged_file_is_refused_and_never_taken_for_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "privacy-budget.json").write_text(content)
    for act in (lambda damaged: damaged.spent(), lambda damaged: damaged.left(ROUND), lambda damaged: damaged.spend("round 1", ROUND)):
        with pytest.raises(BudgetError, match="is damaged"):
            act(budget(tmp_path))
    assert (tmp_path / "privacy-budget.json").read_text() == content


def test_a_number_survives_the_file_bit_for_bit(tmp_path: Path) -> None:
    event = NoiseEvent(math.pi, 1 / 3, 7)
    budget(tmp_path).spend("round 1", event)
    assert budget(tmp_path).events() == [("round 1", event)]
    assert json.loads((tmp_path / "privacy-budget.json").read_text())["paid"][0]["steps"] == 7


def test_an_altered_digit_and_a_missing_digest_are_found(tmp_path: Path) -> None:
    budget(tmp_path).spend("round 1", NoiseEvent(40.0, 0.5, 70))
    path = tmp_path / "privacy-budget.json"
    text = path.read_text()
    path.write_text(text.replace('"steps": 70', '"steps": 10'))
    with pytest.raises(BudgetError, match="altered"):
        budget(tmp_path).spent()
    path.write_text(json.dumps({"paid": json.loads(text)["paid"]}))
    with pytest.raises(BudgetError, match="no digest"):
        budget(tmp_path).spent()


def test_a_lost_account_is_no_empty_one_where_something_was_paid_for(tmp_path: Path) -> None:
    lost = replace(budget(tmp_path), used=True)
    lost.begin()
    for act in (lambda: lost.spent(), lambda: lost.spend("round 2", ROUND)):
        with pytest.raises(BudgetError, match="is missing"):
            act()
    assert not lost.path.exists()
    fresh = budget(tmp_path)
    fresh.begin()
    fresh.spend("round 1", ROUND)
    fresh.begin()
    assert [what for what, _ in lost.events()] == ["round 1"]
