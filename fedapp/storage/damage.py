"""Reading files back so that damage is named."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedapp.errors import PolyphonyError

RESTORE = "restore it from a backup"
TOLD = 200  # characters of a reader's own words


class DamagedFileError(PolyphonyError):
    """A file that was written whole is missing, or no longer what was written."""


@contextmanager
def reading(path: Path, hint: str = RESTORE) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into one error that names it.

    Raises:
        DamagedFileError: The file is missing or damaged.
        OSError: The system cannot read it; the system's own words say why.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFileError(f"{path} is missing", hint) from error
    except BaseException as error:
        system = isinstance(error, OSError) and error.errno is not None
        # polars reports some damage as a panic of its Rust code, which is no Exception
        foreign = not isinstance(error, Exception) and type(error).__name__ != "PanicException"
        if system or foreign or isinstance(error, PolyphonyError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFileError(f"{path} is damaged: {reason[:TOLD]}", hint) from error
