"""What every partner holds alike between two rounds: the trunk, and what its next update is written in.

PROTOCOL.md of `strategies.secagg`, sections 3 (the trunk that a session goes on from) and 5 (finishing a round). Partners never send the
trunk to each other but in a handover: each adds the same decoded integers to the same floats, in the same order, with the same
arithmetic, and so holds the same bits. Whatever is changed here must keep that, and all partners must run the same version of it.
"""

import json
from dataclasses import dataclass, field, replace
from math import frexp, isfinite
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save, save_file

from fedapp.storage.digests import checksum
from fedapp.storage.files import atomic_path
from strategies.secagg import digits
from strategies.secagg.errors import SecAggError
from strategies.update.codec import CLIPPED_BITS, WEIGHT_BITS, UpdateCodec
from strategies.update.quantise import next_range
from strategies.update.verdict import AcceptedSum, PendingSum

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

    def encode(self, codec: UpdateCodec, trained: list[np.ndarray], out: np.ndarray, seed: int, weight: int = 1) -> int:
        """Write the update that led to `trained` as words, counters behind.

        Args:
            codec: How; of the rows that are listed.
            trained: As `arrays`; what it says of unlisted rows stays at home.
            out: uint32 or uint16 [codec.words].
            seed: Of the rounding; another for every update.
            weight: Of this partner, 1 to `codec.largest_weight`.
        Returns:
            Coordinates that were clipped.
        Raises:
            ValueError: An update that is not finite, or of another form.
        """
        if [array.shape for array in trained] != [array.shape for array in self.arrays]:
            raise ValueError(f"a trunk of shapes {[a.shape for a in trained]}, not {[a.shape for a in self.arrays]}")
        blocks = (_part(trained[n], part) - _part(self.arrays[n], part) for n, part in codec.pieces(trained))
        clipped = codec.quantiser(self.value_range, weight).quantise(blocks, out[: codec.coordinates], seed)
        counters = digits.split(weight, WEIGHT_BITS, codec.word_bits, codec.partners)
        counters += digits.split(clipped, CLIPPED_BITS, codec.word_bits, codec.partners)
        out[codec.coordinates :] = counters
        return clipped

    def pending(self, codec: UpdateCodec, words: np.ndarray, survivors: int) -> PendingSum:
        """A sum of updates to this trunk, for `verdict.judge`; see `PendingSum`."""
        return PendingSum(codec, words, survivors, self.value_range)

    def adding(self, accepted: AcceptedSum, step: float, digest: bytes) -> "SharedTrunk":
        """The trunk after adding `step` times the mean update; `arrays` are changed in place.

        Args:
            accepted: A sum of updates to this trunk.
            step: 1 replaces the trunk by the mean of the partners' trunks.
            digest: Of the new trunk.
        """
        quantiser, first = accepted.quantiser, 0
        # Piece by piece and in place: a large trunk is never there twice.
        for number, part in accepted.codec.pieces(self.arrays):
            size = len(_part(self.arrays[number], part))
            mean = quantiser.mean(accepted.values[first : first + size], accepted.weight)
            _add(self.arrays[number], part, mean, np.float32(step))
            first += size
        # The next range follows from the sum, which everybody has alike: no partner needs to tell how large its own update is.
        following = next_range(self.value_range, accepted.largest, accepted.clipped, accepted.codec.coordinates, accepted.survivors)
        return replace(self, version=self.version + 1, digest=digest, value_range=following)

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
        return save(self._tensors(), metadata={SHARED: json.dumps(self._metadata(), sort_keys=True)})

    def write(self, path: Path) -> None:
        """Everything, as a safetensors file of half the size; whole or not at all, mode 0600."""
        with atomic_path(path, own_folder=True) as temporary:
            tensors, metadata = self._compact(), self._metadata()
            metadata[CHECKSUM] = checksum(json.dumps(metadata, sort_keys=True), tensors)
            save_file(tensors, temporary, metadata={SHARED: json.dumps(metadata, sort_keys=True)})

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
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
                metadata = json.loads(opened.metadata()[SHARED])
            if metadata.pop(CHECKSUM, None) not in (None, checksum(json.dumps(metadata, sort_keys=True), tensors)):
                raise ValueError("it is not what its own checksum says")
            return cls._from(_whole(tensors), metadata)
        except (SafetensorError, AttributeError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise TrunkFileError(f"{path} is damaged: {error}") from error

    def _tensors(self) -> dict[str, np.ndarray]:
        return {str(number): array for number, array in enumerate(self.arrays)} | {ROWS: self.rows}

    def _compact(self) -> dict[str, np.ndarray]:
        """The same, without rows of the first array that are zero: about half of them."""
        tensors = self._tensors()
        if self.arrays:
            bits = self.arrays[0].reshape(len(self.arrays[0]), -1).view(np.uint32)  # minus zero is not zero
            tensors[USED] = np.asarray(bits.any(axis=1))
            tensors["0"] = self.arrays[0][tensors[USED]]
        return tensors

    def _metadata(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "digest": self.digest.hex(),
            "range": self.value_range,
            "session": self.session.hex(),
            "found": self.found,
        }

    @classmethod
    def _from(cls, tensors: dict[str, np.ndarray], metadata: Any) -> "SharedTrunk":
        if not isinstance(metadata, dict):
            raise TypeError(f"its metadata is a {type(metadata).__name__}")
        return cls(
            arrays=[np.require(tensors[str(number)], requirements="W") for number in range(len(tensors) - 1)],
            version=int(metadata["version"]),
            digest=bytes.fromhex(metadata["digest"]),
            value_range=float(metadata["range"]),
            rows=tensors[ROWS],
            session=bytes.fromhex(metadata["session"]),
            found=dict(metadata.get("found", {})),
        )


def check_trunk(arrays: list[np.ndarray], shapes: tuple[tuple[int, ...], ...]) -> None:
    """See that these are a trunk of these shapes.

    Raises:
        TrunkFileError: Other shapes, no float32, or values that are not finite.
    """
    forms = [(str(array.dtype), array.shape) for array in arrays]
    if forms != [("float32", shape) for shape in shapes]:
        raise TrunkFileError(f"a trunk of {forms[:4]}, not of shapes {list(shapes)} in float32")
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
    values: np.ndarray = array.reshape(-1)[part] if isinstance(part, slice) else array[part].reshape(-1)
    return values


def _add(array: np.ndarray, part: np.ndarray | slice, mean: np.ndarray, step: np.float32) -> None:
    """Add step · mean to rows, or to a slice of all values, in place."""
    if isinstance(part, slice):
        array.reshape(-1)[part] += step * mean
    else:
        array[part] += step * mean.reshape(len(part), *array.shape[1:])
