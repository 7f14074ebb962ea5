"""Limbs: numbers whose words can be added up over all partners without a carry being lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import digits
from strategies.secagg.aggregate_check import TAG_BITS
from strategies.secagg.keystream import DTYPES

WORD_BITS = st.sampled_from([16, 32])
PARTNERS = st.integers(1, 1000)


@given(st.integers(1, 80).flatmap(lambda bits: st.tuples(st.just(bits), st.integers(0, 2**bits - 1))), WORD_BITS, PARTNERS)
def test_a_number_comes_back_from_its_words(number: tuple[int, int], word_bits: int, partners: int) -> None:
    bits, value = number
    words = digits.split(value, bits, word_bits, partners)
    assert len(words) == digits.count(bits, word_bits, partners)
    assert digits.join(words, word_bits, partners) == value


@given(st.lists(st.integers(0, 2**TAG_BITS - 1), min_size=1, max_size=200), WORD_BITS)
def test_sums_of_words_are_the_words_of_the_sum(numbers: list[int], word_bits: int) -> None:
    total = np.zeros(digits.count(TAG_BITS, word_bits, len(numbers)), dtype=DTYPES[word_bits])
    for number in numbers:
        total += np.array(digits.split(number, TAG_BITS, word_bits, len(numbers)), dtype=DTYPES[word_bits])
    assert digits.join(total.tolist(), word_bits, len(numbers)) == sum(numbers)


@given(WORD_BITS, PARTNERS)
def test_the_largest_words_of_all_partners_do_not_wrap_though_two_bits_more_would(word_bits: int, partners: int) -> None:
    width = digits.limb_bits(word_bits, partners)
    assert partners * (2**width - 1) < 2**word_bits <= partners * (2 ** (width + 2) - 1)


@pytest.mark.parametrize(
    ("word_bits", "partners", "expected"), [(32, 3, 3), (32, 8, 3), (32, 1000, 3), (16, 3, 5), (16, 8, 5), (16, 64, 7)]
)
def test_a_tag_takes_few_words(word_bits: int, partners: int, expected: int) -> None:
    assert digits.count(TAG_BITS, word_bits, partners) == expected


@pytest.mark.parametrize("number", [-1, 8])
def test_a_number_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="does not fit into 3 bits"):
        digits.split(number, 3, 16, 4)
