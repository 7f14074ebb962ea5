"""What disks, kills and hands do to a file, one after the other, each undone again; and what all readers of a folder make of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from fedapp.errors import PolyphonyError
from strategies.secagg.errors import SecAggError

FLIPS = 4  # of each file


def damages(content: bytes, random: Random, flips: int = FLIPS) -> Iterator[tuple[str, bytes]]:
    """Ways in which a file of these contents gets damaged."""
    yield "emptied", b""
    yield "truncated", content[: len(content) // 2]
    yield "overwritten", random.randbytes(max(len(content), 16))
    yield "zeroed", bytes(len(content))
    for _ in range(flips if content else 0):
        place = random.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        yield f"bit {place} flipped", bytes(flipped)


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """A file with other contents, for as long as it lasts."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def told(read: Callable[[], Any]) -> tuple[Any, str]:
    """What a reader says, or the error that it names; any other error is a traceback."""
    try:
        return read(), ""
    except (PolyphonyError, SecAggError) as error:
        return None, f"{error} ({getattr(error, 'hint', '')})"
