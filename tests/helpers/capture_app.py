"""The coordinator's app with a recorder in front of it: writes every message of a real run to a folder, for a test to read."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context, Message
from flwr.serverapp import Grid, ServerApp

from fedapp import server_app

FOLDER = "POLYPHONY_TEST_CAPTURE"
app = ServerApp()


class Recorder:
    """Passes everything on to Flower's own grid, and keeps what goes through."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def __getattr__(self, name: str) -> Any:
        return getattr(self.grid, name)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        sent = list(messages)
        replies = list(self.grid.send_and_receive(sent, timeout=timeout))
        for direction, batch in (("down", sent), ("up", replies)):
            for message in batch:
                keep(direction, message)
        return replies


def keep(direction: str, message: Message) -> None:
    """Write one message: what it consists of as JSON, everything in it as bytes beside."""
    folder = Path(os.environ[FOLDER])
    number = len(list(folder.glob("*.json")))
    records: dict[str, Any] = {}
    raw = b""
    for name, record in message.content.items():
        if isinstance(record, ArrayRecord):
            records[name] = [[array.dtype, *array.shape] for array in record.values()]
            raw += b"".join(key.encode() + array.data + array.dtype.encode() for key, array in record.items())
        else:
            records[name] = {key: value if isinstance(value, str) else type(value).__name__ for key, value in record.items()}
            raw += b"".join(key.encode() + (value if isinstance(value, bytes) else str(value).encode()) for key, value in record.items())
    facts = {"direction": direction, "type": message.metadata.message_type, "group": message.metadata.group_id, "records": records}
    (folder / f"{number:04d}.json").write_text(json.dumps(facts))
    (folder / f"{number:04d}.raw").write_bytes(raw)


@app.main()
def main(grid: Grid, context: Context) -> None:
    server_app.run(Recorder(grid), context)  # type: ignore[arg-type]
