"""What every partner holds alike between two rounds: the trunk, and what its next update is written in.

PROTOCOL.md of `strategies.secagg`, sections 3 (the trunk that a session goes on from) and 5 (finishing a round). Partners never send the
trunk to each other but in a handover: each adds the same decoded integers to the same floats, in the same order, with the same
arithmetic, and so holds the same bits. Whatever is changed here must keep that, and all partners must run the same version of it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import frexp
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save, save_file

from fedapp.storage.digests import checksum
from fedapp.storage.files import atomic_path
from strategies.secagg import digits
from strategies.secagg.errors import SecAggError
from strategies.secagg.keys import trunk_name
from strategies.update.codec import CLIPPED_BITS, WEIGHT_BITS, Part, UpdateCodec, part_of
from strategies.update.quantise import next_range
from strategies.update.round_sum import all_numbers
from strategies.update.row_guard import LEAST_HOLDERS
from strategies.update.velocity import Velocity
from strategies.update.verdict import AcceptedSum, PendingSum

ROWS, USED, VELOCITY, VELOCITY_ROWS = "rows", "used", "velocity", "velocity_rows"
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
        arrays: float32; none before there is a first trunk. Where partners have common endpoints, the last one holds the shared heads.
        version: Rounds behind it.
        name: What the protocol calls it, 32 bytes; zeros for none. It commits to all that is alike but the row list.
        value_range: Of the next update's quantiser.
        rows: What may leave, bool: per row of the first array, then per slot of the shared heads, whether it is listed; empty before
            partners agreed.
        session: In which they agreed.
        found: What partners found in the last sum, for the report; empty before the first.
        velocity: Of what it learns; none before the first sum, and without momentum.
        blind: By which the coordinator can test no guess against the name, 32 bytes; none where there is no name.
        before: Name of the trunk that the last round trained from; zeros before the first round.
    """

    arrays: list[np.ndarray]
    version: int
    name: bytes
    value_range: float
    rows: np.ndarray
    session: bytes
    found: dict[str, Any] = field(default_factory=dict)
    velocity: Velocity = field(default_factory=Velocity)
    blind: bytes = b""
    before: bytes = bytes(DIGEST)

    @property
    def rows_digest(self) -> bytes:
        """SHA-256 of the row list and of the session in which partners agreed on it."""
        return hashlib.sha256(self.session + self.rows.tobytes()).digest()

    def with_rows(self, rows: np.ndarray, session: bytes) -> "SharedTrunk":
        """The same with a new list of what may leave."""
        return replace(self, rows=rows, session=session)

    def without_rows(self) -> "SharedTrunk":
        """The same, before partners agreed on what may leave."""
        return replace(self, rows=np.empty(0, dtype=np.bool_), session=b"")

    def starting_with(self, arrays: list[np.ndarray]) -> "SharedTrunk":
        """The first trunk. Unlisted rows are zero: nobody trains them, so their random values would only be noise in predictions."""
        arrays[0][~self.rows[: len(arrays[0])]] = 0.0
        return replace(self, arrays=arrays)

    def named(self, blind: bytes) -> "SharedTrunk":
        """The same under its name, which follows from all that is in it but the row list."""
        content = content_digest(self._compact(), self.value_range, self.found)
        return replace(self, name=trunk_name(blind, self.version, content, self.before), blind=blind)

    def encode(self, codec: UpdateCodec, trained: list[np.ndarray], sent: np.ndarray, out: np.ndarray, seed: int, weight: int = 1) -> int:
        """Write the update that led to `trained` as words, counters behind.

        Args:
            codec: How; of what is listed.
            trained: As `arrays`; what it says of unlisted rows, and of slots that are not sent, stays at home.
            sent: This partner's own support within the list, bool, as long as `rows`: says in which slots it has a part.
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
        if sent.shape != codec.listed.shape:
            raise ValueError(f"what is sent is a list of {sent.shape}, not of {codec.listed.shape}")
        present = sent[codec.shapes[0][0] :][codec.slots]
        clipped = codec.quantiser(self.value_range, weight).quantise(self._changes(codec, trained, present), out[: codec.coordinates], seed)
        blocks = codec.blocks(out)
        blocks[:, :-1] = out[codec.dense : codec.coordinates].copy().reshape(len(blocks), codec.slot_width)
        blocks[:, -1] = weight * present
        counters = digits.split(weight, WEIGHT_BITS, codec.word_bits, codec.partners)
        counters += digits.split(clipped, CLIPPED_BITS, codec.word_bits, codec.partners)
        out[codec.before_counters :] = counters
        return clipped

    def pending(self, codec: UpdateCodec, words: np.ndarray, survivors: int, holders: int = LEAST_HOLDERS) -> PendingSum:
        """A sum of updates to this trunk, for `verdict.judge`; see `PendingSum`."""
        return PendingSum(codec, words, survivors, self.value_range, holders)

    def adding(self, accepted: AcceptedSum, step: float, momentum: float) -> "SharedTrunk":
        """The trunk after a sum, before it has a name; `arrays` and `velocity` are changed in place.

        The velocity becomes momentum · velocity + mean update, and `step` times the velocity is added (B. T. Polyak, 1964; as FedAvgM: Hsu,
        Qi, Brown, arXiv 1909.06335). A slot of which too few holders were left in the sum stays as it is, its velocity too.

        Args:
            accepted: A sum of updates to this trunk.
            step: 1 without momentum replaces the trunk by the mean of the partners' trunks.
            momentum: 0 to below 1.
        """
        velocity = self.velocity.over(accepted.codec) if momentum else self.velocity
        # Piece by piece and in place: a large trunk is never there twice.
        for place, number, part, mean in accepted.means(self.arrays):
            change = mean
            if momentum:
                change = velocity.values[place]
                change *= np.float32(momentum)
                change += mean
            _add(self.arrays[number], part, change, np.float32(step))
        # The next range follows from the sum, which everybody has alike: no partner needs to tell how large its own update is.
        following = next_range(self.value_range, accepted.largest, accepted.clipped, accepted.codec.coordinates, accepted.survivors)
        return replace(
            self, version=self.version + 1, name=bytes(DIGEST), blind=b"", before=self.name, value_range=following, velocity=velocity
        )

    def check(self, shapes: tuple[tuple[int, ...], ...], slots: int, momentum: float) -> None:
        """See that a trunk of somebody else is one that this experiment can have.

        Args:
            shapes: Of its arrays; it may have none before the first round.
            slots: Of the shared heads, 0 without any.
            momentum: Of the experiment.
        Raises:
            TrunkFileError: It is none.
        """
        if self.arrays or self.version:
            check_trunk(self.arrays, shapes)
        check_list(self.rows, shapes, slots, or_none=True)
        self._check_velocity(shapes, slots, expected=momentum > 0 and self.version > 0)
        if not LEAST_RANGE <= self.value_range <= LARGEST_RANGE or frexp(self.value_range)[0] != 0.5:
            raise TrunkFileError(f"a range of {self.value_range}, not a power of two from 2^-64 to 2^64")
        if self.version < 0 or len(self.name) != DIGEST or len(self.session) not in (0, DIGEST):
            raise TrunkFileError("a trunk without a version, a name and a session")
        if not all_numbers(self.found):
            raise TrunkFileError("a trunk whose last sum was found to be no numbers")

    def _check_velocity(self, shapes: tuple[tuple[int, ...], ...], slots: int, expected: bool) -> None:
        """As `check`: it is there where this experiment and version have one, and of its own list."""
        rows, values = self.velocity.rows, self.velocity.values
        check_list(rows, shapes, slots, or_none=not expected)
        size = UpdateCodec(shapes, rows, 32, 1).coordinates if expected else 0
        if values.dtype != np.float32 or values.shape != (size,) or not np.isfinite(values).all():
            raise TrunkFileError(f"a velocity of {values.dtype} {values.shape}, not of {size} finite float32 values")

    def to_bytes(self) -> bytes:
        """Everything, as safetensors."""
        return save(self._tensors(), metadata={SHARED: json.dumps(self._metadata(), sort_keys=True)})

    def write(self, path: Path) -> None:
        """Everything, as a safetensors file of half the size; whole or not at all, mode 0600."""
        with atomic_path(path, own_folder=True) as temporary:
            tensors, metadata = self._compact(), self._metadata()
            metadata[CHECKSUM] = self._checksum(metadata, tensors)
            save_file(tensors, temporary, metadata={SHARED: json.dumps(metadata, sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "SharedTrunk":
        """The trunk of `to_bytes`.

        Raises:
            TrunkFileError: It is none, or not what its name says.
        """
        try:
            size = int.from_bytes(data[:8], "little")
            shared = cls._from(load(data), json.loads(json.loads(data[8 : 8 + size])["__metadata__"][SHARED]))
            if not shared.blind:
                raise ValueError("it has no name that commits to its content")
            shared._check_name(shared._compact())
            return shared
        except (SafetensorError, AttributeError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise TrunkFileError(f"a handed-over trunk is damaged: {error}") from error

    @classmethod
    def read(cls, path: Path) -> "SharedTrunk":
        """The trunk of `write`.

        Raises:
            TrunkFileError: The file is damaged: it is not what its name and its checksum say; or of an earlier version.
        """
        try:
            with safe_open(path, framework="np") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
                metadata = json.loads(opened.metadata()[SHARED])
            claimed = metadata.pop(CHECKSUM)
            if "digest" in metadata:
                raise ValueError("a trunk of version 1 of the protocol: a run under version 2 begins anew")
            shared = cls._from(_whole(dict(tensors)), metadata)
            if claimed != shared._checksum(metadata, tensors):
                raise ValueError("it is not what its own checksum says")
            shared._check_name(tensors)
            return shared
        except (SafetensorError, AttributeError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise TrunkFileError(f"{path} is damaged: {error}") from error

    def _changes(self, codec: UpdateCodec, trained: list[np.ndarray], present: np.ndarray) -> Iterator[np.ndarray]:
        """What training changed, in the order of the codec: exactly 0 in listed slots that are not `present`, whatever was trained."""
        for number, part in codec.pieces(trained):
            yield part_of(trained[number], part) - part_of(self.arrays[number], part)
        for (number, slot), sent in zip(codec.slot_pieces(), present, strict=True):
            before = part_of(self.arrays[number], slot)
            yield part_of(trained[number], slot) - before if sent else np.zeros_like(before)

    def _checksum(self, metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
        """Of what the name does not commit to: metadata and row list; of everything where there is no name."""
        return checksum(json.dumps(metadata, sort_keys=True), {ROWS: tensors[ROWS]} if self.blind else tensors)

    def _check_name(self, compact: dict[str, np.ndarray]) -> None:
        """See that the content is the one that the name commits to."""
        if not self.blind:
            return
        content = content_digest(compact, self.value_range, self.found)
        if self.name != trunk_name(self.blind, self.version, content, self.before):
            raise ValueError("its content is not what its name says")

    def _tensors(self) -> dict[str, np.ndarray]:
        velocity = {VELOCITY: self.velocity.values, VELOCITY_ROWS: self.velocity.rows} if len(self.velocity.values) else {}
        return {str(number): array for number, array in enumerate(self.arrays)} | {ROWS: self.rows} | velocity

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
            "name": self.name.hex(),
            "blind": self.blind.hex(),
            "before": self.before.hex(),
            "range": self.value_range,
            "session": self.session.hex(),
            "found": self.found,
        }

    @classmethod
    def _from(cls, tensors: dict[str, np.ndarray], metadata: Any) -> "SharedTrunk":
        if not isinstance(metadata, dict):
            raise TypeError(f"its metadata is a {type(metadata).__name__}")
        arrays = len(tensors) - len({ROWS, VELOCITY, VELOCITY_ROWS} & set(tensors))
        velocity = Velocity(tensors[VELOCITY_ROWS], np.require(tensors[VELOCITY], requirements="W")) if VELOCITY in tensors else Velocity()
        return cls(
            arrays=[np.require(tensors[str(number)], requirements="W") for number in range(arrays)],
            version=int(metadata["version"]),
            name=bytes.fromhex(metadata["name"]),
            value_range=float(metadata["range"]),
            rows=tensors[ROWS],
            session=bytes.fromhex(metadata["session"]),
            found=dict(metadata.get("found", {})),
            velocity=velocity,
            blind=bytes.fromhex(metadata["blind"]),
            before=bytes.fromhex(metadata["before"]),
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


def check_list(rows: np.ndarray, shapes: tuple[tuple[int, ...], ...], slots: int, or_none: bool = False) -> None:
    """See that this is a list of what may leave, in an experiment with arrays of these shapes and so many slots.

    Args:
        or_none: Whether it may be empty, as before partners agreed.
    Raises:
        TrunkFileError: It is none.
    """
    length = shapes[0][0] + slots
    if rows.dtype != np.bool_ or rows.shape not in ((length,), (0,) if or_none else (length,)):
        raise TrunkFileError(f"a row list of {rows.dtype} {rows.shape}, not of {length} rows")


def content_digest(tensors: dict[str, np.ndarray], value_range: float, found: dict[str, Any]) -> bytes:
    """SHA-256 of all that partners hold alike in a trunk, but its row list.

    Args:
        tensors: As they are stored: of the first array only the rows that are not zero.
    """
    digest = hashlib.sha256(json.dumps({"range": value_range, "found": found}, sort_keys=True).encode())
    for key in sorted(set(tensors) - {ROWS}):
        digest.update(f"\n{key} {tensors[key].dtype.str} {tensors[key].shape}\n".encode())
        digest.update(np.ascontiguousarray(tensors[key]).data)
    return digest.digest()


def no_trunk(value_range: float) -> SharedTrunk:
    """What a partner holds before the first round.

    Args:
        value_range: Of the first update's quantiser.
    """
    return SharedTrunk([], 0, bytes(DIGEST), value_range, np.empty(0, dtype=np.bool_), b"")


def _whole(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `_compact` made compact. Only for our own files: a few bytes can ask for much memory."""
    used = tensors.pop(USED, None)
    if used is not None:
        rows = tensors["0"]
        tensors["0"] = np.zeros((len(used), *rows.shape[1:]), dtype=rows.dtype)
        tensors["0"][used] = rows
    return tensors


def _add(array: np.ndarray, part: Part, mean: np.ndarray, step: np.float32) -> None:
    """Add step · mean to rows, or to a slice of all values, in place."""
    if isinstance(part, slice):
        array.reshape(-1)[part] += step * mean
    else:
        array[part] += step * mean.reshape(len(part), *array.shape[1:])
