"""What is computed of compounds that nobody trained on, by definition, and on trunks that learned something that is known."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from simulation.audit.fresh_signals import (
    CHANGE,
    KNOWN_LIST,
    LIST,
    ROWS,
    UPDATE,
    agreement,
    list_signals,
    partner_signals,
    row_list_signals,
    series_signals,
    target_signals,
)
from simulation.audit.signals import TRUNK, Rounds
from tests.helpers.sweeps import examples

BITS, WIDTH, TARGETS = 400, 32, 12
SIGNS = np.repeat([1.0, -1.0], 5)
seeds = st.integers(0, 2**32)


def compounds(count: int, seed: int) -> csr_array:
    """Random fingerprints of about forty bits."""
    return csr_array((np.random.default_rng(seed).random((count, BITS)) < 0.1).astype(np.float32))


def trunk(first: np.ndarray) -> list[np.ndarray]:
    return [first.astype(np.float32), np.zeros(WIDTH, dtype=np.float32)]


def learned(known: csr_array, truth: np.ndarray, seed: int) -> Rounds:
    """A first trunk, and one that moved actives and inactives of the targets in play, and random compounds beside, apart."""
    generator = np.random.default_rng(seed)
    first, change = generator.normal(size=(BITS, WIDTH)), 0.2 * generator.normal(size=(BITS, WIDTH))
    for target in np.flatnonzero(truth):
        change += np.outer(SIGNS @ known[10 * target : 10 * target + 10].toarray(), generator.normal(size=WIDTH))
    return Rounds([trunk(first), trunk(first + 0.5 * change), trunk(first + change)], [])


@examples(20)
@given(seeds, st.integers(1, 4))
def test_agreement_is_the_mean_over_pairs_of_their_cosine_times_their_labels(seed: int, targets: int) -> None:
    vectors, expected = np.random.default_rng(seed).normal(size=(targets * 10, 3)), []
    for own in vectors.reshape(targets, 10, 3):
        about = own - own.mean(axis=0)
        pairs = [(one, other) for one, other in permutations(range(10), 2)]
        lengths = np.linalg.norm(about, axis=1)
        expected.append(np.mean([SIGNS[i] * SIGNS[j] * (about[i] @ about[j]) / lengths[i] / lengths[j] for i, j in pairs]))
    np.testing.assert_allclose(agreement(vectors, targets), expected, atol=1e-6)


def test_agreement_is_1_where_labels_are_all_there_is_and_0_where_all_compounds_are_alike() -> None:
    assert agreement(np.outer(SIGNS, [2.0, 1.0]), 1) == pytest.approx(1)
    assert agreement(np.ones((10, 2)), 1) == 0


def test_trunks_that_learned_a_target_say_so_and_of_other_targets_they_do_not() -> None:
    known, truth = compounds(TARGETS * 10, 1), np.arange(TARGETS) % 2 == 0
    for name, values in target_signals(known, TARGETS, learned(known, truth, 2)).items():
        assert values[truth].min() > values[~truth].max(), name


def test_of_a_trunk_that_never_moved_nothing_is_told() -> None:
    known = compounds(20, 3)
    first = trunk(np.random.default_rng(0).normal(size=(BITS, WIDTH)))
    told = target_signals(known, 2, Rounds([first, first], []))
    assert not any(told[name].any() for name in told if name != CHANGE)
    np.testing.assert_allclose(told[CHANGE], -agreement(known.toarray(), 2), atol=1e-6)


def test_series_that_trunks_learned_moved_more_than_others() -> None:
    known, generator = compounds(12, 4), np.random.default_rng(5)
    first = generator.normal(size=(BITS, WIDTH))
    change = 0.1 * generator.normal(size=(BITS, WIDTH)) + np.outer(known[:3].sum(axis=0), generator.normal(size=WIDTH))
    told = series_signals(known, 4, Rounds([trunk(first), trunk(first + change)], []))
    assert set(told) == set(TRUNK)
    assert told["movement"].argmax() == told["coherence"].argmax() == 0


@examples(20)
@given(seeds)
def test_a_series_is_listed_as_often_as_its_analogues_bits_are_supported(seed: int) -> None:
    known, counts = compounds(6, seed), np.random.default_rng(seed).integers(0, 8, BITS)
    expected = [np.mean([counts[bit] for row in range(start, start + 3) for bit in known[[row]].indices]) for start in (0, 3)]
    np.testing.assert_allclose(list_signals(known, 2, counts)[LIST], expected, rtol=1e-5)


def test_partners_are_told_by_norms_and_by_counts_of_rows() -> None:
    assert partner_signals(np.array([[[3.0, 4.0]], [[0.0, 1.0]]], dtype=np.float32))[UPDATE].tolist() == [5, 1]
    supports = np.zeros((2, BITS), dtype=bool)
    supports[0, :10], supports[1, :3] = True, True
    known = [csr_array(np.eye(1, BITS, place, dtype=np.float32)) for place in (1, 7)]
    told = row_list_signals(supports, known)
    assert told[ROWS].tolist() == [10, 3] and told[KNOWN_LIST].tolist() == [2, 1]
    assert row_list_signals(supports, [known[0][:0], known[1]])[KNOWN_LIST].tolist() == [0, 1]


def test_where_nothing_can_be_asked_nothing_is_computed() -> None:
    none, rounds = compounds(1, 0)[:0], Rounds([trunk(np.ones((BITS, WIDTH)))], [])
    told = target_signals(none, 0, rounds) | series_signals(none, 0, rounds) | list_signals(none, 0, np.ones(BITS, dtype=int))
    assert len(told) == 7 and all(values.shape == (0,) for values in told.values())
