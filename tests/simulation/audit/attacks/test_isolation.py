"""Rows that a partner can lay at one other's door."""

from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fedapp.report.verdict import Verdict
from simulation.audit.attacks import attribution
from simulation.audit.attacks.isolation import OthersRows, attack, change, linked, purity
from simulation.audit.federations import Trial, run_trial
from simulation.audit.findings import OFF, ON, Finding
from simulation.audit.other_rows import others_updates
from simulation.audit.pool import Pool
from tests.simulation.audit.demo_pool import demo_config, demo_pool, scenario
from tests.simulation.audit.linear_pool import fingerprints, linear_pool, linear_trial

Found = dict[str, Finding]
ONE, LINKED, FEW, DROPPED = (
    "rows of one other partner",
    "linking of rows",
    "linking of rows of few partners",
    "rows of a partner that drops out",
)
GUARD = 9  # of the linear pool's members: half of its rows pass at each partner


def found_in(pool: Pool, trial: Trial, defences: str) -> Found:
    return {finding.attack: finding for finding in attack(scenario(pool, trial, defences=defences)).findings}


def demo_trial(row_guard: int, least: int = 3) -> Trial:
    config = demo_config("model.hidden=[64]", f"privacy.row_guard={row_guard}", f"privacy.least_supporters={least}")
    return run_trial(demo_pool(), config, 0, Path(mkdtemp(prefix="polyphony-isolation-")), lambda *_: {}, keep=True)


@pytest.fixture(scope="module")
def off() -> Found:
    return found_in(demo_pool(), demo_trial(0), OFF)


@pytest.fixture(scope="module")
def on() -> Found:
    return found_in(demo_pool(), demo_trial(3), ON)


# Rows of one other partner


def test_without_defences_most_rows_are_one_other_partners(off: Found) -> None:
    assert off[ONE].value > 0.5 and off[ONE].verdict is Verdict.FAIL
    assert "nobody is told which" in off[ONE].note


def test_with_three_supporters_a_row_none_is_one_other_partners(on: Found) -> None:
    assert (on[ONE].value, on[ONE].lower, on[ONE].verdict) == (0.0, 0.0, Verdict.PASS)
    assert on[LINKED].verdict is Verdict.PASS and "nothing to tell apart" in on[LINKED].note


@pytest.mark.parametrize(("least", "verdict"), [(1, Verdict.FAIL), (2, Verdict.FAIL), (3, Verdict.PASS)])
def test_rows_that_one_other_partner_is_behind_are_counted(least: int, verdict: Verdict) -> None:
    """With two supporters whoever is one of them finds the other's row; with three nobody does."""
    pool, trial = linear_pool(), linear_trial(linear_pool(), guard=GUARD, least=least)
    found = found_in(pool, trial, ON)[ONE]
    rows = [trial.supports[:, bit] for bit in np.flatnonzero(trial.listed) if trial.supports[1:, bit].any()]
    assert found.value == sum(sum(supported[1:]) == 1 for supported in rows) / len(rows)
    assert found.trials == len(rows) and found.verdict is verdict
    assert f"{sum(sum(supported[1:]) == 2 for supported in rows)} are two other partners'" in found.note


def test_without_a_row_guard_owners_are_whose_trained_compounds_hold_the_bit() -> None:
    pool, trial = linear_pool(compounds=12), linear_trial(linear_pool(compounds=12))
    rows = OthersRows.of(scenario(pool, trial, defences=OFF))
    held = fingerprints(pool)
    for place, bit in enumerate(rows.bits):
        assert rows.owners[:, place].tolist() == [
            bool((held[:, bit] & trial.members & (pool.owners == other)).any()) for other in (1, 2, 3)
        ]
    assert (rows.count > 0).all() and not rows.by_counts


# Rows put together by how they move


def test_without_defences_rows_of_one_partner_are_linked(off: Found) -> None:
    assert off[LINKED].value > 0.2 and off[LINKED].lower > 0 and off[LINKED].verdict is Verdict.FAIL


def test_private_heads_link_the_rows_of_a_partner_and_of_few_beyond_chemistry() -> None:
    pool = linear_pool(compounds=12)
    found = found_in(pool, linear_trial(pool), OFF)
    assert found[LINKED].lower > 0.1
    assert found[FEW].lower > found[FEW].chance and found[FEW].gate is None


