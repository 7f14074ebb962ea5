"""Whole fingerprints out of one update."""

from dataclasses import replace

import numpy as np
import pytest

from simulation.audit.attacks.decoding import attack, coefficients, control, control_update, decode, exact, refined
from simulation.audit.federations import Trial
from simulation.audit.findings import CONTROL
from strategies.update.leakage import Library
from tests.simulation.audit.demo_pool import demo_datasets, demo_pool, scenario


def mixture(compounds: int, bits: int = 300, width: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random fingerprints, and the rows that they add up to."""
    random = np.random.default_rng(seed)
    dense = random.random((compounds, bits)) < 0.15
    return dense, (dense.T @ random.normal(size=(compounds, width))).astype(np.float32)


@pytest.mark.parametrize("compounds", [1, 5, 20])
def test_fewer_compounds_than_half_of_the_hidden_units_are_decoded_exactly(compounds: int) -> None:
    dense, update = mixture(compounds)
    assert {row.tobytes() for row in decode(update)} == {row.tobytes() for row in dense}


@pytest.mark.parametrize("compounds", [33, 200])
def test_of_more_compounds_nothing_is_claimed(compounds: int) -> None:
    assert decode(mixture(compounds)[1]).shape == (0, 300)


def test_an_update_of_nothing_decodes_to_nothing() -> None:
    assert decode(np.zeros((300, 64), dtype=np.float32)).shape == (0, 300)


def test_rows_of_noise_decode_to_nothing() -> None:
    assert len(decode(np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32))) == 0


def test_a_base_vector_that_is_a_sum_is_taken_apart() -> None:
    """Coefficients in the base a, b, a + b + c of rows that are sums of a, b and c."""
    true = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 0]], dtype=np.float64)
    base = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 1]])
    np.testing.assert_allclose(refined(coefficients(base, true)), true, atol=1e-12)


def test_one_plain_step_on_64_real_compounds_gives_nine_in_ten_away() -> None:
    pool = replace(demo_pool(), datasets={"partner-1": demo_datasets()["partner-1"]})
    (found,) = control(scenario(pool, defences=CONTROL)).findings
    assert (found.defences, found.trials, found.gate) == (CONTROL, 64, None)
    assert found.value >= 0.9


def test_real_compounds_under_the_row_guard_or_too_many_of_them_are_not_decoded() -> None:
    dataset = demo_datasets()["partner-1"]
    few, many = np.arange(64), np.arange(400)
    guarded = dataset.guarded(few, np.bincount(dataset.fingerprints(few)[1], minlength=dataset.bits) >= 3)
    library = Library(*dataset.fingerprints(many), dataset.bits)
    assert exact(decode(control_update(guarded, few)), library).sum() == 0
    assert exact(decode(control_update(dataset, many)), library).sum() == 0


def test_the_worst_round_of_a_federation_is_judged() -> None:
    """A federation whose second round is one plain step on members of the pool."""
    pool = demo_pool()
    name, dataset = next(iter(pool.datasets.items()))
    members = np.zeros(len(pool.owners), dtype=bool)
    members[:40] = True
    members = np.isin(pool.structures, pool.structures[members])
    step = control_update(dataset, np.arange(40))
    first = np.random.default_rng(0).normal(size=step.shape).astype(np.float32) * 1e-3
    noise = np.random.default_rng(1).normal(size=step.shape).astype(np.float32)
    everything = np.ones((3, pool.bits), dtype=bool)
    trial = Trial(members=members, listed=everything[0], supports=everything, trunks=[[first], [first + noise]], means=[[noise]])
    (nothing,) = attack(scenario(pool, trial)).findings
    assert (nothing.name, nothing.value) == ("decoded_fingerprints", 0.0)
    nothing_yet = np.zeros_like(noise)
    shown = replace(trial, trunks=[[noise], [nothing_yet], [step]], means=[[-noise], [step]])
    (found,) = attack(scenario(pool, shown)).findings
    assert found.value > 0.8
    assert found.passes is False
    assert name == "partner-1"
