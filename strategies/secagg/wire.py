"""The one encoding of every message and of every state: a frozen dataclass, field after field, big-endian.

    int    4 bytes, unsigned            bytes   length (4 bytes), content
    bool   1 byte, 0 or 1               str     as bytes, UTF-8
    float  8 bytes, IEEE 754            tuple   number of items (4 bytes), items
    X | None   1 byte, 0 or 1, then X   another dataclass   its fields

Each value has exactly one encoding, and a decoder refuses every other one; no byte may be left over. Where a message is of one of
several kinds, a tag stands before it: 1 byte, the kind's place among them, from 1.
"""

import struct
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from strategies.secagg.errors import MalformedMessageError

DOMAIN = b"polyphony/v2/"  # before all that is hashed, signed or derived: nothing of another version, or another program, fits

T = TypeVar("T")
Writer = Callable[[Any, list[bytes]], None]
LENGTH = 4


def encode(value: Any) -> bytes:
    """The canonical bytes of a frozen dataclass.

    Raises:
        OverflowError: An int outside 0 to 2^32 - 1.
    """
    parts: list[bytes] = []
    kind: Any = type(value)
    writer(kind)(value, parts)
    return b"".join(parts)


def decode(kind: type[T], data: bytes) -> T:
    """The value of type `kind` that `data` encodes.

    Raises:
        MalformedMessageError: Truncated, left-over bytes, another form, or contents that the dataclass itself refuses.
    """
    source = Source(data)
    asked: Any = kind
    value: T = reader(asked)(source)
    if source.position != len(data):
        raise MalformedMessageError(f"{kind.__name__}: {len(data) - source.position} bytes too many")
    return value


def encode_tagged(kinds: tuple[type, ...], value: Any) -> bytes:
    """The bytes of a value behind the tag that says which of `kinds` it is."""
    return bytes([1 + kinds.index(type(value))]) + encode(value)


def decode_tagged(kinds: tuple[type[T], ...], data: bytes) -> T:
    """The value of one of `kinds` that `data` encodes.

    Raises:
        MalformedMessageError: Without a tag of these kinds, or as `decode`.
    """
    tag = data[0] if data else 0
    if not 1 <= tag <= len(kinds):
        known = ", ".join(f"{number} {kind.__name__}" for number, kind in enumerate(kinds, 1))
        raise MalformedMessageError(f"a message of kind {tag}, and there are {known}: truncated, or of another version of this program")
    return decode(kinds[tag - 1], data[1:])


class Source:
    """Bytes that are taken one piece after another.

    Args:
        data: All of them.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes; never allocates more than there is."""
        taken = self.data[self.position : self.position + count]
        if len(taken) != count:
            raise MalformedMessageError(f"truncated: {count} bytes expected at {self.position}, {len(taken)} left")
        self.position += count
        return bytes(taken)

    def number(self) -> int:
        """4 bytes, unsigned."""
        return int.from_bytes(self.take(LENGTH), "big")

    def numbers(self) -> tuple[int, ...]:
        """Numbers behind how many they are."""
        count = self.number()
        taken: tuple[int, ...] = struct.unpack(f">{count}I", self.take(count * LENGTH))
        return taken

    def real(self) -> float:
        """8 bytes, IEEE 754."""
        value: float = struct.unpack(">d", self.take(8))[0]
        return value

    def flag(self) -> bool:
        """1 byte, 0 or 1."""
        byte = self.take(1)
        if byte not in (b"\x00", b"\x01"):
            raise MalformedMessageError(f"a flag is 0 or 1, not {byte.hex()}")
        return byte == b"\x01"

    def content(self) -> bytes:
        """Bytes behind their length."""
        return self.take(self.number())

    def text(self) -> str:
        """UTF-8 behind its length."""
        try:
            return self.content().decode()
        except UnicodeDecodeError as error:
            raise MalformedMessageError("text that is not UTF-8") from error


def field_types(kind: Any) -> tuple[tuple[Any, str], ...]:
    """Type and name of each field, in order."""
    hints = get_type_hints(kind)
    return tuple((hints[field.name], field.name) for field in fields(kind))


def _optional(kind: Any) -> Any:
    """X of `X | None`."""
    (inner,) = (member for member in get_args(kind) if member is not NoneType)
    return inner


def _write_content(value: bytes, parts: list[bytes]) -> None:
    parts += [len(value).to_bytes(LENGTH, "big"), value]


def _write_numbers(value: tuple[int, ...], parts: list[bytes]) -> None:
    try:
        parts += [len(value).to_bytes(LENGTH, "big"), struct.pack(f">{len(value)}I", *value)]
    except struct.error as error:
        raise OverflowError(f"numbers of 4 bytes: {error}") from error


WRITERS: dict[Any, Writer] = {
    int: lambda value, parts: parts.append(value.to_bytes(LENGTH, "big")),
    float: lambda value, parts: parts.append(struct.pack(">d", value)),
    bool: lambda value, parts: parts.append(b"\x01" if value else b"\x00"),
    bytes: _write_content,
    str: lambda value, parts: _write_content(value.encode(), parts),
    tuple[int, ...]: _write_numbers,  # at once: a session of n partners has n^3 of these
}
READERS: dict[Any, Callable[[Source], Any]] = {
    int: Source.number,
    float: Source.real,
    bool: Source.flag,
    bytes: Source.content,
    str: Source.text,
    tuple[int, ...]: Source.numbers,
}


@cache
def writer(kind: Any) -> Writer:
    """Appends the encoding of a value of this type to a list of parts; put together once for each type."""
    if kind in WRITERS:
        return WRITERS[kind]
    if get_origin(kind) is tuple:
        item = writer(get_args(kind)[0])

        def write_items(value: Any, parts: list[bytes]) -> None:
            parts.append(len(value).to_bytes(LENGTH, "big"))
            for member in value:
                item(member, parts)

        return write_items
    if get_origin(kind) is UnionType:
        inner = writer(_optional(kind))

        def write_optional(value: Any, parts: list[bytes]) -> None:
            parts.append(b"\x00" if value is None else b"\x01")
            if value is not None:
                inner(value, parts)

        return write_optional
    members = [(writer(field_type), name) for field_type, name in field_types(kind)]

    def write_fields(value: Any, parts: list[bytes]) -> None:
        for write, name in members:
            write(getattr(value, name), parts)

    return write_fields


@cache
def reader(kind: Any) -> Callable[[Source], Any]:
    """Takes a value of this type from a source; put together once for each type."""
    if kind in READERS:
        return READERS[kind]
    if get_origin(kind) is tuple:
        item = reader(get_args(kind)[0])
        return lambda source: tuple([item(source) for _ in range(source.number())])
    if get_origin(kind) is UnionType:
        inner = reader(_optional(kind))
        return lambda source: inner(source) if source.flag() else None
    members = [reader(field_type) for field_type, _ in field_types(kind)]

    def read_fields(source: Source) -> Any:
        values = [read(source) for read in members]
        try:
            return kind(*values)
        except ValueError as error:
            raise MalformedMessageError(str(error)) from error

    return read_fields
