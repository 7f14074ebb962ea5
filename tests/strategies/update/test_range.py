"""The range of the next round: what all partners derive alike from the last one."""

from math import inf, log2, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.update.quantise import next_range

LOW, HIGH = 2.0**-16, 2.0**4
ranges = st.integers(-16, 4).map(lambda exponent: 2.0**exponent)


def test_one_clipped_coordinate_in_ten_thousand_is_borne_and_more_double_the_range() -> None:
    assert next_range(0.25, 0.05, clipped=3, coordinates=10_000, partners=3) == 0.25
    assert next_range(0.25, 0.05, clipped=4, coordinates=10_000, partners=3) == 0.5
    assert next_range(0.25, 0.0, clipped=30_000, coordinates=10_000, partners=3) == 0.5


def test_the_range_settles_where_it_is_at_least_four_times_the_largest_mean() -> None:
    for mean, settled in ((0.0078125, 0.03125), (0.0079, 0.0625), (1e-9, LOW), (100.0, HIGH), (0.0, LOW)):
        for start in (LOW, 0.25, HIGH):
            held = start
            for _ in range(20):
                held = next_range(held, mean, 0, 1000, 3)
            assert held == settled


def test_the_range_moves_by_no_more_than_a_factor_of_two_a_round() -> None:
    assert next_range(1.0, 1e-6, 0, 1000, 3) == 0.5
    assert next_range(0.25, 0.24, 0, 1000, 3) == 0.5


@given(held=ranges, mean=st.floats(0, 1e6), clipped=st.integers(0, 100), coordinates=st.integers(1, 10**6))
def test_a_range_is_always_a_power_of_two_within_its_bounds(held: float, mean: float, clipped: int, coordinates: int) -> None:
    following = next_range(held, mean, clipped, coordinates, 5)
    assert LOW <= following <= HIGH
    assert log2(following).is_integer()
    assert held / 2 <= following <= held * 2


@given(st.floats(1e-9, 1e9))
def test_a_range_that_is_no_power_of_two_becomes_one(held: float) -> None:
    for clipped in (0, 1000):
        following = next_range(held, held / 4, clipped, 1000, 3)
        assert log2(following).is_integer()
        assert following in (LOW, HIGH) or held <= following <= 4 * held


@pytest.mark.parametrize(("held", "mean"), [(0.0, 1.0), (-1.0, 1.0), (nan, 1.0), (inf, 1.0), (1.0, nan), (1.0, inf), (1.0, -0.1)])
def test_a_range_or_a_mean_that_cannot_be_is_an_error(held: float, mean: float) -> None:
    with pytest.raises(ValueError, match="not finite, or negative"):
        next_range(held, mean, 0, 1000, 3)
