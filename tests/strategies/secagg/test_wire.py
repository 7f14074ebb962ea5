"""The encoding: every value has one, and every other string of bytes is refused."""

import struct
import time
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError


@dataclass(frozen=True)
class Inner:
    number: int
    content: bytes


@dataclass(frozen=True)
class Outer:
    number: int
    flag: bool
    ratio: float
    content: bytes
    text: str
    inner: Inner
    maybe: Inner | None
    perhaps: int | None
    numbers: tuple[int, ...]
    inners: tuple[Inner, ...]
    nested: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Small:
    flag: bool
    maybe: int | None
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


@dataclass(frozen=True)
class Evens:
    items: tuple[Even, ...]


NUMBERS = st.integers(0, 2**32 - 1)
INNERS = st.builds(Inner, NUMBERS, st.binary(max_size=20))
OUTERS = st.builds(
    Outer,
    number=NUMBERS,
    flag=st.booleans(),
    ratio=st.floats(allow_nan=False),
    content=st.binary(max_size=20),
    text=st.text(max_size=10),
    inner=INNERS,
    maybe=st.none() | INNERS,
    perhaps=st.none() | NUMBERS,
    numbers=st.lists(NUMBERS, max_size=4).map(tuple),
    inners=st.lists(INNERS, max_size=3).map(tuple),
    nested=st.lists(st.lists(st.text(max_size=3), max_size=3).map(tuple), max_size=3).map(tuple),
)
EXAMPLE = Outer(7, True, 0.5, b"ab", "µ", Inner(1, b""), Inner(2, b"z"), None, (3, 4), (Inner(5, b"q"),), (("x",), ()))


def size(count: int) -> bytes:
    return struct.pack(">I", count)


def test_the_bytes_are_those_of_the_description() -> None:
    by_hand = [
        size(7),
        b"\x01",
        struct.pack(">d", 0.5),
        size(2) + b"ab",
        size(2) + "µ".encode(),
        size(1) + size(0),
        b"\x01" + size(2) + size(1) + b"z",
        b"\x00",
        size(2) + size(3) + size(4),
        size(1) + size(5) + size(1) + b"q",
        size(2) + (size(1) + size(1) + b"x") + size(0),
    ]
    assert wire.encode(EXAMPLE) == b"".join(by_hand)


@given(OUTERS)
def test_what_is_encoded_decodes_to_the_same_value(value: Outer) -> None:
    assert wire.decode(Outer, wire.encode(value)) == value


@given(OUTERS, OUTERS)
def test_two_values_have_the_same_bytes_only_if_they_are_equal(one: Outer, other: Outer) -> None:
    assert (wire.encode(one) == wire.encode(other)) == (one == other and str(one.ratio) == str(other.ratio))  # 0.0 and -0.0 are two values


def test_every_truncation_is_refused() -> None:
    data = wire.encode(EXAMPLE)
    for length in range(len(data)):
        with pytest.raises(MalformedMessageError):
            wire.decode(Outer, data[:length])


def test_a_byte_behind_a_message_is_refused() -> None:
    with pytest.raises(MalformedMessageError, match="1 bytes too many"):
        wire.decode(Outer, wire.encode(EXAMPLE) + bytes(1))


@given(OUTERS, st.binary(min_size=1, max_size=9))
def test_every_left_over_byte_is_refused(value: Outer, rest: bytes) -> None:
    with pytest.raises(MalformedMessageError, match=f"{len(rest)} bytes too many"):
        wire.decode(Outer, wire.encode(value) + rest)


