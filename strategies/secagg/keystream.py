"""Masks: AES-256-CTR keystreams, read as little-endian words and added to a vector in place, modulo the word size.

A keystream has a key of its own, so the counter starts at 0; it is in one vector, or in those of two partners with opposite signs.

What must never happen: two different vectors under the same keys. Their masks are equal, so whoever sees both, the coordinator, subtracts
one from the other and has the difference of two updates in the clear. Nothing here can notice that. Keys are therefore derived for one
round, cohort and trunk (`keys.py`), a partner counts rounds in its state, and an older copy of a state must never come back.

How long a stream may be: a vector has fewer than 2^32 words, since its header counts them in 4 bytes, and so a stream at most 2^34 bytes,
or 2^30 blocks. No block of AES under one key occurs twice while random blocks would; at this length that tells a stream from random with
advantage below 2^(60 - 129) = 2^-69. The counter of 128 bits cannot wrap.

Blocks stay in the processor's cache while all streams pass over them; the cipher releases Python's lock, so that threads scale.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

KEY_BYTES = 32
CIPHER_BLOCK = 16
BLOCK_BYTES = 1 << 18
ZEROS = memoryview(bytes(BLOCK_BYTES))
DTYPES: dict[int, np.dtype[Any]] = {32: np.dtype("<u4"), 16: np.dtype("<u2")}


def add_streams(words: np.ndarray, plus: Sequence[bytes], minus: Sequence[bytes] = (), threads: int = 1) -> None:
    """Add the streams of the keys `plus` to `words`, and subtract those of `minus`, in place.

    Args:
        words: uint32 or uint16, one-dimensional and contiguous; up to 2^34 bytes.
        plus, minus: Keys of 32 bytes, each for this vector alone, or for one more in which it has the other sign.
        threads: How many ranges of the vector to work on at once.
    """
    signed = [(key, np.add) for key in plus] + [(key, np.subtract) for key in minus]
    if not signed or not len(words):
        return
    starts = range(0, words.nbytes, share_of(words.nbytes, threads))
    parts = [(start, words[start // words.itemsize : (start + starts.step) // words.itemsize]) for start in starts]
    if len(parts) == 1:
        _add_to_part(*parts[0], signed)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(_add_to_part, start, part, signed) for start, part in parts]:
            done.result()


def keystream(key: bytes, count: int) -> bytes:
    """The first `count` bytes of a key's stream; for values that are drawn, under keys that mask nothing."""
    return _cipher(key, 0).update(bytes(count))


def share_of(total: int, threads: int) -> int:
    """Bytes of each thread's range: whole blocks, as equal as they come."""
    blocks = -(-total // BLOCK_BYTES)
    return -(-blocks // max(threads, 1)) * BLOCK_BYTES


def _cipher(key: bytes, start: int) -> CipherContext:
    """The keystream from byte `start` on, a multiple of 16."""
    counter = (start // CIPHER_BLOCK).to_bytes(CIPHER_BLOCK, "big")
    return Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor()


def _add_to_part(start: int, part: np.ndarray, signed: Sequence[tuple[bytes, np.ufunc]]) -> None:
    """Block in the outer loop and stream in the inner one: the block is read from memory once, not once per stream."""
    ciphers = [(_cipher(key, start), operation) for key, operation in signed]
    buffer = bytearray(BLOCK_BYTES + CIPHER_BLOCK)
    stream = np.frombuffer(buffer, dtype=part.dtype)
    step = BLOCK_BYTES // part.itemsize
    for first in range(0, len(part), step):
        block = part[first : first + step]
        for cipher, operation in ciphers:
            cipher.update_into(ZEROS[: block.nbytes], buffer)
            operation(block, stream[: len(block)], out=block)
