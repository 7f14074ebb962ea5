"""How much of updates each candidate explains."""

import numpy as np
import pytest

from simulation.audit.regression import Structures, explained
from simulation.audit.signals import Rounds
from strategies.update.leakage import Library
from strategies.update.regression import RIDGE, Regression


def test_a_regression_finds_whose_vectors_are_in_a_plain_sum() -> None:
    random = np.random.default_rng(0)
    dense = random.random((60, 2000)) < 0.1
    vectors = random.normal(size=(60, 8))
    vectors[30:] = 0
    indptr = np.concatenate([[0], np.cumsum(dense.sum(axis=1))])
    library = Library(indptr, np.nonzero(dense)[1].astype(np.int32), 2000)
    scores = Regression.on(library, np.ones(2000, dtype=bool)).lengths((dense.T @ vectors).astype(np.float32))
    assert scores[:30].min() > 3 * scores[30:].max()


@pytest.mark.parametrize("bits", [40, 300])
def test_a_regression_is_that_of_the_normal_equations_with_more_rows_than_candidates_or_fewer(bits: int) -> None:
    random = np.random.default_rng(0)
    dense, update = random.random((60, bits)) < 0.2, random.normal(size=(bits, 8)).astype(np.float32)
    library = Library(np.concatenate([[0], np.cumsum(dense.sum(axis=1))]), np.nonzero(dense)[1].astype(np.int32), bits)
    listed = random.random(bits) < 0.9
    held = dense[:, listed].astype(np.float64)
    expected = np.linalg.solve(held @ held.T + RIDGE * np.eye(60), held @ update[listed])
    found = Regression.on(library, listed).vectors(update[listed])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_compounds_of_one_structure_explain_alike_and_those_of_a_sum_most() -> None:
    random = np.random.default_rng(0)
    dense = random.random((30, 500)) < 0.2
    dense = np.concatenate([dense, dense[:5]])  # five structures that two partners hold
    structures, columns = np.concatenate([np.arange(30), np.arange(5)]), np.flatnonzero(dense.any(axis=0))
    vectors = np.where(np.arange(30)[:, None] < 10, random.normal(size=(30, 8)), 0.0)
    update = (dense[:30].T @ vectors).astype(np.float32)[columns]
    library = Library(np.concatenate([[0], np.cumsum(dense.sum(axis=1))]), np.nonzero(dense)[1].astype(np.int32), 500)
    rounds = Rounds([[np.zeros_like(update)], [update], [2 * update]], [[update], [update]])
    scores = explained(Structures.of(library, structures, columns), rounds, every=True)
    assert scores[:10].min() > scores[10:30].max()
    assert scores[30:].tolist() == scores[:5].tolist()
