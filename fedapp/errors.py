"""Errors that a person can act on."""


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
