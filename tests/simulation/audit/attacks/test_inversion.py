"""Fingerprints by optimisation."""

import numpy as np
import torch

from simulation.audit.attacks.inversion import Problem, control_findings, control_step, findings, invert, mismatch, tanimoto
from simulation.audit.federations import Trial
from simulation.audit.findings import CONTROL, ON
from strategies.update.leakage import Library
from tests.simulation.audit.demo_pool import demo_datasets, demo_pool


def test_four_compounds_of_one_plain_step_are_found() -> None:
    (found,) = control_findings(demo_datasets()["partner-1"], np.random.default_rng(0))
    assert (found.defences, found.trials) == (CONTROL, 4)
    assert found.value >= 0.8
    assert found.lower > found.chance + 0.3


def test_equal_seeds_find_the_same() -> None:
    problem = Problem.of(*control_step(demo_datasets()["partner-1"], np.arange(2)))
    np.testing.assert_array_equal(invert(problem, 2, 7), invert(problem, 2, 7))


def test_the_true_compounds_and_vectors_do_not_mismatch() -> None:
    torch.manual_seed(0)
    bits, back = (torch.rand(3, 40) < 0.3).float(), torch.randn(3, 16)
    weight, start = torch.zeros(40, 16), torch.full((16,), 1e3)
    problem = Problem(np.arange(40), bits.T @ back, back.sum(0), weight, start)
    assert float(mismatch(problem, bits, back)) < 1e-5
    assert float(mismatch(problem, bits, -back)) > 1.9


def test_tanimoto_is_that_of_the_rows_in_question() -> None:
    library = Library(np.array([0, 3, 5]), np.array([0, 4, 9, 4, 7], dtype=np.int32), 10)
    rows = np.array([0, 4, 7])
    found = np.array([[True, True, False], [False, False, False]])
    np.testing.assert_allclose(tanimoto(found, library, rows), [[1.0, 1 / 3], [0.0, 0.0]])


def test_the_sum_of_a_federation_of_many_is_no_nearer_to_those_trained_on_than_to_others() -> None:
    """Rows of 180 compounds, each with a vector of its own."""
    pool = demo_pool()
    members = pool.draw_members(np.random.default_rng(3))
    random = np.random.default_rng(0)
    update = np.zeros((pool.bits, 32), dtype=np.float32)
    vectors = random.normal(size=(len(members), 32)).astype(np.float32) * members[:, None]
    np.add.at(update, pool.indices, np.repeat(vectors, np.diff(pool.indptr), axis=0))
    held = np.bincount(pool.indices[np.repeat(members, np.diff(pool.indptr))], minlength=pool.bits) >= 5
    update[~held] = 0
    before = [random.normal(size=update.shape).astype(np.float32) * held[:, None] / 10, np.zeros(32, dtype=np.float32)]
    after = [before[0] + update, before[1] + vectors.sum(axis=0)]
    trial = Trial(members, held, np.ones((3, pool.bits), dtype=bool), [before, after], None, None, {})
    (found,) = findings(pool, trial, ON, np.random.default_rng(0))
    assert found.gate is None
    assert abs(found.value - found.chance) < 0.06
