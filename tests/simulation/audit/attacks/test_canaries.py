"""The bound on epsilon: by definition, on mechanisms whose epsilon is known, on a training that protects nothing, and in federations."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import beta, binom, norm

from fedapp.config import Config, Training
from fedapp.data.labels import Labels
from fedapp.errors import DataError
from fedapp.model.network import Heads, Trunk, trunk_arrays
from fedapp.model.training import optimiser, train
from fedapp.privacy.budget import BudgetError
from simulation.audit.attacks.canaries import (
    CANARIES,
    Bound,
    attack,
    audit,
    bits_to_draw,
    canaries,
    canary_scores,
    epsilon_lower_bound,
    finding,
    p_value,
    with_canaries,
)
from simulation.audit.findings import OFF, ON
from simulation.audit.signals import Rounds
from simulation.federation import Guarded
from tests.helpers.sweeps import examples
from tests.model.synthetic import dataset
from tests.simulation.audit.demo_pool import demo_config, demo_pool, scenario

cases = st.integers(1, 300).flatmap(
    lambda m: st.integers(1, m).flatmap(lambda r: st.tuples(st.integers(0, r), st.just(r), st.just(m), st.floats(0.0, 6.0)))
)


@examples(40)
@given(cases, st.sampled_from([0.0, 1e-6, 1e-3, 0.1]))
def test_the_p_value_is_that_of_theorem_5_2(case, delta):
    right, guesses, count, epsilon = case
    chance = np.exp(epsilon) / (1 + np.exp(epsilon))
    steps = np.arange(1, count + 1)
    below = binom.cdf(right - 1, guesses, chance) - binom.cdf(right - steps - 1, guesses, chance)
    expected = binom.sf(right - 1, guesses, chance) + delta * count * (2 / steps * below).max()
    assert p_value(right, guesses, count, epsilon, delta) == pytest.approx(min(expected, 1.0), abs=1e-9)


@pytest.mark.parametrize(("right", "guesses"), [(60, 100), (95, 100), (100, 100), (700, 1000)])
def test_without_delta_the_bound_is_the_logit_of_the_exact_lower_limit_of_the_accuracy(right, guesses):
    expected = logit(beta.ppf(0.05, right, guesses - right + 1))
    assert epsilon_lower_bound(right, guesses, 1000) == pytest.approx(max(expected, 0.0), abs=1e-6)


@examples(25)
@given(cases, st.sampled_from([0.0, 1e-5, 1e-2]))
def test_more_right_guesses_never_lower_the_bound_and_a_larger_delta_never_raises_it(case, delta):
    right, guesses, count, _ = case
    bound = epsilon_lower_bound(right, guesses, count, delta)
    assert bound <= epsilon_lower_bound(guesses, guesses, count, delta) + 1e-9
    assert epsilon_lower_bound(right, guesses, count, delta + 0.01) <= bound + 1e-9


def test_half_of_the_guesses_right_show_nothing_and_impossible_numbers_are_refused():
    assert epsilon_lower_bound(50, 100, 100) == 0.0 and epsilon_lower_bound(0, 0, 10) == 0.0
    with pytest.raises(ValueError, match="guesses"):
        p_value(5, 4, 10, 1.0, 0.0)


def randomised_response(seed: int, count: int, epsilon: float, delta: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Each canary's truth is told with the chance that epsilon allows, and with chance `delta` it is shouted; scores and truth."""
    generator = np.random.default_rng(seed)
    included = generator.random(count) < 0.5
    said = np.where(generator.random(count) < expit(epsilon), included, ~included).astype(float)
    shouted = generator.random(count) < delta
    return np.where(shouted, np.where(included, 2.0, -1.0), said) + 1e-6 * generator.random(count), included


@pytest.mark.parametrize(("epsilon", "delta"), [(0.5, 0.0), (1.0, 0.0), (3.0, 0.0), (1.0, 0.01)])
def test_the_bound_stays_below_the_true_epsilon_in_95_of_100_runs(epsilon, delta):
    bounds = [audit(*randomised_response(seed, 400, epsilon, delta), delta).epsilon for seed in range(100)]
    assert sum(bound <= epsilon for bound in bounds) >= 95


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_many_canaries_bring_the_bound_near_the_true_epsilon(epsilon):
    bound = audit(*randomised_response(0, 40_000, epsilon), 0.0, shares=(1.0,))
    assert 0.9 * epsilon < bound.epsilon <= epsilon


def test_no_leak_gives_no_epsilon_in_95_of_100_runs_though_the_best_of_several_is_taken():
    generator = np.random.default_rng(0)
    found = [audit(generator.normal(size=500), generator.random(500) < 0.5, 0.0).epsilon for _ in range(200)]
    assert sum(epsilon > 0 for epsilon in found) <= 10


def test_passing_over_doubtful_canaries_of_a_gaussian_mechanism_shows_more_and_never_too_much():
    generator, distance, delta = np.random.default_rng(0), 2.0, 1e-5
    truth = brentq(lambda e: norm.cdf(distance / 2 - e / distance) - np.exp(e) * norm.cdf(-distance / 2 - e / distance) - delta, 0, 30)
    included = generator.random(20_000) < 0.5
    scores = generator.normal(size=20_000) + distance * included
    few, all_of_them = (audit(scores, included, delta, shares=(share,)).epsilon for share in (1 / 8, 1.0))
    assert 1.5 < all_of_them < few < truth


def test_equal_scores_are_no_knowledge():
    included = np.random.default_rng(0).random(1000) < 0.5
    assert audit(np.zeros(1000), included, 0.0).epsilon < 0.1


