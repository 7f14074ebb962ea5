"""Quantisation: stochastic rounding without bias, sums that never wrap, means with the same bits everywhere."""

import tracemalloc
import warnings
from fractions import Fraction
from math import ceil, floor, inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.update.quantise import Dither, Quantiser
from tests.helpers.sweeps import examples

word_bits = st.sampled_from([16, 32])
exact = st.builds(
    Quantiser.for_sum,
    word_bits=word_bits,
    partners=st.integers(1, 10),
    value_range=st.sampled_from([2.0**-16, 0.0625, 1.0, 16.0]),
    weight=st.sampled_from([1, 4, 16]),
    largest_weight=st.just(16),
)


def encode(quantiser: Quantiser, values: np.ndarray | list[float], seed: int = 0) -> np.ndarray:
    """The words of one vector, read as signed."""
    values = np.asarray(values, dtype=np.float32)
    words = np.empty(len(values), dtype=quantiser.word_type)
    quantiser.quantise([values], words, seed)
    return words.view(quantiser.sum_type)


@given(quantiser=exact, shares=st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=50), seed=st.integers(0, 1 << 62))
def test_a_word_is_one_of_the_two_integers_beside_the_scaled_and_clipped_value(
    quantiser: Quantiser, shares: list[float], seed: int
) -> None:
    values = np.array(shares, dtype=np.float32) * np.float32(quantiser.range)
    for value, word in zip(values.tolist(), encode(quantiser, values, seed).tolist(), strict=True):
        scaled = Fraction(value) * quantiser.weight / Fraction(quantiser.step)
        scaled = max(min(scaled, Fraction(quantiser.largest)), Fraction(-quantiser.largest))
        last_place = Fraction(float(np.spacing(np.float32(abs(scaled)))))
        assert floor(scaled - last_place) <= word <= ceil(scaled + last_place)
        assert abs(word) <= quantiser.largest


@given(
    quantiser=st.builds(
        Quantiser.for_sum,
        word_bits=word_bits,
        partners=st.integers(1, 9),
        value_range=st.floats(1e-6, 10),
        weight=st.integers(1, 16),
        largest_weight=st.just(16),
    ),
    shares=st.lists(st.floats(-0.875, 0.875, width=32), min_size=1, max_size=50),
)
def test_decoding_gives_a_value_less_than_a_step_away_whatever_the_range(quantiser: Quantiser, shares: list[float]) -> None:
    values = np.array(shares, dtype=np.float32) * np.float32(quantiser.range * 0.9)
    decoded = quantiser.mean(encode(quantiser, values), quantiser.weight)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(values)
    assert (np.abs(decoded - values) < quantiser.step / quantiser.weight + rounding).all()


@pytest.mark.parametrize("scaled", [0.3, -0.7, 0.5, 0.0009765625, -0.999, 3.14159, 1000.01, -70000.4, 2.0**21 + 0.25, 2.0**22 - 0.5])
@pytest.mark.parametrize("weight", [1, 2])
def test_the_mean_of_many_roundings_is_the_value(scaled: float, weight: int) -> None:
    quantiser, count = Quantiser(32, 24, 1.0, weight), 500_000
    value = np.float32(scaled * quantiser.step / weight)
    true = float(value) * weight / quantiser.step
    words = encode(quantiser, np.full(count, value), seed=11)
    last_place = float(np.spacing(np.float32(abs(true))))
    part = true - floor(true)
    assert abs(words.mean() - true) <= 5 * np.sqrt(part * (1 - part) / count) + last_place / 2 + 2.0**-23


@pytest.mark.parametrize("value_bits", [4, 12, 22, 23, 24])
def test_dither_on_the_largest_value_leads_nowhere_beyond_what_the_sum_can_hold(value_bits: int) -> None:
    for weight in (1, 2, 3, 64, 127):
        quantiser = Quantiser(32, value_bits, 1.0, weight)
        assert np.abs(encode(quantiser, np.full(200_000, 2.0))).max() <= quantiser.largest
        assert np.abs(encode(quantiser, np.full(200_000, -2.0))).max() <= quantiser.largest


def test_a_sum_of_rounding_errors_varies_as_that_of_independent_ones() -> None:
    quantiser, count, seeds = Quantiser(32, 24, 1.0), 300_000, 60
    value = np.float32(0.5 * quantiser.step)
    errors = [encode(quantiser, np.full(count, value), seed).sum() - count / 2 for seed in range(seeds)]
    variance = np.mean(np.square(errors)) / (count / 4)
    assert 0.5 < variance < 2


def test_the_same_coordinate_of_two_seeds_is_rounded_independently() -> None:
    quantiser = Quantiser(32, 24, 1.0)
    one, other = (encode(quantiser, np.full(200_000, 0.5 * quantiser.step), seed) for seed in (1, 2))
    assert abs(np.mean(one == other) - 0.5) < 5 * 0.5 / np.sqrt(200_000)


