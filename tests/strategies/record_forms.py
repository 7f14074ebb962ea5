"""Messages of every form but the right one, for hypothesis to choose from."""

import copy
import pickle
from collections.abc import Callable
from io import BytesIO

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import strategies as st

from strategies import message_records

Spoil = Callable[[RecordDict], None]
ANYTHING = (1, 0.5, "text", True, [1, 2], ["a"], [b"b"], [0.5], [], "")  # Flower itself stumbles over what is empty
BESIDE = sorted(message_records.BESIDE)


def npy(header: bytes, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Bytes as `np.save` writes them, with any header."""
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    length = len(padded).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + padded + data


def saved(array: np.ndarray) -> bytes:
    held = BytesIO()
    np.save(held, array, allow_pickle=True)
    return held.getvalue()


def header(descr: str, shape: str, order: str = "False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()


GOOD = saved(np.arange(6, dtype=np.uint32))
UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "no header": b"\x93NUMPY\x01\x00",
    "a pickle": pickle.dumps([1, 2]),
    "a zip": b"PK\x03\x04" + bytes(60),
    "cut in the header": GOOD[:40],
    "cut in the data": GOOD[:-3],
    "too long": GOOD + b"more",
    "another version": npy(header("'<u4'", "(6,)"), bytes(24), (2, 0)),
    "a version of the future": b"\x93NUMPY\x09\x00" + GOOD[8:],
    "objects": saved(np.array([{}, None], dtype=object)),
    "objects by name": npy(header("'|O'", "(2,)"), pickle.dumps([1, 2])),
    "texts": saved(np.array(["a", "b"])),
    "dates": saved(np.array(["2020-01-01"], dtype="datetime64[D]")),
    "records": saved(np.zeros(2, dtype=[("a", "<u4"), ("b", "<f4")])),
    "complex numbers": saved(np.zeros(2, dtype=np.complex64)),
    "the other byte order": saved(np.zeros(2, dtype=">u4")),
    "items of no size": npy(header("'|V0'", "(9,)")),
    "an exabyte": npy(header("'<u4'", "(1152921504606846976,)"), bytes(24)),
    "more items than there are integers": npy(header("'<u4'", f"({10**40},)"), bytes(24)),
    "as many as none of a huge shape": npy(header("'<u4'", f"(0, {10**40})")),
    "less than nothing": npy(header("'<u4'", "(-6,)"), bytes(24)),
    "less than nothing twice": npy(header("'<u4'", "(-2, -3)"), bytes(24)),
    "a shape of texts": npy(header("'<u4'", "('6',)"), bytes(24)),
    "a shape of truth": npy(header("'<u4'", "True"), bytes(24)),
    "too many dimensions": npy(header("'<u4'", "(" + "1," * 200 + ")"), bytes(4)),
    "a type that is none": npy(header("'<x9'", "(6,)"), bytes(24)),
    "a type of lists": npy(header("[[[]]]", "(6,)"), bytes(24)),
    "an open bracket": npy(b"{'descr': '<u4', 'shape': (6,", bytes(24)),
    "an open quote": npy(b"{'descr': '''<u4, 'shape': (6,)}", bytes(24)),
    "a deep nest": npy(b"(" * 900, bytes(24)),
    "many minus signs": npy(b"-" * 900 + b"1", bytes(24)),
    "a huge header": npy(b"{" + b" " * 60_000 + b"}", bytes(24)),
    "a call": npy(b"__import__('os').getcwd()", bytes(24)),
    "another key": npy(b"{'descr': '<u4', 'fortran_order': False, 'shape': (6,), 'more': 1}", bytes(24)),
    "no text": npy(b"\xff\xfe\x00", bytes(24)),
}


def array_of(data: bytes, dtype: str = "uint32", shape: tuple[int, ...] = (6,), stype: str = message_records.NUMPY) -> Array:
    return Array(dtype=dtype, shape=shape, stype=stype, data=data)


def bad_arrays() -> st.SearchStrategy[Array]:
    """Arrays that cannot be read, or are not what they say."""
    cut = st.integers(0, len(GOOD) - 1).map(lambda length: array_of(GOOD[:length]))
    flipped = st.integers(0, 9).map(lambda place: array_of(GOOD[:place] + bytes([GOOD[place] ^ 0x40]) + GOOD[place + 1 :]))
    other = st.sampled_from(
        [array_of(GOOD, stype="torch"), array_of(GOOD, stype=""), array_of(GOOD, dtype="int32"), array_of(GOOD, shape=(2, 3))]
    )
    return st.one_of(
        st.sampled_from(sorted(UNREADABLE)).map(lambda name: array_of(UNREADABLE[name])),
        st.binary(max_size=200).map(array_of),
        cut,
        flipped,
        other,
    )


def with_array(name: str, array: Array, at: str) -> Spoil:
    def spoil(held: RecordDict) -> None:
        arrays = dict(held[name]) if isinstance(held.get(name), ArrayRecord) else {}
        held[name] = ArrayRecord({**arrays, at: array})

    return spoil


def with_value(key: str, value: object) -> Spoil:
    def spoil(held: RecordDict) -> None:
        message = held[message_records.MESSAGE]
        assert isinstance(message, ConfigRecord)
        if value is None:
            del message[key]
        else:
            message[key] = copy.copy(value)  # type: ignore[assignment]

    return spoil


def with_record(name: str, record: object) -> Spoil:
    def spoil(held: RecordDict) -> None:
        if record is None:
            held.pop(name, None)
        else:
            held[name] = copy.deepcopy(record)  # type: ignore[assignment]

    return spoil


OTHERS = (ConfigRecord({"a": 1}), ConfigRecord(), MetricRecord({"a": 0.5}), ArrayRecord(), ConfigRecord({"a": []}), MetricRecord({"a": []}))


def malformed() -> st.SearchStrategy[Spoil]:
    """What makes a message one that cannot be read, whatever it was."""
    keys = st.sampled_from([message_records.STEP, message_records.BODY])
    return st.one_of(
        st.builds(with_array, st.just(message_records.WORDS), bad_arrays(), st.sampled_from(["0", "1", "words"])),
        st.builds(with_value, keys, st.sampled_from([None, *(each for each in ANYTHING if not isinstance(each, str))])),
        st.builds(with_value, st.just(message_records.BODY), st.just("text")),
        st.builds(with_value, st.just("more"), st.sampled_from(ANYTHING)),
        st.builds(with_record, st.just(message_records.MESSAGE), st.sampled_from([None, *OTHERS])),
        st.builds(with_record, st.sampled_from(["more", "message ", ""]), st.sampled_from(OTHERS)),
        st.builds(
            with_record, st.just(message_records.WORDS), st.sampled_from([each for each in OTHERS if not isinstance(each, ArrayRecord)])
        ),
    )
