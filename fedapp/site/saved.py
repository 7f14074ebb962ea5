"""Reading what other processes write meanwhile: whatever is missing, half written or from another version is left out."""

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin

T = TypeVar("T")


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty without one."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"), parse_constant=not_a_number)
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def records(path: Path, kind: type[T]) -> list[T]:
    """The lines of a JSON-lines file that hold a record of this dataclass; a line without an end is not there yet."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = (as_record(line, kind) for line in text[: text.rfind("\n") + 1].split("\n"))
    return [held for held in lines if held is not None]


def as_record(line: str, kind: type[T]) -> T | None:
    """The record in one line, None if it holds none; keys that we do not know are ignored."""
    try:
        held = json.loads(line, parse_constant=not_a_number)
    except ValueError:
        return None
    return record(held, kind) if isinstance(held, dict) else None


def record(held: dict[str, Any], kind: type[T]) -> T | None:
    """The dataclass with these values, None if one is missing or of another type."""
    taken: dict[str, Any] = {}
    for each in fields(kind):  # type: ignore[arg-type]
        expected: Any = get_origin(each.type) or each.type
        if each.name in held:
            if not isinstance(held[each.name], (int, float) if expected is float else expected):
                return None
            taken[each.name] = held[each.name]
        elif each.default is MISSING and each.default_factory is MISSING:
            return None
    return kind(**taken)


def not_a_number(_: str) -> None:
    """NaN and the infinities, which JSON has no words for."""


def written(path: Path) -> float | None:
    """When a file was last written, seconds since 1970; None without one."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
