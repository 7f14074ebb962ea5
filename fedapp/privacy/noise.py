"""Randomness that nobody else can know or repeat: noise, and who takes part in a step, under record-level privacy.

`seed` is known to every partner, so nothing that hides a compound may derive from it. Everything here is the AES-256-CTR keystream of a
key that the operating system drew and that no file keeps.
"""

import os
from math import pi

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

PIECE = 1 << 14  # normal values made at once: they and their scratch stay in the processor's cache
UNIT = 2.0**-64


class Noise:
    """One stream of secret randomness; what it gave it never gives again.

    Args:
        key: 32 bytes, used for this stream alone; `fresh` draws them from the operating system.
    """

    def __init__(self, key: bytes) -> None:
        self._stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    @classmethod
    def fresh(cls) -> "Noise":
        """A stream that nobody knows."""
        return cls(os.urandom(32))

    def words(self, count: int) -> NDArray[np.uint64]:
        """Uniform uint64 (count,)."""
        return np.frombuffer(self._stream.update(bytes(8 * count)), dtype="<u8")

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Uniform in [0, 1), in steps of 2^-53: float64 (count,)."""
        values: NDArray[np.float64] = (self.words(count) >> np.uint64(11)) * np.float64(2.0**-53)
        return values

    def normal(self, count: int) -> NDArray[np.float32]:
        """Standard normal, float32 (count,).

        The 64-bit radius reaches 9.4 standard deviations, so that the tails that are missing weigh less than 1e-20 a value. Values
        are rounded to float32; an attack on those last bits (Mironov, CCS 2012) is not ruled out by a proof, as it would be with an
        integer sampler.

        Source: Box and Muller, Ann. Math. Statist. 29(2), 1958.
        """
        values = np.empty(count + count % 2, dtype=np.float32)
        for first in range(0, len(values), PIECE):
            piece = values[first : first + PIECE]
            half = len(piece) // 2
            words = self.words(2 * half).astype(np.float64)
            radius = np.sqrt(-2.0 * np.log((words[:half] + 0.5) * UNIT))
            angle = words[half:] * (2.0 * pi * UNIT)
            piece[:half], piece[half:] = radius * np.cos(angle), radius * np.sin(angle)
        return values[:count]
