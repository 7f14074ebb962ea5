"""Membership attacks where the best possible guess is known, where there is nothing to know, and by definition, loop by loop."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fedapp.report.verdict import Verdict
from simulation.audit.attacks.membership import PRIOR, attack, combined, lira, rmia, threshold, weighed
from simulation.audit.federations import Trial
from simulation.audit.findings import OFF, AuditOutcome
from simulation.audit.others_signals import OTHERS
from simulation.audit.pool import Pool
from simulation.audit.scenario import ATTACKER
from simulation.audit.signals import OUTSIDER, ROUNDS, TRUNK, standardised
from simulation.audit.statistics import true_positives
from tests.helpers.sweeps import examples
from tests.simulation.audit.demo_pool import scenario

seeds = st.integers(0, 2**32)


def halves(generator: np.random.Generator, trials: int, compounds: int) -> np.ndarray:
    return generator.random((trials, compounds)) < 0.5


def normal_signals(seed: int, trials: int, compounds: int, gap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals normal about each compound's own mean, with variance 1, `gap` higher for members; members; the true log-ratio."""
    generator = np.random.default_rng(seed)
    members, own = halves(generator, trials, compounds), generator.normal(0, 3, compounds)
    values = own + gap * members + generator.normal(size=members.shape)
    return values, members, gap * (values - own) - gap**2 / 2


def at(scores: np.ndarray, members: np.ndarray, most: float) -> float:
    return true_positives(scores[members], scores[~members], most).value


def test_lira_with_many_trials_is_the_true_likelihood_ratio_of_normal_signals():
    values, members, truth = normal_signals(0, 400, 300, gap=1.5)
    scores = lira(values, members)
    assert np.corrcoef(scores.ravel(), truth.ravel())[0, 1] > 0.99
    assert np.abs(scores - truth).mean() < 0.2
    for most in (0.001, 0.01, 0.1):
        assert at(scores, members, most) == pytest.approx(norm.sf(norm.isf(most) - 1.5), rel=0.2)


def test_lira_beats_a_threshold_even_with_few_trials():
    values, members, _ = normal_signals(1, 10, 2000, gap=1.5)
    assert at(lira(values, members), members, 0.01) > 4 * at(threshold(-values), members, 0.01)


@examples(20)
@given(seeds, st.integers(3, 7), st.integers(4, 9))
def test_lira_leaves_out_the_trial_that_it_attacks(seed, trials, compounds):
    generator = np.random.default_rng(seed)
    members, signals = halves(generator, trials, compounds), generator.normal(size=(trials, compounds))
    values, expected = standardised(signals), np.zeros((trials, compounds))
    for s in range(trials):
        rest = [t for t in range(trials) if t != s]
        sides = [[[values[t, i] for t in rest if members[t, i] == side] for side in (True, False)] for i in range(compounds)]
        squares = np.array([sum(len(v) * np.var(v) for v in pair if v) for pair in sides])
        freedom = np.array([sum(len(v) - 1 for v in pair if v) for pair in sides])
        common = squares.sum() / freedom.sum() if freedom.sum() else 1.0
        for i, (inside, outside) in enumerate(sides):
            if inside and outside:
                spread = np.sqrt((squares[i] + PRIOR * common) / (freedom[i] + PRIOR))
                expected[s, i] = norm.logpdf(values[s, i], np.mean(inside), spread) - norm.logpdf(values[s, i], np.mean(outside), spread)
    np.testing.assert_allclose(lira(signals, members), expected, rtol=1e-6, atol=1e-6)


@examples(20)
@given(seeds, st.integers(3, 8), st.integers(3, 20))
def test_scores_of_a_trial_do_not_know_who_was_trained_on_in_it(seed, trials, compounds):
    generator = np.random.default_rng(seed)
    members, signals = halves(generator, trials, compounds), generator.random((trials, compounds)) + 0.1
    others = members.copy()
    others[0] = halves(generator, 1, compounds)[0]
    for scores in (lira, rmia, lambda values, sides: rmia(values, sides, factor=0.5)):
        np.testing.assert_allclose(scores(signals, members)[0], scores(signals, others)[0], rtol=1e-9, atol=1e-9)


def test_without_a_leak_all_attacks_are_at_chance():
    generator = np.random.default_rng(0)
    members = halves(generator, 16, 2500)
    loss = generator.gamma(2.0, 1.0, 2500) * generator.lognormal(0, 0.4, members.shape)
    for scores in (lira(loss, members), combined([loss, loss**2], members), rmia(np.exp(-loss), members), threshold(loss)):
        assert roc_auc_score(members.ravel(), scores.ravel()) == pytest.approx(0.5, abs=0.015)
        assert at(scores, members, 0.001) < 0.003


