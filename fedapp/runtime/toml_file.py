"""Flower's settings, which are TOML."""

from typing import Any

import tomli_w

from fedapp.errors import RunError


def toml(settings: dict[str, Any]) -> str:
    """Settings as the text of a file.

    Raises:
        RunError: A text in them is no Unicode, as a file name may be.
    """
    text = tomli_w.dumps(settings)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = next(line for line in text.splitlines() if not _encodes(line))
        raise RunError(f"{line!r} has bytes that are no UTF-8, which Flower's settings cannot hold", "rename that folder") from error
    return text


def _encodes(line: str) -> bool:
    return line.encode(errors="replace").decode() == line
