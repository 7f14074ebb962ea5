"""Attacks by rows on real federations of the demo's compounds."""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.audit.attacks.rows import Target, attack, last_left, views, without_absent
from simulation.audit.federations import Trial, run_trial
from simulation.audit.findings import OFF, ON, AuditOutcome, Finding
from strategies.update.leakage import Library, present_rows
from tests.simulation.audit.demo_pool import demo_config, demo_pool, scenario

GUARD = 3
Found = dict[str, Finding]


def trial_of(row_guard: int) -> Trial:
    config = demo_config("model.hidden=[64]", f"privacy.row_guard={row_guard}")

    def nothing(dataset: object, heads: object, trunks: object) -> dict[str, np.ndarray]:
        return {}

    return run_trial(demo_pool(), config, 0, Path(mkdtemp(prefix="polyphony-rows-")), nothing, keep=True)


@pytest.fixture(scope="module")
def off() -> Trial:
    return trial_of(0)


@pytest.fixture(scope="module")
def on() -> Trial:
    return trial_of(GUARD)


def attacked(trial: Trial, defences: str) -> AuditOutcome:
    return attack(scenario(demo_pool(), trial, defences=defences, config=demo_config(f"privacy.row_guard={GUARD}")))


def found_in(trial: Trial, defences: str) -> Found:
    return {f"{finding.name}, {finding.attack}": finding for finding in attacked(trial, defences).findings}


@pytest.fixture(scope="module")
def open_(off: Trial) -> Found:
    return found_in(off, OFF)


@pytest.fixture(scope="module")
def guarded(on: Trial) -> Found:
    return found_in(on, ON)


def test_without_defences_the_sum_shows_every_bit_trained_and_nothing_else(open_: Found) -> None:
    present = open_["bits_present, present rows"]
    assert present.value == 1.0
    assert "100.0%" in present.note
    union = open_["membership_by_union, union of present rows"]
    assert union.value == 1.0
    assert union.chance < 0.3


def test_without_defences_most_compounds_are_named_and_hardly_any_wrongly(open_: Found) -> None:
    for way in ("twin rows", "twin rows of the others"):
        found = open_[f"identified_by_rows, {way}"]
        assert found.value > 0.6, way
        assert found.chance < 0.02, way
        assert found.passes is False
    left = open_["identified_by_elimination, last candidate left"]
    assert left.value > 0.5
    assert left.chance == 0.0


def test_without_defences_a_regression_tells_members_apart(open_: Found) -> None:
    found = open_["membership_by_regression, regression on candidates"]
    assert found.value > 0.2
    assert found.passes is False


def test_with_the_row_guard_twins_name_nobody(guarded: Found) -> None:
    assert guarded["identified_by_rows, twin rows"].value == 0.0
    assert guarded["identified_by_elimination, last candidate left"].value == 0.0


def test_with_the_row_guard_the_union_of_rows_says_nothing(guarded: Found) -> None:
    union = guarded["membership_by_union, union of present rows"]
    assert union.value == union.chance == 1.0
    assert guarded["bits_present, present rows"].value < 0.3


def test_named_compounds_are_shown_as_what_they_are(off: Trial, on: Trial) -> None:
    pool = demo_pool()
    shown = attacked(off, OFF).recovered
    assert len(shown) == 6
    for each in shown:
        assert each.true_smiles == each.found_smiles
        assert off.members[pool.smiles.index(each.true_smiles)]
    assert attacked(on, ON).recovered == ()


def test_elimination_is_never_wrong(off: Trial, on: Trial) -> None:
    pool = demo_pool()
    for trial, row_guard in ((off, 0), (on, GUARD)):
        assert trial.updates is not None
        last = next(views(trial, ON)).update
        supporters = demo_config().privacy.least_supporters
        target = Target.of(pool, trial, row_guard, supporters)
        assert target.members[last_left(present_rows(last), trial.listed, target)].all()
        for adversary, update in enumerate(trial.updates):
            target = Target.of(pool, trial, row_guard, supporters, adversary)
            present = present_rows(trial.updates.sum(axis=0) - update) & trial.listed
            assert target.members[last_left(present, trial.listed, target)].all()


def test_views_are_each_round_and_all_of_them_and_without_defences_the_last_and_all(off: Trial) -> None:
    seen = list(views(off, ON))
    assert [view.title for view in views(off, OFF)] == ["round 3", "all rounds"]
    assert [view.title for view in seen] == ["round 3", "round 2", "round 1", "all rounds"]
    np.testing.assert_array_equal(seen[-1].update, off.trunks[-1][0] - off.trunks[0][0])
    np.testing.assert_array_equal(seen[1].before, off.trunks[1][0])
    np.testing.assert_array_equal(seen[1].update, off.means[1][0])


@given(data=st.data())
def test_the_union_test_rules_out_whoever_holds_an_absent_listed_bit(data: st.DataObject) -> None:
    compounds = data.draw(st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=1, max_size=6))
    present, listed = (np.array(data.draw(st.lists(st.booleans(), min_size=8, max_size=8))) for _ in range(2))
    indptr = np.cumsum([0, *map(len, compounds)])
    library = Library(indptr, np.array([bit for bits in compounds for bit in sorted(bits)], dtype=np.int32), 8)
    expected = [all(present[bit] or not listed[bit] for bit in bits) for bits in compounds]
    assert without_absent(present, listed, library).tolist() == expected
