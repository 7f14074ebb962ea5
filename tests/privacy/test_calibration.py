"""How much noise an epsilon takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.privacy.accounting import NoiseEvent, epsilon
from fedapp.privacy.calibration import LEAST, noise_multiplier
from tests.helpers.sweeps import examples

DELTA = 1e-6


@examples(25, few=5)
@given(st.floats(0.2, 30), st.floats(0.001, 1), st.integers(1, 2000), st.booleans())
def test_the_steps_just_fit_into_the_budget_and_with_a_little_less_noise_they_do_not(budget: float, rate: float, steps: int, rows: bool):
    before = [NoiseEvent(60.0)] if rows else []
    noise = noise_multiplier(budget, DELTA, rate, steps, before)
    assert epsilon([*before, NoiseEvent(noise, rate, steps)], DELTA) <= budget
    assert noise == LEAST or epsilon([*before, NoiseEvent(noise * 0.995, rate, steps)], DELTA) > budget


def test_a_budget_that_is_spent_already_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match=r"no noise lets 10 steps .* fit into an epsilon of 1 "):
        noise_multiplier(1.0, DELTA, 0.1, 10, [NoiseEvent(1.0)])
