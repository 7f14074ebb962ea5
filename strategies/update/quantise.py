"""From float32 to integers whose sum is exact, so that masks can be added and taken away modulo a power of two.

Stochastic rounding: a value between two integers becomes the upper one with a probability equal to its distance from the lower one.
Its mean is then the value itself (within half a unit of float32's last place, what the value itself may be wrong by), and the error of
a mean over partners falls with their number; rounding to nearest would lose every change below half a step, round after round. The dice
are no secret (the masks hide the words), so a fast generator will do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import frexp, inf

import numpy as np

PIECE = 1 << 15  # values worked on at once: they and their scratch stay in the processor's cache
FEWEST_BITS, MOST_BITS = 4, 24  # float32 holds 24 significant bits
NARROWEST, WIDEST = 2.0**-16, 2.0**4  # bounds of a range that follows the updates
CLIPPED_SHARE = 10_000  # one coordinate in so many may be clipped before the range widens


@dataclass(frozen=True)
class Quantiser:
    """Fixed-point encoding of values within ±`range`, in units of `step`, times a weight.

    Attributes:
        word_bits: 32 or 16; words are uint32 or uint16, two's complement.
        value_bits: Bits of a value of weight 1, sign included: 4 to 24.
        range: Where values are clipped, 2^-64 to 2^64. With powers of two for range and weight, scaling is exact in float32.
        weight: Multiplies every value, 1 or more.
    Raises:
        ValueError: Outside these bounds, or a weight with which a single value overflows the word.
    """

    word_bits: int
    value_bits: int
    range: float
    weight: int = 1

    def __post_init__(self) -> None:
        if self.word_bits not in (16, 32):
            raise ValueError(f"word_bits is {self.word_bits}, not 16 or 32")
        if not FEWEST_BITS <= self.value_bits <= MOST_BITS:
            raise ValueError(f"value_bits is {self.value_bits}, not {FEWEST_BITS} to {MOST_BITS}")
        if not 2.0**-64 <= self.range <= 2.0**64:
            raise ValueError(f"range is {self.range}, not 2^-64 to 2^64")
        if self.weight < 1 or self.largest >= 1 << (self.word_bits - 1):
            raise ValueError(f"weight is {self.weight}: {self.value_bits}-bit values times it must fit {self.word_bits}-bit words")

    @classmethod
    def for_sum(cls, word_bits: int, partners: int, value_range: float, weight: int = 1, largest_weight: int = 1) -> "Quantiser":
        """The finest quantiser, up to 24 bits, whose words can be added over all partners and never wrap.

        Args:
            partners: How many words are added, at most.
            weight: This partner's weight.
            largest_weight: The largest that any partner may have.
        Raises:
            ValueError: Fewer than 4 bits are left for a value, or the weight is above the largest.
        """
        if not 1 <= weight <= largest_weight or partners < 1:
            raise ValueError(
                f"{partners} partners, weight {weight} of at most {largest_weight}: partners are 1 or more, weights 1 to the largest"
            )
        value_bits = min(MOST_BITS, word_bits - (partners * largest_weight - 1).bit_length())
        if value_bits < FEWEST_BITS:
            raise ValueError(
                f"{word_bits}-bit words leave {value_bits} bits to a value in a sum over {partners} partners of weight up to "
                f"{largest_weight}, fewer than {FEWEST_BITS}: use wider words or smaller weights"
            )
        return cls(word_bits, value_bits, value_range, weight)

    @property
    def step(self) -> float:
        """The value of one unit at weight 1."""
        return self.range / (1 << (self.value_bits - 1))

    @property
    def largest(self) -> int:
        """No encoded integer is above this, or below its negative."""
        return self.weight * ((1 << (self.value_bits - 1)) - 1)

    @property
    def word_type(self) -> np.dtype[np.unsignedinteger]:
        """Of the words: uint32 or uint16."""
        return np.dtype(np.uint32 if self.word_bits == 32 else np.uint16)

    @property
    def sum_type(self) -> np.dtype[np.signedinteger]:
        """Of the words and their sums, read as signed: int32 or int16."""
        return np.dtype(np.int32 if self.word_bits == 32 else np.int16)

    def quantise(self, blocks: Iterable[np.ndarray], out: np.ndarray, seed: int) -> int:
        """Encode pieces of a vector, one after another; equal values and seed give equal words, however the vector is cut.

        Exactly 0 becomes 0; otherwise word · step / weight is less than a step from the clipped value, give or take float32's last place.

        Args:
            blocks: The vector in pieces, float32 1-D; left as they are. Pieces of up to `PIECE` are the fastest.
            out: Where the words go, uint32 or uint16 [length of all pieces together].
            seed: Of the rounding.
        Returns:
            How many coordinates were clipped: those that reach ±(range - step), the outermost values that the words can hold.
        Raises:
            ValueError: A value that is not finite, naming its coordinate; pieces or words of another type or length. What `out`
                then holds is worth nothing.
        """
        if out.dtype != self.word_type or out.ndim != 1:
            raise ValueError(f"words are {out.dtype} {out.shape}, not a vector of {self.word_type}")
        dither, scratch = Dither(seed), np.empty(PIECE, dtype=np.float32)
        clipped = done = 0
        for block in blocks:
            if block.dtype != np.float32 or block.ndim != 1 or done + len(block) > len(out):
                raise ValueError(f"piece of {block.dtype} {block.shape} at coordinate {done} of {len(out)}: not a float32 vector that fits")
            for values, noise in dither.beside(block):
                scaled = scratch[: len(values)]
                clipped += self._scale(values, scaled, done)
                self._round(scaled, noise, out[done : done + len(values)])
                done += len(values)
        if done != len(out):
            raise ValueError(f"{done} values for {len(out)} words")
        return clipped

    def mean(self, sums: np.ndarray, total_weight: int, out: np.ndarray | None = None) -> np.ndarray:
        """The weighted mean of the partners' values, from the sum of their words.

        One float64 scale rounded to float32, one conversion and one float32 multiplication: the same bits on every machine.

        Args:
            sums: int32 or int16, like `sum_type`: words added modulo 2^word_bits, read as signed.
            total_weight: Sum of the weights in it, 1 or more.
            out: float32 of the same shape to write to; may be the memory of 32-bit `sums` itself, `sums.view(np.float32)`.
        Raises:
            ValueError: Sums of another type, or no weight.
        """
        if sums.dtype != self.sum_type or total_weight < 1:
            raise ValueError(f"sums are {sums.dtype}, not {self.sum_type}, or their weight {total_weight} is below 1")
        result = np.empty(sums.shape, dtype=np.float32) if out is None else out
        np.copyto(result, sums)
        result *= np.float32(self.step / total_weight)
        return result

    def _scale(self, values: np.ndarray, scaled: np.ndarray, first: int) -> int:
        """Values in units of a word, clipped to what it can hold, into `scaled`; how many were clipped. `first` numbers them.

        The bound is the float32 just inside the largest integer: dither on it is rounded by less than a half and leads nowhere beyond.
        """
        bound = np.nextafter(np.float32(self.largest), np.float32(0))
        with np.errstate(over="ignore"):  # what overflows here is clipped below
            np.multiply(values, np.float32(self.weight / self.step), out=scaled)
        if scaled.max() <= bound and scaled.min() >= -bound:  # false for NaN too
            return 0
        if not np.isfinite(values).all():
            raise ValueError(f"coordinate {first + int(np.argmin(np.isfinite(values)))} is not finite")
        clipped = int(np.count_nonzero(np.abs(scaled) > bound))
        np.clip(scaled, -bound, bound, out=scaled)
        return clipped

    def _round(self, scaled: np.ndarray, noise: np.ndarray, words: np.ndarray) -> None:
        """Stochastically rounded `scaled`, which is changed, into `words`.

        Where a value is so large that the noise loses low bits in their sum, it loses no more than float32 has lost of the value.
        """
        scaled += noise
        np.rint(scaled, out=scaled)
        np.copyto(words.view(self.sum_type), scaled, casting="unsafe")


class Dither:
    """Values uniform on the odd multiples of 2^-23 within ±0.5, one for each coordinate of a vector.

    Drawing every one of them anew would lengthen the encoding by a third. So 32,768 are drawn, as the significands of floats in [1, 2),
    and for each 32,768 coordinates their random bits are flipped by one more random pattern. Each value is uniform and any two are
    independent, so that a sum of rounding errors varies as if all were.

    Args:
        seed: All values derive from it.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.SFC64(seed)
        drawn = self._generator.random_raw(PIECE // 2).view(np.uint32)
        self._floats = (drawn >> 9) | np.uint32(0x3F800001)
        self._values = np.empty(PIECE, dtype=np.float32)
        self._used = PIECE

    def beside(self, block: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The next coordinates cut into pieces, each with as many values of the dither."""
        while len(block):
            if self._used == PIECE:
                self._floats ^= np.uint32(self._generator.random_raw() & 0x007FFFFE)
                np.subtract(self._floats.view(np.float32), np.float32(1.5), out=self._values)
                self._used = 0
            values = self._values[self._used : self._used + len(block)]
            yield block[: len(values)], values
            block = block[len(values) :]
            self._used += len(values)


def next_range(value_range: float, largest_mean: float, clipped: int, coordinates: int, partners: int) -> float:
    """The next round's range, a power of two from 2^-16 to 2^4, from what every partner decoded of the last round.

    It doubles when more than one in 10,000 of all coordinates sent were clipped. Otherwise it goes to the smallest power of two that
    is at least four times the largest mean, but by no more than a factor of two a round: one quiet or wild round says little.
    Only comparisons and exact scalings by powers of two: all partners get the same range.

    Args:
        value_range: The last round's; one that is no power of two is rounded up to the next.
        largest_mean: Largest magnitude among the decoded means.
        clipped: Clipped coordinates of all partners together.
        coordinates: Coordinates that each partner sent.
        partners: How many sent them.
    Raises:
        ValueError: A range or a mean that is not finite, or negative.
    """
    if not (0 < value_range < inf and 0 <= largest_mean < inf):
        raise ValueError(f"range {value_range} and largest mean {largest_mean}: not finite, or negative")
    wanted = 2 * value_range if clipped * CLIPPED_SHARE > coordinates * partners else 4 * largest_mean
    bounded = min(max(min(wanted, 2 * value_range), value_range / 2, NARROWEST), WIDEST)
    fraction, exponent = frexp(bounded)
    return 2.0 ** (exponent - 1 if fraction == 0.5 else exponent)
