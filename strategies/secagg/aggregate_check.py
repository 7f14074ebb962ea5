"""The aggregate check: a linear tag of the words, so that partners notice a sum that the coordinator changed. PROTOCOL.md, section 5.

tag(q) = Σ_k ρ_k q[k] mod p, p = 2^61 - 1, is linear: the tags of the survivors add up to the tag of the sum. ρ is secret and fresh for
each round. It has the form ρ_k = α_{row of k} · β_{column of k}, so that only a few values are drawn however long the vector. A
changed vector passes with probability at most 2/p: its difference meets β in a row where it is not zero, then α.

A tag must never be seen in the clear beside its words: being linear, it would show others (twice the words have twice the tag). It
leaves under the same masks, and its key is of one round and one trunk (`keys.check_key`). Against partners it proves nothing: each of
them has the key (section 9).

Source: the universal hash of J. L. Carter, M. N. Wegman, "Universal classes of hash functions", JCSS 18(2), 1979, section 3, twice.
"""

import operator

import numpy as np

from strategies.secagg.errors import AlteredSumError
from strategies.secagg.keystream import keystream

PRIME = 2**61 - 1
TAG_BITS = 61
COLUMNS = 2048
BLOCK_ROWS = 32  # rows converted at once: stays in the processor's cache
LIMB_BITS = 11  # |word| ≤ 2^31, times a limb below 2^11, 2048 times: at most 2^53, exact in float64
LIMBS = 6


def tag(values: np.ndarray, key: bytes) -> int:
    """The tag of a vector, below 2^61 - 1.

    Args:
        values: int16 or int32 [words].
        key: 32 bytes, secret, for one round and one trunk.
    """
    rows = -(-len(values) // COLUMNS)
    draws = np.frombuffer(keystream(key, (COLUMNS + rows) * 8), dtype="<u8") & np.uint64(PRIME)
    alpha, beta = draws[COLUMNS:].tolist(), _limbs(draws[:COLUMNS])
    scratch = np.zeros((BLOCK_ROWS, COLUMNS), dtype=np.float64)
    flat = scratch.reshape(-1)
    products = np.empty((rows, LIMBS), dtype=np.float64)
    for row in range(0, rows, BLOCK_ROWS):
        block = values[row * COLUMNS : (row + BLOCK_ROWS) * COLUMNS]
        flat[: len(block)] = block
        flat[len(block) :] = 0.0
        used = min(BLOCK_ROWS, rows - row)
        np.matmul(scratch[:used], beta, out=products[row : row + used])
    total: int = sum(map(operator.mul, alpha, _joined(products).tolist()))
    return total % PRIME


def verify(values: np.ndarray, key: bytes, claimed: int) -> None:
    """Check a sum against the sum of the survivors' tags.

    Raises:
        AlteredSumError: They do not belong together.
    """
    if tag(values, key) != claimed % PRIME:
        raise AlteredSumError(
            "the masked sum was altered, replayed or mixed up on its way, or a partner revealed wrong shares: it is not the sum of what "
            "the survivors sent"
        )


def _limbs(values: np.ndarray) -> np.ndarray:
    """(COLUMNS, LIMBS) float64 from numbers below 2^61, lowest limb first."""
    places = np.arange(LIMBS, dtype=np.uint64) * np.uint64(LIMB_BITS)
    limbs: np.ndarray = (values[:, None] >> places) & np.uint64((1 << LIMB_BITS) - 1)
    return limbs.astype(np.float64)


def _joined(products: np.ndarray) -> np.ndarray:
    """Σ limb · 2^(11 place) mod p of each row, uint64, from exact integers of up to 2^53 in float64.

    Modulo 2^61 - 1, to multiply by a power of two is to rotate 61 bits.
    """
    total = np.zeros(len(products), dtype=np.uint64)
    for place in range(LIMBS):
        limb = (products[:, place].astype(np.int64) % PRIME).astype(np.uint64)
        turn = np.uint64(LIMB_BITS * place)
        total += ((limb << turn) & np.uint64(PRIME)) | (limb >> (np.uint64(TAG_BITS) - turn))
    total %= np.uint64(PRIME)
    return total