@given(OUTERS, st.data())
def test_bytes_with_one_changed_are_refused_or_another_value_in_its_own_encoding(value: Outer, data: st.DataObject) -> None:
    encoded = bytearray(wire.encode(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decoded = wire.decode(Outer, bytes(encoded))
    except MalformedMessageError:
        return
    assert wire.encode(decoded) == encoded


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_the_one_encoding_of_their_value(data: bytes) -> None:
    try:
        value = wire.decode(Small, data)
    except MalformedMessageError:
        return
    assert wire.encode(value) == data


@pytest.mark.parametrize("byte", [2, 127, 255])
@pytest.mark.parametrize("kind", ["flag", "optional"])
def test_a_flag_is_nothing_but_0_or_1(byte: int, kind: str) -> None:
    data = bytearray(wire.encode(EXAMPLE))
    data[4 if kind == "flag" else 4 + 1 + 8 + 6 + 6 + 8] = byte
    with pytest.raises(MalformedMessageError, match="a flag is 0 or 1"):
        wire.decode(Outer, bytes(data))


def test_text_that_is_not_utf8_is_refused() -> None:
    data = wire.encode(EXAMPLE).replace("µ".encode(), b"\xc2\x20")
    with pytest.raises(MalformedMessageError, match="UTF-8"):
        wire.decode(Outer, data)


@pytest.mark.parametrize("kind", ["content", "numbers"])
def test_a_length_beyond_the_message_is_refused_at_once(kind: str) -> None:
    head = size(7) + b"\x01" + struct.pack(">d", 0.5)
    before = head if kind == "content" else wire.encode(EXAMPLE)[: wire.encode(EXAMPLE).index(size(2) + size(3) + size(4))]
    started = time.monotonic()
    with pytest.raises(MalformedMessageError, match="truncated"):
        wire.decode(Outer, before + size(2**32 - 1) + b"some")
    assert time.monotonic() - started < 1, "it walked through, or made room for, what is not there"


@pytest.mark.parametrize("number", [-1, 2**32])
def test_a_number_that_does_not_fit_is_not_encoded(number: int) -> None:
    with pytest.raises(OverflowError):
        wire.encode(Inner(number, b""))
    with pytest.raises(OverflowError):
        wire.encode(Small(flag=True, maybe=number, texts=()))
    with pytest.raises(OverflowError):
        wire.encode(Numbers((1, number)))


def test_what_the_dataclass_itself_refuses_is_malformed_also_inside_another() -> None:
    assert wire.decode(Evens, size(2) + size(4) + size(6)) == Evens((Even(4), Even(6)))
    with pytest.raises(MalformedMessageError, match="5 is odd"):
        wire.decode(Evens, size(2) + size(4) + size(5))


def test_so_is_what_a_class_refuses_of_which_nothing_was_read_before() -> None:
    """How a class is read is worked out once."""

    @dataclass(frozen=True)
    class Never:
        number: int

        def __post_init__(self) -> None:
            raise ValueError("nothing is allowed")

    with pytest.raises(MalformedMessageError, match="nothing is allowed"):
        wire.decode(Never, size(2))


# Tags


@given(st.one_of(INNERS, st.builds(Even, NUMBERS.map(lambda number: number // 2 * 2))))
def test_a_tagged_value_is_read_as_what_it_was_and_under_any_other_tag_never_as_its_own_kind(value: Inner | Even) -> None:
    kinds = (Inner, Even)
    data = wire.encode_tagged(kinds, value)
    assert data == bytes([1 + kinds.index(type(value))]) + wire.encode(value)
    assert wire.decode_tagged(kinds, data) == value
    for tag in set(range(256)) - {data[0]}:
        with suppress(MalformedMessageError):
            assert type(wire.decode_tagged(kinds, bytes([tag]) + data[1:])) is not type(value)


@given(st.binary(max_size=40))
def test_tagged_bytes_are_one_value_or_a_named_error(data: bytes) -> None:
    kinds = (Inner, Even)
    try:
        value = wire.decode_tagged(kinds, data)
    except MalformedMessageError:
        return
    assert wire.encode_tagged(kinds, value) == data


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x03", b"\xff", b"\x00" + wire.encode(Even(2)), wire.encode(Even(2))])
def test_bytes_without_a_tag_say_which_there_are(data: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="and there are 1 Inner, 2 Even: truncated, or of another version"):
        wire.decode_tagged((Inner, Even), data)
