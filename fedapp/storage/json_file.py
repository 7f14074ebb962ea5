"""JSON files, written whole and read back as what they must be.

A sealed one has a digest of all that it says: against what disks and hands do to a file, not against somebody who means it. A person who
writes one says so in the digest's place.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedapp.storage.damage import RESTORE, DamagedFileError, reading
from fedapp.storage.files import write_text

SEAL = "seal"  # key of a JSON file's digest over its other keys
BY_HAND = "by hand"  # in the digest's place
ValueType = type | tuple[type, ...]


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path, hint: str = RESTORE) -> Any:
    """Read a JSON file.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    with reading(path, hint):
        return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path, kinds: Mapping[str, ValueType], hint: str = RESTORE) -> dict[str, Any]:
    """The object in a JSON file, in which these keys have values of these types; others may be there too.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    value = read_json(path, hint)
    with reading(path, hint):
        return checked(value, kinds)


def checked(value: Any, kinds: Mapping[str, ValueType]) -> dict[str, Any]:
    """A JSON value that is an object with these keys, whose values have these types.

    Raises:
        ValueError: It is not; the message names the key.
    """
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    for key, kind in kinds.items():
        if key not in value:
            raise ValueError(f"it has no {key}")
        if not isinstance(value[key], kind):
            raise ValueError(f"its {key} is {value[key]!r:.40}")
    return value


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with a digest of all that it says."""
    said = _without_seal(value)
    write_json(path, {**said, SEAL: seal(said)})


def read_sealed(path: Path, kinds: Mapping[str, ValueType], hint: str = RESTORE) -> dict[str, Any]:
    """What `write_sealed` wrote, or a person in its place, as `read_object` reads it.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    value = read_object(path, kinds, hint)
    try:
        return unsealed(value)
    except ValueError as error:
        raise DamagedFileError(f"{path} was altered: {error}", hint) from error


def unsealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object without its digest.

    Raises:
        ValueError: It has none, or is not what its digest says.
    """
    said = _without_seal(value)
    if SEAL not in value:
        raise ValueError(f"it has no digest of what it says, which is its {SEAL}")
    if value[SEAL] not in (BY_HAND, seal(said)):
        raise ValueError("it is not what its own digest says")
    return said


def _without_seal(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key != SEAL}


def seal(value: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object, 64 hex digits."""
    return hashlib.sha256(json.dumps(dict(value), sort_keys=True).encode()).hexdigest()
