"""Rates, intervals and curves, against scipy and scikit-learn, and against the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm
from sklearn.metrics import roc_auc_score, roc_curve

from simulation.audit.statistics import GuessScores, Ordered, above, area, at_most, curve, measured, newcombe, rate, true_positives
from tests.helpers.sweeps import examples

some_scores = st.lists(st.integers(0, 12), min_size=1, max_size=40)


def scored(generator: np.random.Generator, compounds: int, each: int, gap: float = 1.0, own: float = 0.8) -> GuessScores:
    """`each` normal scores of every compound, of which `own` of the variance is its own; half of the compounds are inside."""
    inside = np.arange(compounds) < compounds // 2
    values = np.sqrt(own) * generator.normal(size=(compounds, 1)) + np.sqrt(1 - own) * generator.normal(size=(compounds, each))
    return GuessScores((values + gap * inside[:, None]).ravel(), np.repeat(inside, each), np.repeat(np.arange(compounds), each))


@examples(40)
@given(st.integers(1, 3000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_a_rate_has_the_exact_binomial_interval(case):
    successes, trials = case
    found, expected = rate(successes, trials), binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert (found.value, found.trials) == (successes / trials, trials)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("truth", [0.001, 0.02, 0.5, 0.93])
def test_the_interval_of_a_rate_holds_the_truth_in_95_of_100_cases(truth):
    cases = [rate(successes, 120) for successes in range(121)]
    holds = [each.lower <= truth <= each.upper for each in cases]
    assert binom.pmf(np.arange(121), 120, truth)[holds].sum() >= 0.95


@pytest.mark.parametrize(("successes", "trials"), [(0, 2995), (3, 500), (10, 10)])
def test_an_upper_limit_by_itself_is_missed_by_one_truth_in_twenty(successes, trials):
    share = at_most(rate(successes, trials), successes)
    assert (share.value, share.lower) == (rate(successes, trials).value, rate(successes, trials).lower)
    assert share.upper == pytest.approx(binomtest(successes, trials, alternative="less").proportion_ci(0.95, "exact").high)
    assert share.upper <= rate(successes, trials).upper


def test_a_rate_of_no_trials_says_nothing_and_one_above_1_is_refused():
    found = rate(0, 0)
    assert np.isnan(found.value) and (found.lower, found.upper) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no share"):
        rate(3, 2)


@examples(40)
@given(some_scores, some_scores, st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.3, 0.5]))
def test_true_positives_are_those_of_the_roc_curve_at_the_last_allowed_point(inside, outside, most):
    labels = np.repeat([1, 0], [len(inside), len(outside)])
    false, true, _ = roc_curve(labels, np.array(inside + outside), drop_intermediate=False)
    assert true_positives(np.array(inside), np.array(outside), most).value == pytest.approx(true[false <= most + 1e-9].max())


def test_scores_that_are_all_equal_recognise_nobody():
    assert true_positives(np.zeros(50), np.zeros(50), 0.01).value == 0.0


@examples(40)
@given(some_scores, some_scores, st.integers(0, 2**32))
def test_weighted_totals_give_the_weighted_roc_curve(inside, outside, seed):
    scores, labels = np.array(inside + outside, dtype=float), np.repeat([True, False], [len(inside), len(outside)])
    weights = np.random.default_rng(seed).integers(1, 4, len(scores)).astype(float)
    ordered = Ordered.of(GuessScores(scores, labels, np.arange(len(scores))))
    order = np.argsort(-scores, kind="stable")
    true, false = ordered.totals(weights[order])
    assert area(true, false) == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    expected_false, expected_true, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    np.testing.assert_allclose(true / true[-1], expected_true)
    np.testing.assert_allclose(false / false[-1], expected_false)
    assert above(true, false, 0.0) == pytest.approx(expected_true[expected_false == 0].max())


def test_scores_of_one_compound_in_many_trials_count_little_more_than_one():
    generator = np.random.default_rng(1)
    once = scored(generator, 300, 1)
    often = GuessScores(*(np.repeat(values, 20) for values in (once.scores, once.inside, once.compounds)))
    (single,), single_area = measured(once, [0.1], generator)
    (repeated,), repeated_area = measured(often, [0.1], generator)
    naive = true_positives(often.scores[often.inside], often.scores[~often.inside], 0.1)
    assert repeated.value == naive.value and repeated.trials == naive.trials == 3000
    assert repeated.upper - repeated.lower > 3 * (naive.upper - naive.lower)
    assert repeated.upper - repeated.lower == pytest.approx(single.upper - single.lower, rel=0.2)
    assert repeated_area.upper - repeated_area.lower == pytest.approx(single_area.upper - single_area.lower, rel=0.2)


def test_intervals_of_dependent_scores_hold_the_truth_about_as_often_as_they_say():
    true_share, true_area = norm.sf(norm.isf(0.1) - 1), norm.cdf(1 / np.sqrt(2))
    shares = areas = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        (share,), found = measured(scored(generator, 120, 4), [0.1], generator)
        shares += share.lower <= true_share <= share.upper
        areas += found.lower <= true_area <= found.upper
    assert shares >= 36 and areas >= 36


def test_nobody_recognised_among_few_compounds_is_no_proof():
    inside = np.repeat([True, False], 100)
    nothing = GuessScores(np.where(inside, 0.0, 1.0), inside, np.repeat(np.arange(20), 10))
    (found,), auc = measured(nothing, [0.0], np.random.default_rng(0))
    assert found.value == 0.0 and found.upper >= rate(0, 10).upper and auc.value == 0.0


@examples(20)
@given(st.integers(0, 2**32), st.integers(2, 3000), st.integers(2, 3000))
def test_a_curve_has_few_points_of_the_roc_curve_and_both_ends(seed, inside, outside):
    generator = np.random.default_rng(seed)
    members, others = generator.normal(1, 1, inside).round(2), generator.normal(0, 1, outside).round(2)
    false, true = curve(members, others)
    all_false, all_true, _ = roc_curve(np.repeat([1, 0], [inside, outside]), np.concatenate([members, others]), drop_intermediate=False)
    known = set(zip(all_false.round(9), all_true.round(9), strict=True))
    assert {(round(f, 9), round(t, 9)) for f, t in zip(false, true, strict=True)} <= known
    assert len(false) <= 200 and false == sorted(false) and true == sorted(true)
    assert (false[0], true[0], false[-1], true[-1]) == (0.0, 0.0, 1.0, 1.0)


def test_a_thinned_curve_keeps_the_points_of_the_smallest_rates():
    generator = np.random.default_rng(0)
    members, others = generator.normal(1, 1, 20_000), generator.normal(0, 1, 20_000)
    false, true = curve(members, others)
    assert sum(0 < each <= 0.001 for each in false) >= 10
    place = np.searchsorted(false, 0.001, side="right") - 1
    assert true[place] == pytest.approx(true_positives(members, others, 0.001).value, abs=0.002)


def test_scores_that_are_no_numbers_or_of_one_kind_are_refused():
    with pytest.raises(ValueError, match="not a number"):
        GuessScores(np.array([0.0, np.nan]), np.array([True, False]), np.arange(2))
    with pytest.raises(ValueError, match="both kinds"):
        GuessScores(np.array([0.0, 1.0]), np.array([True, True]), np.arange(2))


def test_newcombes_interval_is_that_of_his_paper() -> None:
    """56 of 70 against 48 of 80, and 9 of 10 against 3 of 10: table II of the paper, method 10."""
    assert newcombe(56, 70, 48, 80, 0.05) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert newcombe(9, 10, 3, 10, 0.05) == pytest.approx((0.1705, 0.8090), abs=1e-4)


def test_newcombes_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    drawn = zip(generator.binomial(80, 0.3, 300), generator.binomial(60, 0.25, 300), strict=True)
    covered = sum(low <= 0.05 <= high for low, high in (newcombe(int(one), 80, int(other), 60, 0.05) for one, other in drawn))
    assert binomtest(covered, 300, 0.95).pvalue > 1e-3
