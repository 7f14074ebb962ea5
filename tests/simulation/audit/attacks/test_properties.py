"""What is told of the others as a whole: by the row list, and by sums whose cohorts change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import precision_score, recall_score

from simulation.audit.attacks.properties import (
    contributions,
    from_row_list,
    quality_findings,
    signals,
    spearman,
)
from simulation.audit.findings import ON

PARTNERS, BITS = 4, 60


# The row list


@given(seed=st.integers(0, 2**32), density=st.floats(0.1, 0.9), attacker=st.integers(0, PARTNERS - 1))
def test_a_listed_row_always_means_that_somebody_else_supports_its_bit(seed: int, density: float, attacker: int) -> None:
    supports = np.random.default_rng(seed).random((PARTNERS, BITS)) < density
    listed = supports.sum(axis=0) >= 2
    precision, recall = from_row_list(listed, supports, attacker, ON)
    others = np.delete(supports, attacker, axis=0).any(axis=0)
    if listed.any():
        assert precision.value == precision.upper == 1.0
        assert precision.value == precision_score(others, listed) and recall.value == recall_score(others, listed)
    assert precision.chance == pytest.approx(others.mean()) and recall.chance == pytest.approx(listed.mean())
    assert precision.lower <= precision.value <= precision.upper and recall.lower <= recall.value <= recall.upper
    assert precision.gate is None and precision.passes is None and "design" in precision.note


def test_with_every_row_listed_the_list_says_nothing() -> None:
    supports = np.random.default_rng(0).random((PARTNERS, BITS)) < 0.2
    precision, recall = from_row_list(np.ones(BITS, dtype=bool), supports, 0, ON)
    assert precision.value == precision.chance and recall.value == recall.chance == 1.0


def test_where_nothing_is_listed_nothing_is_named() -> None:
    precision, recall = from_row_list(np.zeros(BITS, dtype=bool), np.ones((PARTNERS, BITS), dtype=bool), 0, ON)
    assert (precision.value, precision.trials, recall.value) == (0.0, 0, 0.0)


# Amount and quality of data


SIZES = np.array([500.0, 3000.0, 1200.0, 250.0, 5200.0, 2100.0, 800.0])


def cohorts_of(rounds: int, generator: np.random.Generator, share: float = 0.2) -> list[list[int]]:
    """Everybody but those who drop out."""
    return [[partner for partner in range(len(SIZES)) if partner == 0 or generator.random() > share] for _ in range(rounds)]


def means_of(cohorts: list[list[int]], generator: np.random.Generator) -> list[list[np.ndarray]]:
    """Larger partners take more steps, so that their updates are longer; all have something in common, and rates fall."""
    common, means = generator.normal(size=(40, 5)), []
    for number, cohort in enumerate(cohorts):
        rate = 1 - 0.9 * number / len(cohorts)
        updates = [rate * np.sqrt(SIZES[partner] / 1000) * (common + generator.normal(size=common.shape)) for partner in cohort]
        means.append([np.mean(updates, axis=0).astype(np.float32), np.zeros(5, dtype=np.float32)])
    return means


def test_with_drop_outs_the_size_of_the_sums_ranks_partners_by_their_data() -> None:
    generator = np.random.default_rng(1)
    cohorts = cohorts_of(40, generator)
    found = quality_findings(signals(means_of(cohorts, generator)), cohorts, SIZES, 0, ON, generator)
    size = next(each for each in found if each.attack == "size of the sums")
    assert size.value > 0.9 and size.lower > 0 and size.gate is None
    assert "min_partners" in size.note


def test_an_own_validation_metric_ranks_partners_by_quality_as_they_come_and_go() -> None:
    generator = np.random.default_rng(2)
    cohorts, quality = cohorts_of(40, generator), np.linspace(-1, 1, len(SIZES))
    gains = [0.02 * np.exp(-number / 20) + 0.004 * np.mean(quality[cohort]) for number, cohort in enumerate(cohorts)]
    watched = signals(means_of(cohorts, generator), metrics=np.cumsum([0.5, *gains]).tolist())
    found = quality_findings(watched, cohorts, quality, 0, ON, generator)
    metric = next(each for each in found if each.attack == "own validation metric")
    assert metric.value > 0.9 and metric.lower > 0


def test_a_fixed_cohort_ranks_nobody() -> None:
    generator = np.random.default_rng(3)
    cohorts = [list(range(len(SIZES)))] * 20
    for each in quality_findings(signals(means_of(cohorts, generator), [0.5] * 21), cohorts, SIZES, 0, ON, generator):
        assert (each.value, each.lower, each.upper, each.chance) == (0.0, 0.0, 0.0, 0.0)
        assert "never changed" in each.note and each.trials == len(SIZES) - 1


def test_a_signal_that_has_nothing_to_do_with_the_cohort_is_at_chance() -> None:
    generator, values = np.random.default_rng(4), []
    for _ in range(60):
        cohorts = cohorts_of(30, generator)
        (found,) = quality_findings({"noise": generator.normal(size=30)}, cohorts, SIZES, 0, ON, generator)
        values.append((found.value, found.lower > 0))
    mean, seen = np.mean(values, axis=0)
    assert abs(mean) < 0.2  # four standard errors of 60 rank correlations of 6
    assert seen <= 0.1  # 2.5 % expected


@given(seed=st.integers(0, 2**32), rounds=st.integers(2, 30))
def test_what_presence_adds_is_found_exactly_where_nothing_else_moves_the_signal(seed: int, rounds: int) -> None:
    generator = np.random.default_rng(seed)
    cohorts, effects = cohorts_of(rounds, generator, 0.5), generator.normal(size=len(SIZES))
    signal = np.array([effects[cohort].sum() for cohort in cohorts]) + 0.3 * np.arange(rounds)
    added = contributions(signal, cohorts, len(SIZES))
    present = np.array([[partner in cohort for partner in range(len(SIZES))] for cohort in cohorts], dtype=float)
    changes = np.hstack([np.diff(present, axis=0), np.ones((rounds - 1, 1))])
    never = ~np.diff(present, axis=0).any(axis=0)
    assert np.all(added[never] == 0)
    if np.linalg.matrix_rank(changes) == changes.shape[1] - never.sum():
        assert np.allclose(added[~never], effects[~never])


def test_a_single_round_says_nothing() -> None:
    assert contributions(np.array([1.0]), [[0, 2]], 3).tolist() == [0, 0, 0]


def test_signals_are_norms_and_cosines_of_whole_updates() -> None:
    means = [[np.array([[3.0, 0.0]]), np.array([4.0])], [np.array([[0.0, 1.0]]), np.array([0.0])]]
    found = signals([[array.astype(np.float32) for array in each] for each in means], [0.5, 0.75, 0.625])
    assert np.allclose(found["size of the sums"], np.log([5, 1]))
    assert np.allclose(found["direction of the sums"], [25 / (5 * 26**0.5), 1 / 26**0.5])
    assert found["own validation metric"].tolist() == [0.25, -0.125]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_rank_correlation_is_scipys_with_ties_and_0_where_nobody_is_ranked(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, dtype=float).T
    if np.ptp(one) and np.ptp(other):
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    else:
        assert spearman(one, other) == 0.0
