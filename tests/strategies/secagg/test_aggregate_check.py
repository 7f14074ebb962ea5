"""The aggregate check: an exact linear tag that no changed vector keeps."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import aggregate_check
from strategies.secagg.aggregate_check import BLOCK_ROWS, COLUMNS, PRIME, tag, verify
from strategies.secagg.errors import AlteredSumError
from tests.helpers.sweeps import examples

KEY = bytes(range(32))
DTYPES = st.sampled_from([np.dtype("<i4"), np.dtype("<i2")])
LENGTHS = [0, 1, 2, COLUMNS - 1, COLUMNS, COLUMNS + 1, 5 * COLUMNS + 7, BLOCK_ROWS * COLUMNS - 1, BLOCK_ROWS * COLUMNS + 1]


def exact_tag(values: np.ndarray, key: bytes) -> int:
    """The definition, word by word in whole numbers."""
    rows = -(-len(values) // COLUMNS)
    stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(8 * (COLUMNS + rows)))
    drawn = [int.from_bytes(stream[8 * place : 8 * place + 8], "little") & PRIME for place in range(COLUMNS + rows)]
    beta, alpha = drawn[:COLUMNS], drawn[COLUMNS:]
    return sum(alpha[k // COLUMNS] * beta[k % COLUMNS] * int(value) for k, value in enumerate(values)) % PRIME


def vector(length: int, dtype: np.dtype, seed: int = 0) -> np.ndarray:
    """Any words, half of them extreme."""
    random, limits = np.random.default_rng(seed), np.iinfo(dtype)
    some = random.integers(limits.min, limits.max, length, dtype=dtype, endpoint=True)
    extreme = random.choice(np.array([limits.min, limits.max, 0, -1], dtype=dtype), length)
    return np.where(random.random(length) < 0.5, some, extreme).astype(dtype)


@pytest.mark.parametrize("dtype", ["<i4", "<i2"])
@pytest.mark.parametrize("length", LENGTHS)
def test_the_tag_is_the_exact_sum_of_its_definition(length: int, dtype: str) -> None:
    values = vector(length, np.dtype(dtype), length)
    assert tag(values, KEY) == exact_tag(values, KEY)


@examples(30)
@given(st.integers(0, 2**32), st.integers(0, 3000), DTYPES, st.binary(min_size=32, max_size=32))
def test_it_is_so_for_any_vector_and_key(seed: int, length: int, dtype: np.dtype, key: bytes) -> None:
    values = vector(length, dtype, seed)
    assert tag(values, key) == exact_tag(values, key)


@pytest.mark.parametrize(("dtype", "extreme"), [("<i4", -(2**31)), ("<i4", 2**31 - 1), ("<i2", -(2**15)), ("<i2", 2**15 - 1)])
def test_rows_of_nothing_but_the_largest_words_are_exact(dtype: str, extreme: int) -> None:
    values = np.full(2 * COLUMNS, extreme, dtype=dtype)
    assert tag(values, KEY) == exact_tag(values, KEY)


@pytest.mark.parametrize("extreme", [-(2**31), 2**31 - 1])
def test_the_largest_words_times_the_largest_limbs_are_exact_in_float64(extreme: int) -> None:
    beta = aggregate_check._limbs(np.full(COLUMNS, 2**61 - 1, dtype=np.uint64))
    assert beta.max() == 2**aggregate_check.LIMB_BITS - 1
    products = np.full((1, COLUMNS), extreme, dtype=np.float64) @ beta
    assert [int(product) for product in products[0]] == [COLUMNS * extreme * int(limb) for limb in beta[0]]
    assert np.abs(products).max() <= 2**53


@given(st.lists(st.integers(0, 2**61 - 1), min_size=1, max_size=20))
def test_limbs_are_the_digits_of_a_number(numbers: list[int]) -> None:
    for number, limbs in zip(numbers, aggregate_check._limbs(np.array(numbers, dtype=np.uint64)).tolist(), strict=True):
        assert sum(int(limb) << (aggregate_check.LIMB_BITS * place) for place, limb in enumerate(limbs)) == number


@examples(30)
@given(st.integers(2, 8), st.integers(1, 5000), st.integers(0, 2**32))
def test_the_tags_of_the_parts_add_up_to_the_tag_of_the_sum(partners: int, length: int, seed: int) -> None:
    parts = [(vector(length, np.dtype("<i4"), seed + partner) / partners).astype("<i4") for partner in range(partners)]
    verify(np.sum(parts, axis=0, dtype="<i4"), KEY, sum(tag(part, KEY) for part in parts))


@examples(100)
@given(st.data())
def test_a_changed_vector_never_passes(data: st.DataObject) -> None:
    values = vector(data.draw(st.integers(1, 5000)), data.draw(DTYPES))
    claimed = tag(values, KEY)
    changed = values.copy()
    for place in data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=5, unique=True)):
        bits = 8 * values.itemsize
        changed[place] ^= np.array(1 << data.draw(st.integers(0, bits - 1))).astype(values.dtype)
    with pytest.raises(AlteredSumError):
        verify(changed, KEY, claimed)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (3, 3 + COLUMNS), (5, 2 * COLUMNS + 1)])
def test_words_that_changed_places_do_not_pass(one: int, other: int) -> None:
    values = vector(3 * COLUMNS, np.dtype("<i4"))
    values[[one, other]] = 17, -4
    claimed = tag(values, KEY)
    values[[one, other]] = values[[other, one]]
    with pytest.raises(AlteredSumError):
        verify(values, KEY, claimed)


def test_another_key_does_not_pass() -> None:
    values = vector(100, np.dtype("<i4"))
    with pytest.raises(AlteredSumError):
        verify(values, KEY[::-1], tag(values, KEY))


def test_only_zeros_have_the_same_tag_whatever_the_key_so_that_length_must_be_checked_elsewhere() -> None:
    assert tag(np.zeros(5, dtype="<i4"), KEY) == tag(np.zeros(9000, dtype="<i4"), KEY[::-1]) == 0
