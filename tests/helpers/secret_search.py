"""Looking for known secrets in whatever somebody holds: files, messages, and every object that can be reached from one."""

import gc
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, CellType, FrameType, FunctionType, MethodType, ModuleType

import numpy as np
from flwr.app import Message

from tests.helpers.local_grid import LocalGrid

WINDOW = 32  # bytes
DISTINCT = 8  # values in a window that is not found everywhere, such as zeros
CODE = (ModuleType, type, BuiltinFunctionType, FrameType, LocalGrid)


class Secrets:
    """Secrets by name. One is found where any 32 bytes of it are, at any place, or all of it if it is short."""

    def __init__(self) -> None:
        self.windows: dict[bytes, str] = {}
        self.whole: dict[bytes, str] = {}

    def add(self, name: str, secret: bytes) -> None:
        """Look for any part of this."""
        for start in range(len(secret) - WINDOW + 1):
            window = secret[start : start + WINDOW]
            if len(set(window)) >= DISTINCT:
                self.windows.setdefault(window, name)

    def add_whole(self, name: str, secret: bytes) -> None:
        """Look for exactly this."""
        self.whole.setdefault(secret, name)

    def add_number(self, name: str, value: float) -> None:
        """Look for a float in all ways in which one is written."""
        for kind in ("<f8", ">f8"):
            self.add_whole(name, np.array(value, dtype=kind).tobytes())
        self.add_whole(name, repr(float(value)).encode())

    def found_in(self, hay: Iterable[bytes]) -> set[str]:
        """Names of the secrets of which something is there."""
        found = set()
        for blob in set(hay):
            windows = {blob[start : start + WINDOW] for start in range(len(blob) - WINDOW + 1)}
            found |= {self.windows[window] for window in windows & self.windows.keys()}
            found |= {name for secret, name in self.whole.items() if secret in blob}
        return found


def in_files(folder: Path) -> list[bytes]:
    """The contents and the name of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.read_bytes() for path in files] + [str(path.relative_to(folder)).encode() for path in files]


def in_messages(messages: Iterable[Message]) -> list[bytes]:
    """Everything that messages carry, envelope included."""
    return [blob for message in messages for blob in held_by(message)[0]]


def held_by(root: object) -> tuple[set[bytes], set[int | float]]:
    """All bytes, arrays and text, and all numbers, that can be reached from an object; not the network nor code."""
    blobs: set[bytes] = set()
    numbers: set[int | float] = set()
    for each in reachable(root):
        if isinstance(each, np.ndarray):
            blobs.add(each.tobytes())
        elif isinstance(each, bytes | bytearray | memoryview):
            blobs.add(bytes(each))
        elif isinstance(each, str):
            blobs.add(each.encode())
        elif isinstance(each, int | float | np.number):
            numbers.add(each.item() if isinstance(each, np.number) else each)
    return blobs, numbers


def reachable(root: object) -> Iterator[object]:
    """Every object that a debugger would find from here on."""
    waiting, seen = [root], {id(root)}
    while waiting:
        each = waiting.pop()
        yield each
        for other in referents(each):
            if id(other) not in seen and not isinstance(other, CODE):
                seen.add(id(other))
                waiting.append(other)


def referents(each: object) -> list[object]:
    if isinstance(each, FunctionType):  # not its module
        cells: tuple[CellType, ...] = each.__closure__ or ()
        return [cell.cell_contents for cell in cells] + [each.__defaults__, each.__kwdefaults__]
    if isinstance(each, MethodType):
        return [each.__self__]
    return gc.get_referents(each)
