"""The metrics whose mean over partners policy lets the coordinator learn, as words to be added under masks."""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from strategies.secagg import digits

FRACTION_BITS, NUMBER_BITS, COUNT_BITS = 16, 24, 16  # 0 to 256 in steps of 2^-16
LARGEST = (1 << NUMBER_BITS) - 1


def encode(names: Sequence[str], metrics: Mapping[str, float], word_bits: int, partners: int) -> np.ndarray:
    """For each name its value and the number 1, or zeros where this partner has none; uint64, to be cut to words."""
    words: list[int] = []
    for name in names:
        value = metrics.get(name, float("nan"))
        known = isfinite(value)
        number = min(max(round(value * (1 << FRACTION_BITS)), 0), LARGEST) if known else 0
        words += digits.split(number, NUMBER_BITS, word_bits, partners) + digits.split(int(known), COUNT_BITS, word_bits, partners)
    return np.array(words, dtype=np.uint64)


def decode(names: Sequence[str], sums: np.ndarray, word_bits: int, partners: int) -> dict[str, float]:
    """Means over those partners that have the metric; names that nobody has are left out."""
    value_words, count_words = (digits.count(bits, word_bits, partners) for bits in (NUMBER_BITS, COUNT_BITS))
    means = {}
    for place, name in enumerate(names):
        words = sums[place * (value_words + count_words) :][: value_words + count_words].tolist()
        known = digits.join(words[value_words:], word_bits, partners)
        if known:
            means[name] = digits.join(words[:value_words], word_bits, partners) / known / (1 << FRACTION_BITS)
    return means
