"""The product of two matrices of 256-bit numbers, without rounding, by the fast product of matrices of floating-point numbers.

Numbers are cut into limbs of 16 bits. A product of two limbs has 32 bits, and the sums of products stay below 2^48 as long as no more than
4096 terms are added. Every number on the way is therefore an integer below 2^53, which float64 holds exactly, in whatever order the
library adds.
"""

from collections.abc import Sequence
from functools import partial
from operator import mul

import numpy as np

NUMBER_BYTES = 32
LIMB = np.dtype("<u2")
LIMBS = NUMBER_BYTES // LIMB.itemsize
SUM_BYTES = 6  # of a sum of products of limbs
MOST_TERMS = 2 ** (8 * SUM_BYTES - 2 * 8 * LIMB.itemsize) // LIMBS
WORTHWHILE = 1000  # multiplications, from which on limbs are faster than Python's own numbers


def exact_product(left: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> list[list[int]]:
    """The product of two matrices, given by rows.

    Args:
        left, right: [rows, terms] and [terms, columns] of numbers from 0 to below 2^256; at least one term, at most `MOST_TERMS`.
    Returns:
        [rows, columns], not reduced.
    Raises:
        ValueError: Rows of different lengths, or too many terms.
        OverflowError: A number outside these bounds, in a product of at least `WORTHWHILE` multiplications.
    """
    if {len(row) for row in left} - {len(right)} or len({len(row) for row in right}) != 1:
        raise ValueError("the rows of a matrix are as long as one another, and those of the left one as the right one has rows")
    if len(left) * len(right) * len(right[0]) < WORTHWHILE:
        by_column = list(zip(*right, strict=True))
        return [[sum(map(mul, row, column)) for column in by_column] for row in left]
    if len(right) > MOST_TERMS:
        raise ValueError(f"sums of {len(right)} products, and only those of up to {MOST_TERMS} are exact")
    first, second = _limbs(left), _limbs(right)
    rows, terms, columns = len(left), len(right), len(right[0])
    flat = second.reshape(terms, columns * LIMBS)
    sums = np.zeros((rows, columns, 2 * LIMBS + 1))  # by the weight of both limbs together; the last is for a multiple of three
    for place in range(LIMBS):
        sums[:, :, place : place + LIMBS] += (first[:, :, place] @ flat).reshape(rows, columns, LIMBS)
    return _joined(sums)


def _limbs(matrix: Sequence[Sequence[int]]) -> np.ndarray:
    """float64 [rows, columns, LIMBS], the lowest limb first."""
    joined = b"".join(number.to_bytes(NUMBER_BYTES, "little") for row in matrix for number in row)
    return np.frombuffer(joined, dtype=LIMB).reshape(len(matrix), -1, LIMBS).astype(np.float64)


def _joined(sums: np.ndarray) -> list[list[int]]:
    """The numbers that sums of limbs stand for. Every third sum fits beside the one before: three numbers without a carry make one."""
    rows, columns, _ = sums.shape
    parts = sums.astype("<u8").reshape(rows * columns, -1, 3).view(np.uint8).reshape(rows * columns, -1, 3, 8)[..., :SUM_BYTES]
    width = parts.shape[1] * SUM_BYTES
    low, middle, high = (np.ascontiguousarray(parts[:, :, third]).tobytes() for third in range(3))
    read, limb = partial(int.from_bytes, byteorder="little"), 8 * LIMB.itemsize
    slices = [slice(start, start + width) for start in range(0, rows * columns * width, width)]
    numbers = [read(low[each]) + (read(middle[each]) << limb) + (read(high[each]) << 2 * limb) for each in slices]
    return [numbers[start : start + columns] for start in range(0, rows * columns, columns)]
