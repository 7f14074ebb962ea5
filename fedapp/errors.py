"""Errors that a person can act on."""

import errno
from concurrent.futures import BrokenExecutor

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_MEMORY = "can't allocate memory"  # torch's words, in a RuntimeError like any other


class PolyphonyError(Exception):
    """Something the user can put right; the command line prints it as `error:` and `hint:`.

    Args:
        message: What is wrong, naming the file, row, key or partner.
        hint: What to do about it.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(PolyphonyError):
    """A configuration file or an override is unusable."""


class DataError(PolyphonyError):
    """Tables, a prepared folder or a dataset are missing or unusable."""


class RunError(PolyphonyError):
    """A run cannot start, go on or be read."""


class RunInterruptedError(RunError):
    """Ctrl-C or SIGTERM: every process was ended, and the run can be resumed."""

    exit_status = 130


class OutputError(PolyphonyError):
    """What a person named to be written is not ours to replace."""


class BusyError(PolyphonyError):
    """Another process is at work on the same folder."""


class MachineError(PolyphonyError):
    """The machine refused: no space, no memory, no permission."""


def explained(error: BaseException) -> PolyphonyError | None:
    """What the machine refused, as a sentence that names the cause; None for a fault of the program, which deserves its traceback."""
    if isinstance(error, PolyphonyError):
        return error
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError) and error.__context__.errno == errno.ELOOP:
        return explained(error.__context__)  # pathlib's, of links that lead round in a circle
    if isinstance(error, OSError):
        reason = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        full = error.errno in NO_SPACE
        return MachineError(reason, "free some space and try again: nothing half-written was left" if full else "")
    if isinstance(error, MemoryError) or NO_MEMORY in str(error):
        words = str(error).strip().splitlines()
        return MachineError(
            f"the memory of this machine is not enough{f': {words[0]}' if words else ''}",
            "close other programs, use a machine with more, or a smaller experiment",
        )
    if isinstance(error, BrokenExecutor):
        return MachineError(
            "a worker process was ended from outside, which most often means that memory ran out",
            "close other programs, use a machine with more memory, or a smaller experiment",
        )
    return None