def test_the_dither_is_uniform_in_every_bit() -> None:
    for _, values in Dither(3).beside(np.zeros(200_000)):
        steps = (values.astype(np.float64) + 0.5) * 2**23
        assert (steps % 2 == 1).all()
        assert ((steps > 0) & (steps < 2**23)).all()
        for bit in range(1, 23):
            assert abs(np.mean(steps.astype(np.int64) >> bit & 1) - 0.5) < 5 * 0.5 / np.sqrt(len(values))


def test_zero_stays_zero_whatever_the_seed() -> None:
    for quantiser in (Quantiser(32, 24, 1.0), Quantiser(16, 4, 1.0, 3)):
        for seed in range(20):
            assert not encode(quantiser, np.zeros(100_000), seed).any()
            assert not encode(quantiser, np.full(1000, -0.0), seed).any()


@examples(20)
@given(cuts=st.lists(st.integers(0, 150_000), max_size=8), bits=word_bits)
def test_the_words_do_not_depend_on_how_the_vector_is_cut(cuts: list[int], bits: int) -> None:
    quantiser = Quantiser.for_sum(bits, 10, 0.01)
    values = np.random.default_rng(0).normal(0, 0.004, 150_000).astype(np.float32)
    words = np.empty(len(values), dtype=quantiser.word_type)
    clipped = quantiser.quantise(np.split(values, sorted(cuts)), words, seed=5)
    whole = np.empty_like(words)
    assert clipped == quantiser.quantise([values], whole, seed=5) > 0
    assert words.tobytes() == whole.tobytes()


def test_equal_seeds_give_equal_words_and_the_values_are_left_as_they_are() -> None:
    quantiser, values = Quantiser(32, 24, 0.01), np.random.default_rng(0).normal(0, 0.01, 1000).astype(np.float32)
    held = values.tobytes()
    first = encode(quantiser, values, 1)
    assert first.tobytes() == encode(quantiser, values, 1).tobytes() != encode(quantiser, values, 2).tobytes()
    assert values.tobytes() == held


@given(bits=word_bits, partners=st.integers(1, 200), largest=st.sampled_from([1, 2, 3, 9]), sign=st.sampled_from([-1, 1]))
def test_a_sum_over_all_partners_at_their_extremes_does_not_wrap(bits: int, partners: int, largest: int, sign: int) -> None:
    quantiser = Quantiser.for_sum(bits, partners, 1.0, weight=largest, largest_weight=largest)
    word = encode(quantiser, [sign * 1e30])
    total = np.zeros(1, dtype=quantiser.word_type)
    for _ in range(partners):
        total += word.view(quantiser.word_type)
    assert total.view(quantiser.sum_type).item() == partners * word.item()
    assert abs(word.item()) <= quantiser.largest == largest * (2 ** (quantiser.value_bits - 1) - 1)


@given(bits=word_bits, partners=st.integers(1, 4000), largest=st.integers(1, 64))
def test_a_value_gets_as_many_bits_as_the_sum_leaves(bits: int, partners: int, largest: int) -> None:
    left = max(value for value in range(bits + 1) if 2 ** (bits - value) >= partners * largest or value == 0)
    if left < 4:
        with pytest.raises(ValueError, match=f"{bits}-bit words .* sum over {partners} partners of weight up to {largest}"):
            Quantiser.for_sum(bits, partners, 1.0, largest_weight=largest)
    else:
        assert Quantiser.for_sum(bits, partners, 1.0, largest_weight=largest).value_bits == min(left, 24)


def test_ten_partners_get_24_bits_in_wide_words_and_12_in_narrow_ones() -> None:
    assert [Quantiser.for_sum(bits, 10, 1.0).value_bits for bits in (32, 16)] == [24, 12]
    assert Quantiser.for_sum(16, 10, 0.5).step == 2.0**-12


