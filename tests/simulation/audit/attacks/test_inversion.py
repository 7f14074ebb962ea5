"""Fingerprints by optimisation."""

from dataclasses import replace

import numpy as np
import torch

from simulation.audit.attacks.inversion import Problem, attack, control, control_step, invert, mismatch, tanimoto
from simulation.audit.federations import Trial
from simulation.audit.findings import CONTROL
from strategies.update.leakage import Library
from tests.simulation.audit.demo_pool import demo_datasets, demo_pool, scenario


def test_four_compounds_of_one_plain_step_are_found() -> None:
    pool = replace(demo_pool(), datasets={"partner-1": demo_datasets()["partner-1"]})
    (found,) = control(scenario(pool, defences=CONTROL)).findings
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
    listed = np.bincount(pool.indices[np.repeat(members, np.diff(pool.indptr))], minlength=pool.bits) >= 5
    update[~listed] = 0
    before = [random.normal(size=update.shape).astype(np.float32) * listed[:, None] / 10, np.zeros(32, dtype=np.float32)]
    mean = [update, vectors.sum(axis=0)]
    after = [array + step for array, step in zip(before, mean, strict=True)]
    trial = Trial(members=members, listed=listed, supports=np.ones((3, pool.bits), dtype=bool), trunks=[before, after], means=[mean])
    (found,) = attack(scenario(pool, trial)).findings
    assert found.gate is None
    assert abs(found.value - found.chance) < 0.06
