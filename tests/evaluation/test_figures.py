"""Calibration, conformal sets, similarity and intervals against slow and plain renderings of their definitions."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit.DataStructs import BulkTanimotoSimilarity, ExplicitBitVect

from fedapp.evaluation.calibration import expected_calibration_error
from fedapp.evaluation.conformal import conformal_figures, conformal_sets
from fedapp.evaluation.intervals import mean_interval
from fedapp.evaluation.similarity import nearest_similarity, quarters

Scored = list[tuple[int, int, float]]
LOGITS = st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 2.0, 4.0])
SCORED = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), LOGITS), max_size=40)
BITS = 40
FINGERPRINTS = st.lists(st.sets(st.integers(0, BITS - 1), min_size=1, max_size=9), max_size=12)


def columns(scored: Scored) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(scored, dtype=float).reshape(-1, 3)
    return table[:, 0].astype(np.int32), table[:, 1].astype(np.float32), table[:, 2].astype(np.float32)


@given(st.lists(st.tuples(st.integers(0, 1), LOGITS), min_size=1, max_size=60))
def test_the_calibration_error_weighs_each_bin_by_its_labels(scored: list[tuple[int, float]]) -> None:
    bins: dict[int, list[tuple[int, float]]] = {}
    for label, logit in scored:
        probability = 1 / (1 + np.exp(-logit))
        bins.setdefault(int(probability * 10), []).append((label, probability))
    expected = sum(len(own) / len(scored) * abs(np.mean([y for y, _ in own]) - np.mean([p for _, p in own])) for own in bins.values())
    labels, logits = (np.array(each) for each in zip(*scored, strict=True))
    assert expected_calibration_error(labels, logits) == pytest.approx(expected, abs=1e-9)


def test_a_model_that_says_what_is_so_has_no_calibration_error() -> None:
    labels = np.array([1, 1, 1, 0])
    assert expected_calibration_error(labels, np.full(4, np.log(3))) == pytest.approx(0)
    assert expected_calibration_error(labels, np.full(4, 1000.0)) == pytest.approx(0.25)
    assert expected_calibration_error(np.empty(0), np.empty(0)) is None


@given(SCORED, SCORED, st.sampled_from([0.05, 0.1, 0.3, 0.5]))
def test_a_class_stays_while_enough_calibration_labels_of_it_are_as_strange(known: Scored, new: Scored, epsilon: float) -> None:
    sets = conformal_sets(*columns(known), columns(new)[0], columns(new)[2], epsilon)
    assert sets.shape == (len(new), 2)
    for row, (task, _, logit) in zip(sets, new, strict=True):
        for side, kept in enumerate(row):
            own = [other if side else -other for number, label, other in known if (number, label) == (task, side)]
            at_least = sum(value <= (logit if side else -logit) for value in own)
            assert kept == ((at_least + 1) / (len(own) + 1) > epsilon)


@given(SCORED, SCORED)
def test_efficiency_is_the_share_of_single_classes_and_coverage_that_of_sets_with_the_true_one(known: Scored, new: Scored) -> None:
    tasks, labels, logits = columns(new)
    sets = conformal_sets(*columns(known), tasks, logits, 0.3)
    efficiency, coverage = conformal_figures(sets, labels, tasks, 3)
    for task in range(3):
        own = [(row, int(label)) for row, label, number in zip(sets, labels, tasks, strict=True) if number == task]
        assert np.isnan(efficiency[task]) == np.isnan(coverage[task]) == (not own)
        if own:
            assert efficiency[task] == pytest.approx(np.mean([row.sum() == 1 for row, _ in own]))
            assert coverage[task] == pytest.approx(np.mean([row[label] for row, label in own]))


def test_sets_cover_each_class_as_often_as_they_should() -> None:
    draw = np.random.default_rng(3)
    labels = (draw.random(40_000) < 0.2).astype(np.float32)
    logits, tasks = draw.normal(labels * 2, 1).astype(np.float32), np.zeros(40_000, dtype=np.int32)
    half = slice(0, 20_000), slice(20_000, None)
    for epsilon in (0.05, 0.1):
        sets = conformal_sets(tasks[half[0]], labels[half[0]], logits[half[0]], tasks[half[1]], logits[half[1]], epsilon)
        for side in (0, 1):
            assert sets[labels[half[1]] == side, side].mean() == pytest.approx(1 - epsilon, abs=0.02)


def csr(fingerprints: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.cumsum([0, *map(len, fingerprints)])
    return indptr, np.array([bit for bits in fingerprints for bit in sorted(bits)], dtype=np.int32)


def vector(bits: set[int]) -> ExplicitBitVect:
    held = ExplicitBitVect(BITS)
    held.SetBitsFromList(sorted(bits))
    return held


@given(FINGERPRINTS, FINGERPRINTS)
def test_the_nearest_similarity_is_rdkits(these: list[set[int]], those: list[set[int]]) -> None:
    expected = [max(BulkTanimotoSimilarity(vector(bits), [vector(each) for each in those]), default=0.0) for bits in these]
    np.testing.assert_allclose(nearest_similarity(csr(these), csr(those), BITS), expected, rtol=1e-6)


def test_many_compounds_are_taken_in_several_chunks() -> None:
    many = [{number % BITS, (number * 7) % BITS} for number in range(1, 700)]
    np.testing.assert_array_equal(nearest_similarity(csr(many), csr(many), BITS), 1.0)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=50))
def test_quarters_are_in_order_and_equal_values_are_in_one(values: list[float]) -> None:
    table = pl.DataFrame({"value": values, "part": quarters(np.array(values))}).sort("value")
    assert table["part"].is_sorted() and set(table["part"]) <= {0, 1, 2, 3}
    assert table.group_by("value").agg(pl.col("part").n_unique())["part"].max() == 1
    assert len(quarters(np.empty(0))) == 0


def judged(effect: float, noise: float, groups: int = 60) -> pl.DataFrame:
    draw = np.random.default_rng(1)
    base = draw.uniform(0.4, 0.9, groups)
    columns = {"partner": "a", "group": [f"g{number}" for number in range(groups)]}
    return pl.DataFrame(columns | {"local": base, "other": base + effect + draw.normal(0, noise, groups)})


def test_an_interval_holds_the_mean_and_is_as_wide_as_the_central_limit_theorem_says() -> None:
    table = judged(0.05, 0.02)
    gain = mean_interval(table, pl.col("other") - pl.col("local"))
    spread = 1.96 * (table["other"] - table["local"]).std() / np.sqrt(len(table))
    assert gain.value == pytest.approx((table["other"] - table["local"]).mean())
    assert gain.high - gain.low == pytest.approx(2 * spread, rel=0.15)
    assert gain.sign == 1
    ratio = mean_interval(table, "other", over="local")
    assert ratio.value == pytest.approx(table["other"].mean() / table["local"].mean())
    assert ratio.low < ratio.value < ratio.high


def test_thresholds_of_one_target_are_no_independent_evidence() -> None:
    table = judged(0.0, 0.05)
    once, thrice = (mean_interval(each, pl.col("other") - pl.col("local")) for each in (table, pl.concat([table] * 3)))
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))


def test_few_groups_have_no_interval_and_undefined_tasks_no_say() -> None:
    table = judged(0.05, 0.02, groups=4)
    assert mean_interval(table, "other").low is None
    hole = pl.concat([table, table.with_columns(pl.lit(None, dtype=pl.Float64).alias("other"), pl.lit("h").alias("group"))])
    assert mean_interval(hole, "other").value == pytest.approx(mean_interval(table, "other").value)
