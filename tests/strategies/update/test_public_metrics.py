"""Metrics whose mean the coordinator may learn: values become words, and the sum of words the mean."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strategies.update.public_metrics import FRACTION_BITS, LARGEST, decode, encode

NAMES = ("auc_pr", "loss")
STEP = 2.0**-FRACTION_BITS
values = st.one_of(st.floats(0, 200), st.sampled_from([math.nan, math.inf, -math.inf]))
told = st.dictionaries(st.sampled_from([*NAMES, "another"]), values)


def summed(partners: list[dict[str, float]], word_bits: int, most: int) -> np.ndarray:
    """The sum of everybody's words, as words."""
    dtype = np.dtype(f"<u{word_bits // 8}")
    return np.sum([encode(NAMES, each, word_bits, most).astype(dtype) for each in partners], axis=0, dtype=dtype)


@given(st.lists(told, min_size=1, max_size=8), st.sampled_from([16, 32]), st.integers(0, 40))
def test_the_sum_gives_the_mean_over_those_who_have_the_metric(partners: list[dict[str, float]], word_bits: int, absent: int) -> None:
    found = decode(NAMES, summed(partners, word_bits, len(partners) + absent), word_bits, len(partners) + absent)
    for name in NAMES:
        known = [each[name] for each in partners if math.isfinite(each.get(name, math.nan))]
        assert (name in found) == bool(known)
        if known:
            assert abs(found[name] - np.mean(known)) <= STEP / 2 + 1e-9


@given(st.sampled_from([16, 32]), st.integers(2, 1000))
def test_no_word_overflows_whatever_everybody_sends(word_bits: int, partners: int) -> None:
    """Values beyond 256, or below zero, are the largest and the smallest there are."""
    for value, expected in ((1e9, LARGEST * STEP), (-5.0, 0.0)):
        words = encode(NAMES, {"loss": value, "auc_pr": 1.0}, word_bits, partners)
        assert int(words.max()) * partners < 1 << word_bits
        assert decode(NAMES, words * np.uint64(partners), word_bits, partners) == {"loss": expected, "auc_pr": 1.0}


def test_without_names_there_are_no_words() -> None:
    assert len(encode((), {"loss": 1.0}, 32, 3)) == 0
    assert decode((), np.zeros(0, dtype=np.uint32), 32, 3) == {}


def test_a_metric_that_is_not_named_changes_nothing() -> None:
    assert np.array_equal(encode(("loss",), {"loss": 1.0, "auc_pr": 0.3}, 32, 3), encode(("loss",), {"loss": 1.0}, 32, 3))