def test_rows_that_move_at_random_are_linked_by_chance() -> None:
    pool = linear_pool(compounds=12)
    found = found_in(pool, linear_trial(pool, noise=True), OFF)
    assert found[LINKED].lower <= 0 and found[LINKED].verdict is Verdict.PASS


@given(seed=st.integers(0, 2**32), partners=st.integers(1, 4), rows=st.integers(1, 20))
def test_purity_of_rows_with_one_owner_is_attributions_and_more_owners_are_hit_more_often(seed: int, partners: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    clusters, of_row = generator.integers(3, size=rows), generator.integers(partners, size=rows)
    owners = np.arange(partners)[:, None] == of_row
    assert purity(clusters, owners) == pytest.approx(attribution.purity(clusters, of_row))
    assert purity(clusters, owners | (generator.random(owners.shape) < 0.5)) >= purity(clusters, owners)
    assert purity(clusters, np.ones_like(owners)) == 1.0


# Rows of a partner that drops out


def test_a_partner_that_drops_out_gives_its_rows_away_with_defences_and_without(off: Found) -> None:
    for found in (off[DROPPED], found_in(demo_pool(), demo_trial(3, least=2), ON)[DROPPED]):
        assert found.lower > found.chance + 0.1 and found.gate is None
        assert "min_partners" in found.note


def test_of_rows_that_all_others_have_a_drop_out_tells_nothing(on: Found) -> None:
    assert np.isnan(on[DROPPED].value) and np.isnan(on[FEW].value) and "Not tried" in on[DROPPED].note


def test_what_a_drop_out_tells_is_counted_row_by_row() -> None:
    pool, trial = linear_pool(), linear_trial(linear_pool(), guard=GUARD, least=3)
    bits = np.flatnonzero(trial.listed & trial.supports[1:].any(axis=0))
    before, last = others_updates(pool, trial, bits)[-2:]
    truth, scores = [], []
    for partner in (1, 2, 3):
        truth += trial.supports[partner, bits].tolist()
        assert trial.updates is not None
        scores += change(before, last - trial.updates[partner, bits] / 4).tolist()
    found = found_in(pool, trial, ON)[DROPPED]
    assert found.value == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
    assert abs(found.chance - 0.5) < 0.1 < found.value - found.chance


def test_a_row_that_became_shorter_or_turned_has_changed_more_than_one_that_did_not() -> None:
    before = np.array([[3, 4], [3, 4], [3, 4], [0, 0]], dtype=np.float32)
    after = np.array([[3, 4], [0.3, 0.4], [-4, 3], [0, 0]], dtype=np.float32)
    same, shorter, turned, nothing = change(before, after)
    assert min(shorter, turned) > same and not np.isnan(nothing)


# Where there is too little


def test_of_one_other_partner_all_rows_are_its_own_and_none_need_be_linked() -> None:
    pool = linear_pool(partners=2)
    found = found_in(pool, linear_trial(pool), OFF)
    assert found[ONE].value == 1.0 and found[ONE].verdict is Verdict.FAIL
    assert found[LINKED].value == 0.0 and "nothing to tell apart" in found[LINKED].note
    assert np.isnan(found[FEW].value) and np.isnan(found[DROPPED].value)


def test_one_round_tells_of_no_drop_out() -> None:
    pool = linear_pool()
    found = found_in(pool, linear_trial(pool, guard=GUARD, least=3, rounds=1), ON)[DROPPED]
    assert np.isnan(found.value) and "Not tried" in found.note


def test_where_no_row_is_left_of_the_others_nothing_is_known() -> None:
    pool, trial = linear_pool(), linear_trial(linear_pool(), guard=GUARD, least=3)
    assert trial.words is not None
    words = trial.words.copy()
    words[1:] = 0
    found = found_in(pool, replace(trial, words=words), ON)
    assert np.isnan(found[ONE].value) and found[ONE].verdict is Verdict.TOO_FEW
    assert np.isnan(found[FEW].value) and np.isnan(found[DROPPED].value)


def test_equal_seeds_give_equal_findings() -> None:
    pool = linear_pool(compounds=12)
    one, other = (linked(each, OthersRows.of(each)) for each in (scenario(pool, linear_trial(pool), defences=OFF) for _ in range(2)))
    assert one == other
