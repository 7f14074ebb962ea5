"""What a message between coordinator and partner looks like: a trunk, the round, and the metrics that policy shows."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

TRUNK = "trunk"
CONFIG = "config"
METRICS = "metrics"
ROUND = "round"


def trunk_record(trunk: list[np.ndarray]) -> ArrayRecord:
    """Trunk arrays in order, under the names "0", "1", …"""
    return ArrayRecord({str(position): Array(array) for position, array in enumerate(trunk)})


def trunk_from(record: ArrayRecord) -> list[np.ndarray]:
    """The arrays of a `trunk_record`, in order.

    Raises:
        ValueError: The names are not "0", "1", …
    """
    names = [str(position) for position in range(len(record))]
    if set(record) != set(names):
        raise ValueError(f"a trunk's arrays are named 0 to {len(record) - 1}, not {sorted(record)}")
    return [record[name].numpy() for name in names]


def request(trunk: ArrayRecord, server_round: int) -> RecordDict:
    """What the coordinator asks of a partner: this trunk, this round."""
    return RecordDict({TRUNK: trunk, CONFIG: ConfigRecord({ROUND: server_round})})


def reply(trunk: ArrayRecord | None, metrics: MetricRecord) -> RecordDict:
    """What a partner answers: its trunk (none after the last round) and the metrics that its policy shows."""
    content = RecordDict({METRICS: metrics})
    if trunk is not None:
        content[TRUNK] = trunk
    return content


def payload_bytes(content: RecordDict) -> int:
    """Size of a message's records, without Flower's envelope."""
    return sum(record.count_bytes() for record in content.values())
