"""Parquet tables, written whole and read back as what they were: of itself Parquet does not notice that a bit was flipped.

A sealed one has a digest of its own bytes among its metadata, and is any reader's Parquet: against what disks and hands do to a file, not
against somebody who means it. It is checked before the table is decoded, since damage can end the whole process there.
"""

import hashlib
from io import BytesIO
from pathlib import Path

import polars as pl

from fedapp.storage.damage import RESTORE, DamagedFileError, reading
from fedapp.storage.files import atomic_path

MARK = "polyphony.seal:"  # the digest stands behind the last one: metadata is at a file's end
UNSEALED = "0" * 64  # in the digest's place while it is computed


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table atomically, for its owner alone, with a digest of all its bytes."""
    written = BytesIO()
    table.write_parquet(written, metadata={"seal": MARK + UNSEALED})
    before, _, behind = _parts(written.getvalue())
    with atomic_path(path) as temporary:
        temporary.write_bytes(before + _digest(before, behind) + behind)


def read_table(path: Path, hint: str = RESTORE) -> pl.DataFrame:
    """What `write_table` wrote.

    Raises:
        DamagedFileError: It is missing or damaged.
    """
    with reading(path, hint):
        content = path.read_bytes()
        before, digest, behind = _parts(content)
        if not before:
            raise DamagedFileError(f"{path} was altered: it has no digest of its own", hint)
        if digest != _digest(before, behind):
            raise DamagedFileError(f"{path} was altered: it is not what its own digest says", hint)
        return pl.read_parquet(BytesIO(content))


def _parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """What is before the digest, the digest, and what is behind it; without one, all is behind."""
    before, mark, behind = content.rpartition(MARK.encode())
    return before + mark, behind[: len(UNSEALED)] if mark else b"", behind[len(UNSEALED) :] if mark else behind


def _digest(before: bytes, behind: bytes) -> bytes:
    return hashlib.sha256(before + UNSEALED.encode() + behind).hexdigest().encode()
