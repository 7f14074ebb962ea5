"""What one partner's update tells, on real federations of the demo's compounds and on sums made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from simulation.audit.attacks.repeated_rounds import attack, scored
from simulation.audit.federations import Trial
from simulation.audit.findings import OFF, ON, Finding
from simulation.audit.scenario import ATTACKER
from simulation.audit.statistics import true_positives
from strategies.update.leakage import Library
from tests.simulation.audit.attacks.test_rows import GUARD, trial_of
from tests.simulation.audit.demo_pool import demo_config, demo_pool, scenario


@pytest.fixture(scope="module")
def off() -> Trial:
    return trial_of(0)


@pytest.fixture(scope="module")
def on() -> Trial:
    return trial_of(GUARD)


def found(trial: Trial, defences: str) -> dict[str, Finding]:
    attacked = attack(scenario(demo_pool(), trial, defences=defences, config=demo_config(f"privacy.row_guard={GUARD}")))
    return {finding.attack: finding for finding in attacked.findings}


def test_without_the_row_guard_one_update_names_most_compounds_and_recognises_nearly_all(off: Trial) -> None:
    told = found(off, OFF)
    assert told["names from a repeated round"].value > 0.5 and told["names from a repeated round"].lower > 0.4
    assert told["repeated round"].value > 0.8
    assert told["repeated round"].value >= told["the same round's sum"].value


def test_with_the_row_guard_both_find_less(off: Trial, on: Trial) -> None:
    guarded, open_ = found(on, ON), found(off, OFF)
    for title in ("repeated round", "names from a repeated round"):
        assert guarded[title].value < open_[title].value / 2
        assert guarded[title].gate is None and guarded[title].lower <= guarded[title].value <= guarded[title].upper


def test_the_figure_is_the_share_above_all_but_one_in_a_thousand_of_the_others_compounds(on: Trial) -> None:
    pool, scores, members = demo_pool(), [], []
    assert on.updates is not None
    for partner, (dataset, inside) in enumerate(zip(pool.datasets.values(), pool.split(on.members), strict=True)):
        if partner != ATTACKER:
            _, first = np.unique(pool.structures[pool.owners == partner], return_index=True)
            indptr, indices = dataset.fingerprints(first)
            scores.append(scored(Library(indptr, indices, pool.bits), on.listed, on.updates[partner]))
            members.append(inside[first])
    inside, every = np.concatenate(members), np.concatenate(scores)
    expected = true_positives(every[inside], every[~inside], 0.001).value
    assert found(on, ON)["repeated round"].value == pytest.approx(expected)


def test_an_update_of_noise_tells_nothing(on: Trial) -> None:
    assert on.updates is not None
    noise = np.random.default_rng(0).normal(size=on.updates.shape).astype(np.float32) * on.listed[:, None]
    told = found(replace(on, updates=noise), ON)["repeated round"]
    auc = float(told.note.split("AUC ")[1].rstrip("."))
    assert abs(auc - 0.5) < 0.15 and told.lower <= told.chance + 0.02  # 240 structures: four standard errors


def test_the_attackers_own_compounds_are_not_asked_about(on: Trial) -> None:
    assert on.updates is not None
    moved = on.updates.copy()
    moved[ATTACKER] = 1.0
    one, other = (found(replace(on, updates=updates), ON)["repeated round"] for updates in (on.updates, moved))
    assert (one.value, one.trials) == (other.value, other.trials)


def test_where_everything_was_trained_on_there_is_nothing_to_recognise(on: Trial) -> None:
    told = found(replace(on, members=np.ones_like(on.members)), ON)["repeated round"]
    assert math.isnan(told.value) and told.trials == 0 and "Not tried" in told.note
