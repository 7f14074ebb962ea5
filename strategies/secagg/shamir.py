"""Shamir's secret sharing over the largest prime below 2^256, so that a seed of 32 bytes has shares of 32 bytes.

A dealer may fix the shares of up to threshold - 1 holders in advance, to pseudo-random values that those holders derive themselves:
together with the secret they determine the polynomial, which is as uniform as if its coefficients had been drawn, and two thirds of
the shares need not be sent at all.

Source: A. Shamir, "How to share a secret", CACM 22(11), 1979; fixing shares: R. Cramer, I. Damgård, Y. Ishai, "Share conversion,
pseudorandom secret-sharing and applications", TCC 2005.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from strategies.secagg.errors import NotEnoughSharesError

PRIME = 2**256 - 189
SHARE_BYTES = 32


def deal(secret: int, fixed: Mapping[int, int], points: Iterable[int]) -> dict[int, int]:
    """Shares at `points` of the polynomial of degree len(fixed) through `secret` at 0 and through `fixed`.

    Args:
        secret: Below PRIME.
        fixed: Evaluation point (never 0) to share; threshold - 1 of them, each uniform and known to its holder.
        points: Evaluation points of the other holders.
    Returns:
        Point to share.
    """
    known = (0, *fixed)
    values = (secret, *fixed.values())
    return {point: combine(coefficients(known, point), values) for point in points}


def reconstruct(shares: Mapping[int, int], threshold: int) -> int:
    """The secret that at least `threshold` shares determine.

    Args:
        shares: Evaluation point to share.
    Returns:
        The secret. Wrong shares give a wrong secret silently; what is made with it must be checked.
    Raises:
        NotEnoughSharesError: Fewer than `threshold` shares.
    """
    if len(shares) < threshold:
        raise NotEnoughSharesError(f"{len(shares)} shares, and {threshold} are needed")
    points = tuple(sorted(shares)[:threshold])
    return combine(coefficients(points, 0), [shares[point] for point in points])


@lru_cache(maxsize=4096)
def coefficients(points: tuple[int, ...], at: int) -> tuple[int, ...]:
    """Lagrange's: the value at `at` is the sum of coefficient times value over `points`."""
    weights = []
    for point in points:
        above = below = 1
        for other in points:
            if other != point:
                above = above * (at - other) % PRIME
                below = below * (point - other) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)


def combine(weights: Sequence[int], values: Sequence[int]) -> int:
    """Sum of products modulo PRIME."""
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) % PRIME


def field_element(seed: bytes) -> int:
    """Bytes, big-endian, as an element; 48 uniform bytes give a uniform one (bias below 2^-128)."""
    return int.from_bytes(seed, "big") % PRIME


def to_bytes(element: int) -> bytes:
    """32 bytes, big-endian."""
    return element.to_bytes(SHARE_BYTES, "big")