def test_signals_that_are_constant_say_nothing():
    members = halves(np.random.default_rng(0), 6, 50)
    np.testing.assert_array_equal(lira(np.ones(members.shape), members), 0.0)


def test_a_compound_that_the_other_trials_have_on_one_side_only_scores_nothing():
    generator = np.random.default_rng(0)
    members = halves(generator, 6, 30)
    members[:, 4], members[:, 5] = True, [True, False, False, False, False, False]
    scores = lira(generator.normal(size=members.shape), members)
    assert (scores[:, 4] == 0).all() and scores[0, 5] == 0 and (scores[1:, 5] != 0).all()


def test_several_signals_together_say_more_than_one():
    values, members, _ = normal_signals(2, 40, 1000, gap=1.0)
    more = values + np.random.default_rng(3).normal(size=values.shape) - np.random.default_rng(4).normal(size=values.shape)
    both = normal_signals(5, 40, 1000, gap=0.0)[0] + members
    assert at(combined([values, both], members), members, 0.01) > 1.3 * at(lira(values, members), members, 0.01)
    assert at(lira(more, members), members, 0.01) < at(lira(values, members), members, 0.01)


def test_weights_take_off_what_two_signals_have_in_common() -> None:
    values, members, _ = normal_signals(2, 8, 1500, gap=1.5)
    everybody, common = np.ones(1500, dtype=np.bool_), 20 * np.random.default_rng(3).normal(size=values.shape)
    both = [values + common, common]
    assert at(weighed(both, members, everybody), members, 0.01) > 3 * at(combined(both, members), members, 0.01)


def test_weighed_signals_that_know_nothing_are_at_chance() -> None:
    generator = np.random.default_rng(0)
    members = halves(generator, 8, 2500)
    scores = weighed([generator.normal(size=members.shape) for _ in range(6)], members, np.arange(2500) >= 300)
    assert roc_auc_score(members.ravel(), scores.ravel()) == pytest.approx(0.5, abs=0.02)
    assert at(scores, members, 0.001) < 0.003


@pytest.mark.parametrize("factor", [None, 0.3])
def test_rmia_is_the_share_of_compounds_that_the_trial_favours_less(factor):
    generator = np.random.default_rng(0)
    members, confidence = halves(generator, 6, 15), generator.uniform(0.05, 0.95, (6, 15))
    members[:2], members[2:4] = True, False  # so that all other trials always have both sides
    found = rmia(confidence, members, factor)
    for s in range(6):
        rest = np.arange(6) != s
        ratios = []
        for i in range(15):
            inside, outside = (confidence[rest & (members[:, i] == side), i].mean() for side in (True, False))
            ratios.append(confidence[s, i] / ((inside + outside) / 2 if factor is None else (1.3 * outside + 0.7) / 2))
        for i in range(15):
            assert found[s, i] == pytest.approx(np.mean([ratios[i] / z >= 1 for z in ratios]))


def test_rmia_sees_through_easy_and_difficult_compounds_with_four_trials():
    generator = np.random.default_rng(0)
    members = halves(generator, 4, 3000)
    difficulty = generator.gamma(1.0, 1.0, 3000) + 0.05
    loss = difficulty * np.where(members, 0.5, 1.0) * generator.lognormal(0, 0.2, members.shape)
    for factor in (None, 0.3):
        assert roc_auc_score(members.ravel(), rmia(np.exp(-loss), members, factor).ravel()) > 0.75
    assert roc_auc_score(members.ravel(), threshold(loss).ravel()) < 0.7


def audited(leak: dict[str, float], trials: int = 8, compounds: int = 1300, listed: bool = False) -> tuple[list[Trial], Pool]:
    """Trials whose signals know members by `leak` standard deviations, and are noise else."""
    generator = np.random.default_rng(1)
    own = {name: generator.normal(0, 2, compounds) for name in (*OUTSIDER, *TRUNK, *ROUNDS, *OTHERS)}
    pool = Pool(
        datasets={},
        owners=(np.arange(compounds) % 4).astype(np.int32),
        indptr=np.arange(0, 5 * compounds + 1, 5),
        indices=generator.integers(0, 64, 5 * compounds).astype(np.int32),
        structures=np.arange(compounds),
        active=np.arange(compounds) % 2 == 0,
        rare=np.arange(compounds) % 3 == 0,
        smiles=[],
    )
    made = []
    for _ in range(trials):
        members = halves(generator, 1, compounds)[0]
        signals = {name: own[name] + leak.get(name, 0.0) * members + generator.normal(size=compounds) for name in own}
        signals["loss"] = np.exp(0.3 * signals["loss"])
        supports = generator.random((3, 64)) < 0.7 if listed else np.ones((3, 64), dtype=np.bool_)
        rounded = {name: values.astype(np.float32) for name, values in signals.items()}
        made.append(Trial(members=members, listed=supports.sum(axis=0) >= 2, supports=supports, signals=rounded))
    return made, pool


