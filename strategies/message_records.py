"""What a Flower message between coordinator and partner looks like: a step with its body, and vectors beside it.

What came over the network is read here before anything else looks at it. There is one form, and one error for every other.
"""

from io import BytesIO

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from strategies.secagg.errors import MalformedMessageError

MESSAGE = "message"
STEP = "step"
BODY = "body"
TRUNK = "trunk"
ROWS = "rows"
WORDS = "words"
HANDOVER = "handover"
BESIDE = {TRUNK, ROWS, WORDS, HANDOVER}
NUMPY = "numpy.ndarray"  # Flower's name for the bytes of `np.save`
PLAIN_NUMBERS = "biuf"  # kinds of dtype: no objects, texts, records or dates
LONGEST_HEADER = 1 << 10  # bytes of an array's header; one of ours has 128
LONGEST_QUOTE = 60  # characters of what others sent, in a message


def content(step: str, values: dict[str, int | float | bytes], vectors: dict[str, list[np.ndarray]]) -> RecordDict:
    """A message: the step, small values, and arrays by name."""
    record = RecordDict({MESSAGE: ConfigRecord({STEP: str(step), **values})})
    for name, arrays in vectors.items():
        record[name] = array_record(arrays)
    return record


def array_record(arrays: list[np.ndarray]) -> ArrayRecord:
    """Arrays in order, under the names "0", "1", …"""
    return ArrayRecord({str(position): Array(array) for position, array in enumerate(arrays)})


def step_and_body(content: RecordDict) -> tuple[str, bytes]:
    """Step and body of a message, which has nothing else beside its vectors.

    Raises:
        MalformedMessageError: It is of another form.
    """
    message = content.get(MESSAGE)
    if not isinstance(message, ConfigRecord):
        raise MalformedMessageError(f"a message without its record {MESSAGE!r}")
    if set(message) != {STEP, BODY}:
        raise MalformedMessageError(f"a message of {quoted(sorted(message))}, not of a step and a body")
    step, body = message[STEP], message[BODY]
    if not isinstance(step, str) or not isinstance(body, bytes):
        raise MalformedMessageError(f"a step of {type(step).__name__} and a body of {type(body).__name__}, not a text and bytes")
    if unknown := set(content) - BESIDE - {MESSAGE}:
        raise MalformedMessageError(f"a message with records that nobody asked for: {quoted(sorted(unknown))}")
    return step, body


def vectors(content: RecordDict, name: str) -> list[np.ndarray]:
    """The arrays of that name in a message, writable; none if it has none.

    Raises:
        MalformedMessageError: They are no arrays, or not in order.
    """
    if name not in content:
        return []
    record = content[name]
    if not isinstance(record, ArrayRecord):
        raise MalformedMessageError(f"{name} is a {type(record).__name__}, not arrays")
    return arrays_from(record)


def arrays_from(record: ArrayRecord) -> list[np.ndarray]:
    """The arrays of an `array_record`, in order.

    Raises:
        MalformedMessageError: The names are not "0", "1", …, or an array is none.
    """
    names = [str(position) for position in range(len(record))]
    if set(record) != set(names):
        raise MalformedMessageError(f"arrays are named 0 to {len(record) - 1}, not {quoted(sorted(record))}")
    return [array_from(record[name]) for name in names]


def array_from(array: Array) -> np.ndarray:
    """An array of plain numbers, writable. No more memory is asked for than its bytes have, whatever its header says.

    Raises:
        MalformedMessageError: It is none, or another one than it says.
    """
    if array.stype != NUMPY:
        raise MalformedMessageError(f"an array that is stored as {quoted(array.stype)}, not as {NUMPY}")
    try:
        stream = BytesIO(array.data)
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("it is of another version")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=LONGEST_HEADER)
        if dtype.kind not in PLAIN_NUMBERS or not dtype.isnative:
            raise ValueError(f"its items are {quoted(str(dtype))}")
        values = np.frombuffer(array.data, dtype, offset=stream.tell()).reshape(shape, order="F" if by_columns else "C")
    except Exception as error:  # numpy evaluates a header as Python: it raises whatever parser, tokenizer and allocator do
        raise MalformedMessageError(f"an array that cannot be read: {type(error).__name__}: {quoted(str(error))}") from error
    if str(dtype) != array.dtype or not values.shape == shape == tuple(array.shape):  # numpy works out a negative length by itself
        raise MalformedMessageError(f"an array of {dtype} {values.shape} that says {quoted([array.dtype, array.shape])}")
    return values.copy(order="K")


def step(content: RecordDict) -> str:
    """What a message asks or answers, for a log; empty if it does not say."""
    message = content.get(MESSAGE)
    asked = message.get(STEP, "") if isinstance(message, ConfigRecord) else ""
    return asked[:LONGEST_QUOTE] if isinstance(asked, str) else ""


def payload_bytes(content: RecordDict) -> int:
    """Size of a message's records, without Flower's envelope; what has an empty value, as no message of ours has, counts nothing."""
    return sum(map(_bytes, content.values()))


def _bytes(record: ArrayRecord | ConfigRecord | MetricRecord) -> int:
    try:
        return record.count_bytes()
    except (ValueError, LookupError):  # Flower cannot count empty texts and lists, which anybody can send
        return 0


def quoted(text: object) -> str:
    """What somebody else wrote, short and printable."""
    printable = ascii(text)
    return printable if len(printable) <= LONGEST_QUOTE else f"{printable[:LONGEST_QUOTE]}…"