def test_canaries_are_distinct_combinations_of_allowed_bits():
    allowed = np.zeros(500, dtype=np.bool_)
    allowed[100:200] = True
    made = canaries(allowed, tasks=6, count=50, size=12, labels=3, generator=np.random.default_rng(0))
    rows = made.x_indices.reshape(50, 12)
    assert (np.diff(rows, axis=1) > 0).all() and rows.min() >= 100 and rows.max() < 200
    assert len({row.tobytes() for row in rows}) == 50
    assert made.labels.indptr.tolist() == list(range(0, 151, 3))
    assert (np.diff(made.labels.tasks.reshape(50, 3), axis=1) > 0).all() and set(np.unique(made.labels.values)) == {0, 1}


def test_where_no_bit_is_listed_that_the_first_partner_supports_no_canary_can_be_made():
    pool = demo_pool()
    supports = np.ones((3, pool.bits), dtype=np.bool_)
    assert np.array_equal(np.flatnonzero(bits_to_draw(pool, Guarded(supports, supports[0]))), np.unique(pool.indices))
    supports[0] = False
    with pytest.raises(DataError, match="no canary"):
        bits_to_draw(pool, Guarded(supports, supports[1]))


def test_included_canaries_lie_behind_the_compounds_and_nothing_else_changes():
    own = dataset(compounds=30, bits=256, tasks=6)
    made = canaries(np.ones(256, dtype=np.bool_), 6, count=10, size=20, labels=2, generator=np.random.default_rng(0))
    included = np.arange(10) % 3 == 0
    both = with_canaries(own, made, included, fold=4)
    assert len(both.folds) == 34 and (both.folds[30:] == 4).all() and both.tasks is own.tasks
    for before, after in zip(own.fingerprints(np.arange(30)), both.fingerprints(np.arange(30)), strict=True):
        np.testing.assert_array_equal(before, after)
    assert_equal_labels(both.labels.of(np.arange(30)), own.labels)
    for place, canary in enumerate(np.flatnonzero(included)):
        _, bits = both.fingerprints(np.array([30 + place]))
        np.testing.assert_array_equal(bits, made.x_indices.reshape(10, 20)[canary])
        assert_equal_labels(both.labels.of(np.array([30 + place])), made.labels.of(np.array([canary])))


def assert_equal_labels(these: Labels, those: Labels) -> None:
    for name, column in vars(these).items():
        np.testing.assert_array_equal(column, getattr(those, name))


@pytest.fixture(scope="module")
def run() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of 300 canaries in a training with half of them, which half, and their scores in a training with none of them."""
    own, generator = dataset(compounds=200, bits=2048, tasks=6), np.random.default_rng(0)
    made = canaries(np.ones(2048, dtype=np.bool_), 6, count=300, size=20, labels=3, generator=generator)
    included = generator.random(300) < 0.5
    settings = Training(batch_size=32, local_epochs=2, learning_rate=0.004, last_learning_rate=0.004, weight_decay=2e-5)
    found = []
    for data in (with_canaries(own, made, included, 2), own):
        data = replace(data, folds=np.zeros(len(data.folds), np.uint8))
        trunk, heads = Trunk(data.bits, [32], 0), Heads(32, 6, 0, "alpha")
        adam, rounds = optimiser(trunk, heads, settings), Rounds([trunk_arrays(trunk)], [])
        for number in range(3):
            train(trunk, heads, adam, data, data.rows_in([0]), settings=settings, dropout=0.4, seed=number)
            rounds.trunks.append(trunk_arrays(trunk))
            rounds.means.append([new - old for old, new in zip(*rounds.trunks[-2:], strict=True)])
        found.append(canary_scores(made, rounds))
    return found[0], included, found[1]


def test_training_that_protects_nothing_gives_its_canaries_away(run):
    scores, included, _ = run
    assert audit(scores, included, 1e-6).epsilon > 1.0


def test_a_trunk_that_saw_no_canary_gives_none_away(run):
    _, included, scores = run
    assert audit(scores, included, 1e-6).epsilon < 0.2


def test_the_gate_is_the_stated_epsilon_if_there_is_one():
    bound = Bound(2.0, 90, 100, 400)
    assert finding(bound, ON, 3.0).passes is True and finding(bound, ON, 1.0).passes is False
    told = finding(bound, OFF, None)
    assert told.passes is None and told.lower == told.value == 2.0 and told.upper == pytest.approx(logit(beta.ppf(0.975, 91, 10)))


# In whole federations of real compounds


STATED = 2.0
LONG = ("federation.rounds=8", "privacy.row_guard=0", "training.batch_size=32", "model.hidden=[64]")


def private(epsilon: float) -> Config:
    """With noise that keeps an epsilon of 2 for the smallest partner, which samples each compound most often."""
    return demo_config(
        *LONG, "privacy.profile=record_dp", f"privacy.epsilon={epsilon}", "privacy.delta=0.00001", "privacy.noise_multiplier=4.0"
    )


def test_under_record_level_privacy_canaries_never_show_more_than_the_stated_epsilon() -> None:
    found, curve = attack(scenario(demo_pool(), config=private(STATED))).findings
    assert (found.gate, found.trials) == (STATED, CANARIES)
    assert found.passes
    assert (curve.name, curve.gate) == ("canary_gaussian", None)


def test_without_it_the_same_canaries_show_more_than_that() -> None:
    found, curve = attack(scenario(demo_pool(), defences=OFF, config=demo_config(*LONG))).findings
    assert found.gate is None
    assert found.value > STATED
    assert curve.value > 1.0


def test_a_budget_that_the_noise_does_not_keep_ends_the_training() -> None:
    with pytest.raises(BudgetError):
        attack(scenario(demo_pool(), config=private(0.5)))
