"""Files that grow line by line, each line whole or gone: what a kill left of a last line is cut off before anything follows it."""

import os
from pathlib import Path

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


def last_line(path: Path) -> str | None:
    """The last whole line without its newline, None if there is none; what follows it is cut off.

    Only the end of the file is read, however long it is.
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
            file.truncate(start + whole)
            os.fsync(file.fileno())
    return tail[: whole - 1].rpartition(b"\n")[2].decode(errors="replace") if whole else None
