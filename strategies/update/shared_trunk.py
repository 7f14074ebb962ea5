"""What every partner holds alike between two rounds: the trunk, and what its next update is written in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import frexp, isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save, save_file

from fedapp.storage.files import atomic_path, checksum
from strategies.secagg import digits
from strategies.secagg.errors import SecAggError
from strategies.update.quantise import PIECE, Quantiser, next_range

WEIGHT_BITS, CLIPPED_BITS = 32, 40
ROWS, USED = "rows", "used"
DIGEST = 32  # bytes
LEAST_RANGE, LARGEST_RANGE = 2.0**-64, 2.0**64  # as `Quantiser` has them
SHARED, CHECKSUM = "shared", "checksum"


class TrunkFileError(SecAggError):
    """A stored or handed-over trunk is damaged.

    Args:
        message: Which one, and what is wrong with it.
        hint: What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class UpdateCodec:
    """How an update becomes words: the listed rows of the first array, the other arrays whole, then counters.

    Attributes:
        shapes: Of the trunk's arrays.
        rows: Listed rows of the first array, ascending, int64.
        word_bits: 32 or 16.
        partners: Most partners in a sum.
        largest_weight: Largest weight of a partner.
    """

    shapes: tuple[tuple[int, ...], ...]
    rows: np.ndarray
    word_bits: int
    partners: int
    largest_weight: int = 1

    @property
    def coordinates(self) -> int:
        """Values of an update."""
        return len(self.rows) * prod(self.shapes[0][1:]) + sum(prod(shape) for shape in self.shapes[1:])

    @property
    def words(self) -> int:
        """Coordinates and counters."""
        return self.coordinates + sum(digits.count(bits, self.word_bits, self.partners) for bits in (WEIGHT_BITS, CLIPPED_BITS))

    def quantiser(self, value_range: float, weight: int = 1) -> Quantiser:
        """The finest encoding whose sum over all partners cannot wrap."""
        return Quantiser.for_sum(self.word_bits, self.partners, value_range, weight, self.largest_weight)

    def pieces(self, arrays: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray | slice]]:
        """The coordinates in order, in pieces that stay in the processor's cache: array number, and rows or a slice of it."""
        width = prod(self.shapes[0][1:])
        step = max(1, PIECE // max(width, 1))
        for first in range(0, len(self.rows), step):
            yield 0, self.rows[first : first + step]
        for number, array in enumerate(arrays[1:], 1):
            for first in range(0, array.size, PIECE):
                yield number, slice(first, first + PIECE)


@dataclass(frozen=True)
class Decoded:
    """What a sum says: the new trunk, clipped coordinates of all partners, and the largest magnitude of the mean update."""

    trunk: "SharedTrunk"
    weight: int
    clipped: int
    largest: float


@dataclass(frozen=True)
class SharedTrunk:
    """The trunk and its circumstances; equal at all partners, bit for bit.

    Attributes:
        arrays: float32; none before there is a first trunk.
        version: Rounds behind it.
        digest: Its name in the protocol, 32 bytes; zeros for none.
        value_range: Of the next update's quantiser.
        rows: bool, per row of the first array: whether it is listed; empty before partners agreed.
        session: In which they agreed.
        found: What partners found in the last sum, for the report; empty before the first.
    """

    arrays: list[np.ndarray]
    version: int
    digest: bytes
    value_range: float
    rows: np.ndarray
    session: bytes
    found: dict[str, float] = field(default_factory=dict)

    def with_rows(self, rows: np.ndarray, session: bytes) -> "SharedTrunk":
        """The same with a new row list."""
        return replace(self, rows=rows, session=session)

    def starting_with(self, arrays: list[np.ndarray], digest: bytes) -> "SharedTrunk":
        """The first trunk. Unlisted rows are zero: nobody trains them, so their random values would only be noise in predictions."""
        arrays[0][~self.rows] = 0.0
        return replace(self, arrays=arrays, digest=digest)

    def listed(self) -> np.ndarray:
        """Listed rows, ascending, int64."""
        return np.flatnonzero(self.rows)

    def encode(self, form: UpdateCodec, trained: list[np.ndarray], out: np.ndarray, seed: int, weight: int = 1) -> int:
        """Write the update that led to `trained` as words, counters behind.

        Args:
            trained: As `arrays`.
            out: uint32 or uint16 [form.words].
            seed: Of the rounding.
        Returns:
            Coordinates that were clipped.
        Raises:
            ValueError: An update that is not finite, or of another form.
        """
        if [array.shape for array in trained] != [array.shape for array in self.arrays]:
            raise ValueError(f"a trunk of shapes {[a.shape for a in trained]}, not {[a.shape for a in self.arrays]}")
        blocks = (_part(trained[n], part) - _part(self.arrays[n], part) for n, part in form.pieces(trained))
        clipped = form.quantiser(self.value_range, weight).quantise(blocks, out[: form.coordinates], seed)
        counters = digits.split(weight, WEIGHT_BITS, form.word_bits, form.partners)
        counters += digits.split(clipped, CLIPPED_BITS, form.word_bits, form.partners)
        out[form.coordinates :] = counters
        return clipped

    def decode(self, form: UpdateCodec, sums: np.ndarray, survivors: int, step: float, digest: bytes) -> Decoded:
        """The trunk after adding `step` times the mean update, whose sum over partners this is; `arrays` are changed in place.

        Args:
            sums: int32 or int16 [form.words].
            survivors: Partners in the sum.
            digest: Of the new trunk.
        Raises:
            ValueError: A sum that no allowed words have.
        """
        place = form.coordinates + digits.count(WEIGHT_BITS, form.word_bits, form.partners)
        unsigned = sums.view(f"<u{sums.itemsize}")
        weight = digits.join(unsigned[form.coordinates : place].tolist(), form.word_bits, form.partners)
        clipped = digits.join(unsigned[place:].tolist(), form.word_bits, form.partners)
        quantiser = form.quantiser(self.value_range)
        values = sums[: form.coordinates]
        bound = min(weight, survivors * form.largest_weight) * quantiser.largest
        if not survivors <= weight <= survivors * form.largest_weight or values.max() > bound or values.min() < -bound:
            raise ValueError(f"a sum over {survivors} partners with weight {weight} and values beyond {bound}: a partner left the range")
        largest = 0.0
        first = 0
        for number, part in form.pieces(self.arrays):
            shape = _part(self.arrays[number], part).shape
            mean = quantiser.mean(values[first : first + shape[0]], weight)
            largest = max(largest, float(np.abs(mean).max(initial=0.0)))
            _add(self.arrays[number], part, mean, np.float32(step))
            first += shape[0]
        following = next_range(self.value_range, largest, clipped, form.coordinates, survivors)
        return Decoded(
            replace(self, version=self.version + 1, digest=digest, value_range=following),
            weight=weight,
            clipped=clipped,
            largest=largest,
        )

    def check(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        """See that a trunk of somebody else is one that this experiment can have.

        Args:
            shapes: Of its arrays; it may have none before the first round.
        Raises:
            TrunkFileError: It is none.
        """
        if self.arrays or self.version:
            check_trunk(self.arrays, shapes)
        if self.rows.dtype != np.bool_ or self.rows.shape not in ((0,), (shapes[0][0],)):
            raise TrunkFileError(f"a row list of {self.rows.dtype} {self.rows.shape}, not of {shapes[0][0]} rows")
        if not LEAST_RANGE <= self.value_range <= LARGEST_RANGE or frexp(self.value_range)[0] != 0.5:
            raise TrunkFileError(f"a range of {self.value_range}, not a power of two from 2^-64 to 2^64")
        if self.version < 0 or len(self.digest) != DIGEST or len(self.session) not in (0, DIGEST):
            raise TrunkFileError("a trunk without a version, a name and a session")
        if not all(isinstance(value, int | float) and isfinite(value) for value in self.found.values()):
            raise TrunkFileError("a trunk whose last sum was found to be no numbers")

    def to_bytes(self) -> bytes:
        """Everything, as safetensors."""
        return save(self._tensors(), metadata={SHARED: json.dumps(self._told(), sort_keys=True)})

    def write(self, path: Path) -> None:
        """Everything, as a safetensors file of half the size; whole or not at all, mode 0600."""
        with atomic_path(path, own_folder=True) as temporary:
            tensors, told = self._compact(), self._told()
            told[CHECKSUM] = checksum(json.dumps(told, sort_keys=True), tensors)
            save_file(tensors, temporary, metadata={SHARED: json.dumps(told, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "SharedTrunk":
        """The trunk of `to_bytes`.

        Raises:
            TrunkFileError: It is none.
        """
        try:
            size = int.from_bytes(data[:8], "little")
            return cls._from(load(data), json.loads(json.loads(data[8 : 8 + size])["__metadata__"][SHARED]))
        except (SafetensorError, AttributeError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise TrunkFileError(f"a handed-over trunk is damaged: {error}") from error

    @classmethod
    def read(cls, path: Path) -> "SharedTrunk":
        """The trunk of `write`.

        Raises:
            TrunkFileError: The file is damaged; its own checksum says so, where an earlier version did not write it without one.
        """
        try:
            with safe_open(path, framework="np") as opened:
                tensors, told = {name: opened.get_tensor(name) for name in opened.keys()}, json.loads(opened.metadata()[SHARED])  # noqa: SIM118
            if told.pop(CHECKSUM, None) not in (None, checksum(json.dumps(told, sort_keys=True), tensors)):
                raise ValueError("it is not what its own checksum says")
            return cls._from(_whole(tensors), told)
        except (SafetensorError, AttributeError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise TrunkFileError(f"{path} is damaged: {error}") from error

    def _tensors(self) -> dict[str, np.ndarray]:
        return {str(number): array for number, array in enumerate(self.arrays)} | {ROWS: self.rows}

    def _compact(self) -> dict[str, np.ndarray]:
        """The same, without rows of the first array that are zero: about half of them."""
        held = self._tensors()
        if self.arrays:
            bits = self.arrays[0].reshape(len(self.arrays[0]), -1).view(np.uint32)  # minus zero is not zero
            held[USED] = np.asarray(bits.any(axis=1))
            held["0"] = self.arrays[0][held[USED]]
        return held

    def _told(self) -> dict[str, Any]:
        held = {"version": self.version, "digest": self.digest.hex(), "range": self.value_range, "session": self.session.hex()}
        return held | {"found": self.found}

    @classmethod
    def _from(cls, tensors: dict[str, np.ndarray], held: Any) -> "SharedTrunk":
        if not isinstance(held, dict):
            raise TypeError(f"its metadata is a {type(held).__name__}")
        found = dict(held.get("found", {}))
        arrays = [np.require(tensors[str(number)], requirements="W") for number in range(len(tensors) - 1)]
        digest, session = bytes.fromhex(held["digest"]), bytes.fromhex(held["session"])
        return cls(arrays, int(held["version"]), digest, float(held["range"]), tensors[ROWS], session, found)


def check_trunk(arrays: list[np.ndarray], shapes: tuple[tuple[int, ...], ...]) -> None:
    """See that these are a trunk of these shapes.

    Raises:
        TrunkFileError: Other shapes, no float32, or values that are not finite.
    """
    held = [(str(array.dtype), array.shape) for array in arrays]
    if held != [("float32", shape) for shape in shapes]:
        raise TrunkFileError(f"a trunk of {held[:4]}, not of shapes {list(shapes)} in float32")
    if not all(np.isfinite(array).all() for array in arrays):
        raise TrunkFileError("a trunk with values that are not finite")


def no_trunk(value_range: float, digest: bytes) -> SharedTrunk:
    """What a partner holds before the first round.

    Args:
        value_range: Of the first update's quantiser.
        digest: Stands for none.
    """
    return SharedTrunk([], 0, digest, value_range, np.empty(0, dtype=np.bool_), b"")


def _whole(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `_compact` made compact. Only for our own files: a few bytes can ask for much memory."""
    used = tensors.pop(USED, None)
    if used is not None:
        rows = tensors["0"]
        tensors["0"] = np.zeros((len(used), *rows.shape[1:]), dtype=rows.dtype)
        tensors["0"][used] = rows
    return tensors


def _part(array: np.ndarray, part: np.ndarray | slice) -> np.ndarray:
    """Rows, or a slice of all values, as a vector."""
    held: np.ndarray = array.reshape(-1)[part] if isinstance(part, slice) else array[part].reshape(-1)
    return held


def _add(array: np.ndarray, part: np.ndarray | slice, mean: np.ndarray, step: np.float32) -> None:
    """Add step · mean to rows, or to a slice of all values, in place."""
    if isinstance(part, slice):
        array.reshape(-1)[part] += step * mean
    else:
        array[part] += step * mean.reshape(len(part), *array.shape[1:])
