"""Digests and checksums by which a file, or what is in it, is known again."""

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedapp.storage.damage import DamagedFileError, reading


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name to digest of these files in a folder."""
    return {name: file_digest(folder / name) for name in names}


def check_files(folder: Path, digests: Mapping[str, str], hint: str) -> None:
    """Refuse files whose bytes are not those of `file_digests`.

    Raises:
        DamagedFileError: One of them is missing or was altered; it is named.
    """
    for name, digest in digests.items():
        with reading(folder / name, hint):
            if file_digest(folder / name) != digest:
                raise DamagedFileError(f"{folder / name} was altered since it was written", hint)


def checksum(text: str, arrays: Mapping[str, Any]) -> str:
    """CRC-32 of a text and named arrays, 8 hex digits; three times as fast as a digest, since trunks are read for every message.

    Args:
        arrays: With a dtype, a shape and C-contiguous memory each.
    """
    value = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(array, zlib.crc32(f"{name} {array.dtype} {tuple(array.shape)} ".encode(), value))
    return f"{value:08x}"
