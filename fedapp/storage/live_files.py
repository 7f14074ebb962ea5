"""Reading what other processes write meanwhile: whatever is missing, half written or from another version is left out."""

import json
from pathlib import Path
from typing import Any, TypeVar

from fedapp.storage.json_file import unsealed
from fedapp.storage.json_lines import as_record, not_a_number, whole_lines

T = TypeVar("T")


def json_object(path: Path, problems: list[str] | None = None) -> dict[str, Any]:
    """The object in a JSON file, without its digest; empty without one.

    Args:
        problems: Is told of a file that holds none, or another than its digest says.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=not_a_number)
        value = unsealed(value) if isinstance(value, dict) else None
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) and problems is not None:
        problems.append(f"{path} is damaged and is left out")
    return value if isinstance(value, dict) else {}


def records(path: Path, kind: type[T], problems: list[str] | None = None) -> list[T]:
    """The lines of a JSON-lines file that hold a record of this dataclass; a line without an end is not there yet.

    Args:
        problems: Is told of lines that hold none; the file is named without its folder's place, since a report may be passed on.
    """
    try:
        lines = [as_record(line, kind) for line in whole_lines(path)]
    except OSError:
        return []
    if problems is not None and None in lines:
        others = f" and {lines.count(None) - 1} more" if lines.count(None) > 1 else ""
        where = f"{path.name} in {path.parent.name}"
        problems.append(
            f"line {lines.index(None) + 1}{others} of {where} {'are unreadable and were' if others else 'is unreadable and was'} left out."
        )
    return [each for each in lines if each is not None]


def written(path: Path) -> float | None:
    """When a file was last written, seconds since 1970; None without one."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
