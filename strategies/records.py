"""What a Flower message between coordinator and partner looks like: a step with its body, and vectors beside it."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

MESSAGE = "message"
STEP = "step"
BODY = "body"
ROUND = "round"
RANGE = "range"
TRUNK = "trunk"
ROWS = "rows"
WORDS = "words"
HANDOVER = "handover"
PUBLIC = "public"


def content(step: str, values: dict[str, int | float | bytes], vectors: dict[str, list[np.ndarray]]) -> RecordDict:
    """A message: the step, small values, and arrays by name."""
    held = RecordDict({MESSAGE: ConfigRecord({STEP: str(step), **values})})
    for name, arrays in vectors.items():
        held[name] = array_record(arrays)
    return held


def array_record(arrays: list[np.ndarray]) -> ArrayRecord:
    """Arrays in order, under the names "0", "1", …"""
    return ArrayRecord({str(position): Array(array) for position, array in enumerate(arrays)})


def arrays_from(record: ArrayRecord) -> list[np.ndarray]:
    """The arrays of an `array_record`, in order.

    Raises:
        ValueError: The names are not "0", "1", …
    """
    names = [str(position) for position in range(len(record))]
    if set(record) != set(names):
        raise ValueError(f"arrays are named 0 to {len(record) - 1}, not {sorted(record)}")
    return [record[name].numpy() for name in names]


def vectors(held: RecordDict, name: str) -> list[np.ndarray]:
    """The arrays of that name in a message; none if it has none.

    Raises:
        ValueError: They are not in order.
    """
    return arrays_from(held.array_records[name]) if name in held.array_records else []


def value(held: RecordDict, name: str) -> int | float | bytes | str:
    """A small value of a message.

    Raises:
        ValueError: It has none of that name.
    """
    try:
        found = held.config_records[MESSAGE][name]
    except KeyError as error:
        raise ValueError(f"a message without {error}") from error
    assert isinstance(found, int | float | bytes | str)
    return found


def step(held: RecordDict) -> str:
    """What a message asks or answers; empty if it does not say."""
    return str(held.config_records[MESSAGE].get(STEP, "")) if MESSAGE in held.config_records else ""


def payload_bytes(held: RecordDict) -> int:
    """Size of a message's records, without Flower's envelope."""
    return sum(record.count_bytes() for record in held.values())
