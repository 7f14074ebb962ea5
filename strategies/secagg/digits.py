"""Non-negative numbers cut into words so small that the sum over all partners cannot wrap."""

from collections.abc import Sequence


def limb_bits(word_bits: int, partners: int) -> int:
    """Bits that a word may carry when `partners` of them are added."""
    return word_bits - max(partners - 1, 1).bit_length()


def count(number_bits: int, word_bits: int, partners: int) -> int:
    """Words that a number of `number_bits` needs."""
    return -(-number_bits // limb_bits(word_bits, partners))


def split(number: int, number_bits: int, word_bits: int, partners: int) -> list[int]:
    """The words of a number, lowest first.

    Raises:
        ValueError: Negative, or it needs more than `number_bits`.
    """
    if not 0 <= number < 1 << number_bits:
        raise ValueError(f"{number} does not fit into {number_bits} bits")
    width = limb_bits(word_bits, partners)
    return [(number >> (width * place)) & ((1 << width) - 1) for place in range(count(number_bits, word_bits, partners))]


def join(words: Sequence[int], word_bits: int, partners: int) -> int:
    """The number, or the sum of numbers, whose words or sums of words these are."""
    width = limb_bits(word_bits, partners)
    return sum(int(word) << (width * place) for place, word in enumerate(words))
