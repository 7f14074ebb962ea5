"""Which rows a partner supports, chosen with noise."""

import numpy as np
import pytest

from fedapp.privacy.accounting import epsilon
from fedapp.privacy.noise import Noise
from fedapp.privacy.noisy_support import MARGIN, MOST_BITS, at_most, noisy_support, support_event

KEY = bytes(32)
EVENT = support_event(8.0, 1e-6)


def csr(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero(dense)
    return np.searchsorted(rows, np.arange(len(dense) + 1)), columns.astype(np.int32)


def test_bits_of_many_compounds_are_chosen_and_bits_of_none_hardly_ever() -> None:
    dense = np.zeros((2000, 4000), dtype=bool)
    dense[:, :50] = True
    chosen = noisy_support(*csr(dense), 4000, 10, EVENT, Noise(KEY))
    assert chosen[:50].all()
    assert chosen[50:].mean() < 0.02


def test_the_noise_has_the_deviation_that_is_paid_for() -> None:
    scale = EVENT.noise_multiplier * MOST_BITS**0.5
    guard = 100
    holders = round(guard + MARGIN * scale)  # then a bit is chosen with probability 1/2, and one deviation below with 0.159
    for shift, expected in ((0.0, 0.5), (scale, 0.159), (-scale, 0.841)):
        dense = np.zeros((holders, 30_000), dtype=bool)
        indptr, indices = csr(dense)
        chosen = noisy_support(indptr, indices, 30_000, round(shift - MARGIN * scale), EVENT, Noise(KEY))
        assert chosen.mean() == pytest.approx(expected, abs=0.015)


def test_a_compound_counts_for_at_most_so_many_of_its_bits_each_of_them_its_own() -> None:
    dense = np.random.default_rng(0).random((30, 400)) < np.linspace(0, 0.5, 30)[:, None]
    indptr, indices = csr(dense)
    for row in range(30):
        bits = indices[indptr[row] : indptr[row + 1]]
        kept = at_most(MOST_BITS, np.array([0, len(bits)]), bits, Noise(KEY))
        assert len(kept) == len(set(kept)) == min(len(bits), MOST_BITS)
        assert set(kept) <= set(bits)
    together = at_most(MOST_BITS, indptr, indices, Noise(KEY))
    assert len(together) == np.minimum(np.diff(indptr), MOST_BITS).sum()


def test_one_compound_more_moves_the_counts_by_no_more_than_the_sensitivity() -> None:
    dense = np.random.default_rng(1).random((40, 300)) < 0.4
    before, after = (np.bincount(at_most(MOST_BITS, *csr(dense[:rows]), Noise(KEY)), minlength=300) for rows in (39, 40))
    assert np.linalg.norm(after - before) == pytest.approx(MOST_BITS**0.5)


def test_all_bits_of_a_compound_with_too_many_are_counted_equally_often() -> None:
    dense = np.ones((4000, 128), dtype=bool)
    counts = np.bincount(at_most(MOST_BITS, *csr(dense), Noise(KEY)), minlength=128)
    assert counts.sum() == 4000 * MOST_BITS
    assert np.abs(counts - 2000).max() < 5 * 32


@pytest.mark.parametrize("budget", [0.5, 1.0, 3.0, 8.0, 50.0])
def test_choosing_rows_leaves_most_of_the_budget(budget: float) -> None:
    assert epsilon([support_event(budget, 1e-6)], 1e-6) < 0.4 * budget
