"""Pairs of rows: how they are counted, compared and judged."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from simulation.audit.row_pairs import chemistry, cosines, every_pair, judged, likeness, together, without_common
from tests.simulation.audit.linear_pool import fingerprints, linear_pool


def test_compounds_that_hold_both_bits_are_counted() -> None:
    pool, bits, chosen = linear_pool(), np.array([3, 17, 99]), np.arange(600) % 3 == 0
    held = fingerprints(pool)[chosen]
    expected = [[sum(compound[one] and compound[other] for compound in held) for other in bits] for one in bits]
    assert together(pool, bits, chosen).tolist() == expected


@given(seed=st.integers(0, 2**32), levels=st.integers(2, 6))
def test_each_area_is_scikit_learns_and_a_score_is_no_better_than_itself(seed: int, levels: int) -> None:
    generator, ends = np.random.default_rng(seed), every_pair(16)
    truth, scores = generator.random(120) < 0.5, generator.integers(levels, size=120).astype(float)  # with many ties
    found = judged([scores, -scores, scores], truth, np.ones(120, dtype=bool), ends, generator)
    if found is None:
        assert min(truth.sum(), (~truth).sum()) < 30
        return
    assert found.of(0).value == pytest.approx(roc_auc_score(truth, scores))
    assert found.of(1).value == pytest.approx(1 - found.of(0).value)
    same = found.difference(0, 2)
    assert (same.value, same.lower, same.upper, same.trials) == (0.0, 0.0, 0.0, 120)
    assert found.of(0).lower <= found.of(0).value <= found.of(0).upper


def test_only_pairs_that_are_asked_about_count() -> None:
    ends, generator = every_pair(20), np.random.default_rng(0)
    truth, asked = generator.random(190) < 0.5, np.arange(190) < 150
    scores = np.where(asked, truth, ~truth).astype(float)
    found = judged([scores], truth, asked, ends, generator)
    assert found is not None and (found.of(0).value, found.pairs) == (1.0, 150)


def test_fewer_than_thirty_pairs_of_a_kind_are_not_judged() -> None:
    truth = np.arange(190) < 29
    assert judged([truth.astype(float)], truth, np.ones(190, dtype=bool), every_pair(20), np.random.default_rng(0)) is None


def test_few_bits_make_pairs_less_sure_than_as_many_pairs_of_many_bits() -> None:
    """Scores depend on the first bit alone: 20 bits make 190 pairs, but no more than 20 facts."""
    generator, wide = np.random.default_rng(1), []
    for count in (20, 60):
        one, other = every_pair(count)
        chosen = generator.permutation(len(one))[:190]
        places = one[chosen], other[chosen]
        of_bit = generator.normal(size=count)
        scores = of_bit[places[0]] + of_bit[places[1]]
        truth = scores + generator.normal(size=190) > 0
        found = judged([scores], truth, np.ones(190, dtype=bool), places, generator)
        assert found is not None
        wide.append(found.of(0).upper - found.of(0).lower)
    assert wide[0] > wide[1]


def test_every_pair_is_there_once() -> None:
    assert sorted(zip(*every_pair(6), strict=True)) == list(combinations(range(6), 2))


def test_rows_and_bits_of_which_nothing_is_known_are_in_the_middle_and_never_not_a_number() -> None:
    ends = every_pair(12)
    assert not np.isnan(chemistry(np.zeros((12, 12), dtype=np.float32), ends)).any()
    assert likeness([np.zeros((12, 9), dtype=np.float32)] * 2, ends).tolist() == [0.0] * 66
    assert cosines(np.array([[3, 4], [0, 0], [-6, -8]], dtype=np.float32)).tolist() == [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]


def test_what_all_rows_have_in_common_is_taken_off() -> None:
    own, common = np.eye(5, 20, dtype=np.float32), np.zeros(20, dtype=np.float32)
    common[10] = 5
    np.testing.assert_allclose(without_common(own + common, 1), own, atol=0.35)
    assert np.abs(cosines(without_common(own + common, 1)) - np.eye(5)).max() < 0.3 < cosines(own + common).min()


def test_rows_of_the_same_compounds_are_more_alike_than_others() -> None:
    generator, ends = np.random.default_rng(2), every_pair(40)
    held = generator.random((30, 40)) < 0.1
    rows = [(held.T @ generator.normal(size=(30, 60))).astype(np.float32) for _ in range(3)]
    truth = (held.T.astype(int) @ held)[ends] > 0
    assert roc_auc_score(truth, likeness(rows, ends)) > 0.9
