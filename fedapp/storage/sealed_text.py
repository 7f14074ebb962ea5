"""Texts that programs write and people read, and may change: a comment at the end has the digest of all that is before it.

A person who changes one says so in the digest's place.
"""

import hashlib
from pathlib import Path

from fedapp.storage.damage import RESTORE, DamagedFileError, reading
from fedapp.storage.json_file import BY_HAND

LABEL = "# sha256 of all above: "


def sealed_text(text: str) -> str:
    """A text of whole lines, with its digest."""
    return f"{text}{LABEL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def check_text(path: Path, hint: str = RESTORE) -> None:
    """Refuse a file that is neither what `sealed_text` made nor a person's.

    Raises:
        DamagedFileError: It is missing, or was altered.
    """
    with reading(path, hint):
        written = path.read_bytes().decode()
        text, _, digest = written.rpartition(LABEL)
        if written != sealed_text(text) and digest.strip() != BY_HAND:
            raise DamagedFileError(
                f"{path} was altered since it was written: it is not what its last line says",
                f'{hint}; whoever means another value writes "{LABEL}{BY_HAND}" there',
            )
