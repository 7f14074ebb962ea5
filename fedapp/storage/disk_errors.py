"""A disk that takes no more, told as that and with the name of the file that was to be, whatever a library made of it."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)  # a disk that takes no more
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # how libraries written in Rust tell the system's error: polars, safetensors
PROBE = bytes(1 << 16)


@contextmanager
def naming(path: Path, temporary: Path) -> Iterator[None]:
    """Raise an error of the disk as what it is and with the name of the file that is to be, whatever a library made of it."""
    try:
        yield
    except Exception as error:
        number = _system_error(error, temporary)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _system_error(error: Exception, temporary: Path) -> int | None:
    """The number of the disk's error behind an exception; None if it is another, or of another file."""
    named = SYSTEM_ERROR.search(str(error))
    if named is not None:
        number: int | None = int(named[1])
    elif not isinstance(error, OSError):
        return None
    elif error.errno is None:
        number = _refusal(temporary)  # numpy only counts what it could not write
    else:
        number = error.errno if error.filename is None or str(error.filename).startswith(str(temporary)) else None
    return number if number in STORAGE else None


def _refusal(temporary: Path) -> int | None:
    """The system's error on writing more to a file, or to the newest one in a folder; None if it takes more."""
    files = [path for path in temporary.rglob("*") if path.is_file()] if temporary.is_dir() else [temporary]
    try:
        with max(files, key=lambda path: path.stat().st_mtime_ns, default=temporary / "probe").open("ab") as file:
            file.write(PROBE)
    except OSError as error:
        return error.errno
    return None
