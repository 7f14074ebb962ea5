"""Shamir's secret sharing over the largest prime below 2^256, so that a seed of 32 bytes has shares of 32 bytes.

A dealer may fix the shares of up to threshold - 1 holders in advance, to pseudo-random values that those holders derive themselves:
together with the secret they determine the polynomial, which is as uniform as if its coefficients had been drawn, and two thirds of
the shares need not be sent at all.

Source: A. Shamir, "How to share a secret", CACM 22(11), 1979; fixing shares: R. Cramer, I. Damgård, Y. Ishai, "Share conversion,
pseudorandom secret-sharing and applications", TCC 2005; barycentric form: J.-P. Berrut, L. N. Trefethen, "Barycentric Lagrange
interpolation", SIAM Review 46(3), 2004.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from operator import mul

from strategies.secagg.errors import NotEnoughSharesError
from strategies.secagg.exact_product import exact_product

PRIME = 2**256 - 189
SHARE_BYTES = 32


def deal(secrets: Sequence[int], fixed: Mapping[int, Sequence[int]], points: Sequence[int]) -> dict[int, list[int]]:
    """Shares at `points` of the polynomials of degree len(fixed), each through its secret at 0 and through its `fixed` values.

    Args:
        secrets: Below PRIME; at least one.
        fixed: Evaluation point (never 0) to a share of each secret; threshold - 1 of them, each uniform and known to its holder.
        points: Evaluation points of the other holders.
    Returns:
        Point to a share of each secret.
    """
    known = (0, *fixed)
    shares = exact_product([coefficients(known, point) for point in points], [secrets, *fixed.values()])
    return {point: [share % PRIME for share in row] for point, row in zip(points, shares, strict=True)}


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
    """Lagrange's: the value at `at` is the sum of coefficient times value over `points`, which are small numbers."""
    if at in points:
        return tuple(int(point == at) for point in points)
    whole = prod(at - point for point in points) % PRIME
    return tuple(whole * weight % PRIME * inverse(at - point) % PRIME for weight, point in zip(_weights(points), points, strict=True))


@lru_cache(maxsize=256)
def _weights(points: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the barycentric form: what Lagrange's coefficients have in common, wherever the value is taken."""
    return tuple(pow(prod(point - other for other in points if other != point), -1, PRIME) for point in points)


@lru_cache(maxsize=4096)
def inverse(number: int) -> int:
    """Of a small number: the difference of two points."""
    return pow(number, -1, PRIME)


def combine(weights: Sequence[int], values: Sequence[int]) -> int:
    """Sum of products modulo PRIME."""
    if len(weights) != len(values):
        raise ValueError(f"{len(weights)} weights of {len(values)} values")
    total: int = sum(map(mul, weights, values))
    return total % PRIME


def field_element(seed: bytes) -> int:
    """Bytes, big-endian, as an element; 48 uniform bytes give a uniform one (bias below 2^-128)."""
    return int.from_bytes(seed, "big") % PRIME


def to_bytes(element: int) -> bytes:
    """32 bytes, big-endian."""
    return element.to_bytes(SHARE_BYTES, "big")