@pytest.fixture(scope="module")
def leaky() -> AuditOutcome:
    trials, pool = audited({"coherence": 4.0, "loss": -3.0})
    return attack(scenario(pool, *trials, defences=OFF))


def test_a_trunk_that_tells_members_fails_its_gate_and_no_other(leaky):
    found = {each.name: each for each in leaky.findings}
    assert found["membership_trunk"].verdict is Verdict.FAIL and found["membership_trunk"].value > 0.2
    assert found["membership_trunk_rounds"].passes is True
    assert found["membership_rmia"].passes is None and found["membership_rmia_auc"].value > 0.85
    assert {each.defences for each in leaky.findings} == {OFF}
    assert {each.adversary for each in leaky.findings} == {"outsider", "partner"}


def test_every_attack_is_told_at_three_rates_as_auc_and_by_kind_of_compound(leaky):
    endings = {"", "_at_0", "_at_1_percent", "_auc", "_active", "_inactive", "_rare"}
    attacks = {"membership_lira", "membership_rmia", "membership_loss", "membership_trunk", "membership_trunk_rounds"}
    separated = {f"membership_separated{ending}" for ending in ("", "_at_0", "_at_1_percent", "_auc", "_alone")}
    assert {each.name for each in leaky.findings} == separated | {name + ending for name in attacks for ending in endings}
    assert len(leaky.curves) == len(attacks) + 1 and all(
        each.false_positives[-1] == each.true_positives[-1] == 1.0 for each in leaky.curves
    )
    assert all(0 <= each.lower <= each.value <= each.upper <= 1 for each in leaky.findings)


def test_signals_that_tell_nothing_pass_every_gate_the_row_list_too():
    trials, pool = audited({}, listed=True, compounds=1800)
    outcome = attack(scenario(pool, *trials))
    gated = {each.name: each.passes for each in outcome.findings if each.gate is not None}
    names = ["membership_trunk", "membership_trunk_rounds", "membership_support", "membership_partner", "membership_separated"]
    assert gated == dict.fromkeys(names, True)
    assert all(each.value == pytest.approx(0.5, abs=0.035) for each in outcome.findings if each.name.endswith("_auc"))
    assert len(outcome.curves) == 8


def test_what_is_left_without_ones_own_share_fails_its_gate_by_others_compounds_alone() -> None:
    trials, pool = audited({"steady_others": 4.0}, compounds=1800)
    (found,) = (each for each in attack(scenario(pool, *trials)).findings if each.name == "membership_separated")
    assert found.verdict is Verdict.FAIL and found.value > 0.3
    own = pool.owners == ATTACKER
    assert found.trials == sum(int((trial.members & ~own).sum()) for trial in trials)
    for trial in trials:  # its own compounds alone move
        trial.signals["steady_others"] -= 4.0 * (trial.members & ~own)
    (left,) = (each for each in attack(scenario(pool, *trials)).findings if each.name == "membership_separated")
    assert left.passes is True


def test_compounds_that_one_partner_alone_holds_are_told_by_themselves() -> None:
    trials, pool = audited({}, compounds=1800)
    twice = replace(pool, structures=np.where(np.arange(1800) < 400, np.arange(1800) // 2, np.arange(1800)))
    for trial in trials:  # what two partners hold is trained on by both, or by neither, and is plain to see
        trial.members[1:400:2] = trial.members[0:400:2]
        trial.signals["steady_others"] += 8.0 * (trial.members & (np.arange(1800) < 400))
    found = {each.name: each for each in attack(scenario(twice, *trials)).findings}
    assert found["membership_separated"].verdict is Verdict.FAIL
    assert found["membership_separated_alone"].value < 0.01 and found["membership_separated_alone"].gate is None


def test_a_row_list_that_tells_members_fails_its_gate():
    trials, pool = audited({}, listed=True)
    for trial in trials:  # the bits of twelve compounds are listed just where these are members
        trial.supports[:] = False
        trained = np.flatnonzero(trial.members[:12])
        trial.supports[:, pool.indices.reshape(-1, 5)[trained].ravel()] = True
    twelve = {name: getattr(pool, name)[:12] for name in ("owners", "structures", "active", "rare")}
    small = replace(pool, indptr=pool.indptr[:13], indices=pool.indices[:60], **twelve)
    cut = [
        replace(trial, members=trial.members[:12], signals={name: values[:12] for name, values in trial.signals.items()})
        for trial in trials
    ]
    found = {each.name: each for each in attack(scenario(small, *cut)).findings}
    assert found["membership_support"].verdict is Verdict.FAIL and found["membership_support_auc"].value > 0.8