@pytest.mark.parametrize("weight", [1, 3])
def test_values_beyond_the_range_are_clipped_and_counted(weight: int) -> None:
    quantiser = Quantiser(16, 4, 1.0, weight)  # holds -7/8 to 7/8
    values = [0.8749, -0.8749, 0.875, -1.0, 5.0, -3e38, 0.0]
    words = np.empty(len(values), dtype=np.uint16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quantiser.quantise([np.array(values, dtype=np.float32)], words, 0) == 4
    assert (np.round(words.view(np.int16) / weight)).tolist() == [7, -7, 7, -7, 7, -7, 0]


def test_values_within_the_range_are_not_counted() -> None:
    words = np.empty(3, dtype=np.uint32)
    assert Quantiser(32, 24, 1.0).quantise([np.array([0.999, -0.999, 0.5], dtype=np.float32)], words, 0) == 0


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("coordinate", [0, 70_000, 99_999])
def test_a_value_that_is_not_finite_is_an_error_that_names_its_coordinate(value: float, coordinate: int) -> None:
    values = np.full(100_000, 5.0, dtype=np.float32)
    values[coordinate] = value
    with pytest.raises(ValueError, match=f"coordinate {coordinate} is not finite"):
        Quantiser(32, 24, 1.0).quantise(np.array_split(values, 3), np.empty(100_000, dtype=np.uint32), 0)


@pytest.mark.parametrize("length", [0, 9, 11])
def test_as_many_words_as_values_or_an_error(length: int) -> None:
    with pytest.raises(ValueError, match=f"{length}"):
        Quantiser(32, 24, 1.0).quantise([np.ones(5, dtype=np.float32)] * 2, np.empty(length, dtype=np.uint32), 0)


def test_values_and_words_of_another_type_are_refused() -> None:
    quantiser, values = Quantiser(32, 24, 1.0), np.ones(3, dtype=np.float32)
    with pytest.raises(ValueError, match="float64"):
        quantiser.quantise([values.astype(np.float64)], np.empty(3, dtype=np.uint32), 0)
    for wrong in (np.uint16, np.int32, np.float32):
        with pytest.raises(ValueError, match="not a vector of uint32"):
            quantiser.quantise([values], np.empty(3, dtype=wrong), 0)
        with pytest.raises(ValueError, match="not int32" if wrong != np.int32 else "weight 0"):
            quantiser.mean(np.ones(3, dtype=wrong), 0)


WRONG = [(8, 4, 1.0), (32, 3, 1.0), (32, 25, 1.0), (32, 24, 0.0), (32, 24, -1.0), (32, 24, nan), (32, 24, inf)]


@pytest.mark.parametrize("wrong", [*WRONG, (32, 24, 1.0, 0), (16, 16, 1.0, 2)])
def test_a_quantiser_that_could_not_hold_its_values_is_refused(wrong: tuple) -> None:
    with pytest.raises(ValueError, match="word_bits|value_bits|range|weight"):
        Quantiser(*wrong)


def test_a_weight_above_the_largest_is_refused() -> None:
    with pytest.raises(ValueError, match="weight 4 of at most 2"):
        Quantiser.for_sum(32, 3, 1.0, weight=4, largest_weight=2)


def test_encoding_needs_no_memory_that_grows_with_the_vector() -> None:
    quantiser, values = Quantiser(32, 24, 0.01), np.zeros(4_000_000, dtype=np.float32)
    words = np.empty(len(values), dtype=np.uint32)
    tracemalloc.start()
    quantiser.quantise([values], words, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000 < values.nbytes


@given(bits=word_bits, weights=st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=9), seed=st.integers(0, 999))
def test_the_mean_of_added_words_is_the_weighted_mean_of_the_values(bits: int, weights: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    total, true = np.zeros(40, dtype=np.uint32 if bits == 32 else np.uint16), np.zeros(40)
    for partner, weight in enumerate(weights):
        quantiser = Quantiser.for_sum(bits, len(weights), 1.0, weight, 8)
        values = random.uniform(-0.8, 0.8, 40).astype(np.float32)
        total += encode(quantiser, values, partner).view(total.dtype)
        true += weight * values
    mean = quantiser.mean(total.view(quantiser.sum_type), sum(weights))
    assert mean.dtype == np.float32
    # each partner is less than one unit of the sum away
    assert (np.abs(mean - true / sum(weights)) < quantiser.step * len(weights) / sum(weights) + 1e-6).all()


@given(sums=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20), weight=st.integers(1, 500), step=st.floats(1e-3, 10))
def test_a_mean_is_one_rounded_product_in_single_precision(sums: list[int], weight: int, step: float) -> None:
    quantiser, held = Quantiser(32, 24, step), np.array(sums, dtype=np.int32)
    scale = Fraction(float(np.float32(quantiser.step / weight)))
    expected = [float(Fraction(float(np.float32(number))) * scale) for number in sums]  # exact in double precision: 24 + 24 bits
    assert quantiser.mean(held, weight).tolist() == [float(np.float32(value)) for value in expected]


def test_a_mean_can_take_the_memory_of_the_sums() -> None:
    quantiser, sums = Quantiser(32, 24, 0.5), np.random.default_rng(0).integers(-(2**31), 2**31, 100_000).astype(np.int32)
    expected = quantiser.mean(sums, 7)
    place = sums.view(np.float32)
    assert quantiser.mean(sums, 7, out=place) is place
    assert place.tobytes() == expected.tobytes()
