"""What guesses show of Gaussian differential privacy, where it is known how far two normal curves lie apart."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from simulation.audit.attacks.canaries import audit, audit_gaussian
from simulation.audit.gaussian_bound import FARTHEST, LARGEST, epsilon_of, gaussian_lower_bound, refuted


def normal_scores(seed: int, count: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of canaries in noise of variance 1, higher by `distance` for those trained on; and which these are."""
    generator = np.random.default_rng(seed)
    included = generator.random(count) < 0.5
    return generator.normal(size=count) + distance * included, included


@pytest.mark.parametrize("distance", [0.0, 1.0])
def test_the_bound_lies_beyond_the_true_distance_in_no_more_than_5_of_100_runs_but_for_chance(distance: float) -> None:
    bounds = [audit_gaussian(*normal_scores(seed, 200, distance)) for seed in range(50)]
    assert sum(bound > distance for bound in bounds) <= 6  # more of 50 happen once in 90 times, if 5 of 100 do


def test_many_canaries_bring_the_bound_near_the_true_distance_and_nearer_to_the_true_epsilon_than_without_the_curve() -> None:
    scores, included = normal_scores(0, 2_000, 1.0)
    bound, delta = audit_gaussian(scores, included), 1e-5
    assert 0.5 < bound <= 1.0
    assert audit(scores, included, delta).epsilon < epsilon_of(bound, delta) <= epsilon_of(1.0, delta)


def test_half_of_the_guesses_right_show_nothing_and_all_of_many_show_most() -> None:
    assert gaussian_lower_bound(50, 100, 100, 0.05) == gaussian_lower_bound(0, 10, 10, 0.05) == 0.0
    assert 2.0 < gaussian_lower_bound(1_000, 1_000, 1_000, 0.05) < FARTHEST


def test_what_is_refuted_of_a_distance_is_refuted_of_every_smaller_one() -> None:
    told = [refuted(90, 100, 400, mu, 0.05) for mu in np.linspace(0, 6, 61)]
    assert told == sorted(told, reverse=True) and told[0] and not told[-1]


@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
def test_the_epsilon_of_a_distance_is_where_the_excess_of_the_densities_ratio_is_delta(mu: float) -> None:
    epsilon, delta = epsilon_of(mu, 1e-4), 1e-4
    excess, _ = quad(
        lambda x: max(norm.pdf(x, mu) - np.exp(epsilon) * norm.pdf(x), 0.0), -20, 20, points=[epsilon / mu + mu / 2], limit=500
    )
    assert excess == pytest.approx(delta, rel=1e-3)


def test_no_distance_is_no_epsilon_and_a_far_one_the_largest() -> None:
    assert epsilon_of(0.0, 1e-6) == 0.0 and epsilon_of(1e-9, 1e-6) == 0.0
    assert epsilon_of(FARTHEST, 1e-6) == LARGEST
