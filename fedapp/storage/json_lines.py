"""Files that grow line by line, each line whole or gone: what a kill left of a last line is cut off before anything follows it.

A line that holds a record has a digest of all that it says, as a sealed JSON file has.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin

from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_file import SEAL, seal, unsealed

T = TypeVar("T")
PIECE = 1 << 16  # bytes read at once; more than a line has


def append_line(path: Path, line: str) -> None:
    """One more line, synced, in a file that is nobody else's to read; the last one must be whole (see `last_line`).

    Raises:
        OSError: The disk takes no more; it names the file.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def sealed_line(values: Mapping[str, Any]) -> str:
    """A record as one line of JSON, with a digest of all that it says."""
    return json.dumps({**values, SEAL: seal(values)}, sort_keys=True)


def last_line(path: Path) -> str | None:
    """The last whole line without its newline, None if there is none; what follows it is cut off.

    Only the end of the file is read, however long it is.

    Raises:
        DamagedFileError: What follows is no beginning of a line.
    """
    if not path.is_file():
        return None
    with path.open("r+b") as file:
        tail, start = b"", file.seek(0, os.SEEK_END)
        while start and tail.count(b"\n") < 2:  # the newline of the last whole line, and the one before it
            size = min(PIECE, start)
            start -= size
            file.seek(start)
            tail = file.read(size) + tail
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            check_cut_off(path, tail[whole:].decode(errors="replace"))
            file.truncate(start + whole)
            os.fsync(file.fileno())
    return tail[: whole - 1].rpartition(b"\n")[2].decode(errors="replace") if whole else None


def whole_lines(path: Path) -> list[str]:
    """All lines that have their end; bytes that are no text become replacement characters. Empty without a file.

    Raises:
        DamagedFileError: What follows the last one is no beginning of a line.
    """
    if not path.is_file():
        return []
    *lines, rest = path.read_bytes().decode(errors="replace").split("\n")  # as it lies there: text would lose what else ends a line
    check_cut_off(path, rest)
    return lines


def check_cut_off(path: Path, rest: str) -> None:
    """See that what follows the last line's end can be what a kill left: the beginning of a line, and not a whole one with another end.

    Raises:
        DamagedFileError: It cannot.
    """
    try:
        whole = isinstance(json.loads(rest[:-1]), dict)
    except (ValueError, RecursionError):
        return
    if whole:
        raise DamagedFileError(f"{path}: its last line has no end, but {rest[-1:]!r}", "restore the file, or end that line")


def read_records(path: Path, kind: type[T]) -> list[T]:
    """The record of this dataclass in each whole line of JSON; a last line that a kill cut off is not there yet.

    Raises:
        DamagedFileError: A line that holds none; it is named by its number.
    """
    records = []
    for number, line in enumerate(whole_lines(path), 1):
        record = as_record(line, kind)
        if record is None:
            raise DamagedFileError(f"{path}: line {number} is damaged: {line!r:.60}", "restore the file, or take that line out")
        records.append(record)
    return records


def as_record(line: str, kind: type[T]) -> T | None:
    """The record in one line, None if it holds none, or is not what its digest says; keys that we do not know are ignored."""
    try:
        value = json.loads(line, parse_constant=not_a_number)
        return record(unsealed(value), kind) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None


def record(values: dict[str, Any], kind: type[T]) -> T | None:
    """The dataclass with these values, None if one is missing or of another type."""
    taken: dict[str, Any] = {}
    for each in fields(kind):  # type: ignore[arg-type]
        expected: Any = get_origin(each.type) or each.type
        if each.name in values:
            if not isinstance(values[each.name], (int, float) if expected is float else expected):
                return None
            taken[each.name] = values[each.name]
        elif each.default is MISSING and each.default_factory is MISSING:
            return None
    return kind(**taken)


def not_a_number(_: str) -> None:
    """NaN and the infinities, which JSON has no words for."""
