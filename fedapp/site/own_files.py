"""What every request needs of a partner's own state, looked at before a request finds that it cannot be read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fedapp.errors import PolyphonyError
from fedapp.partner_folder import PartnerFolder
from strategies.partner.held_trunk import HINT, HINT_BEFORE
from strategies.partner.repetition import read_repetition
from strategies.secagg.errors import SecAggError
from strategies.secagg.state import load
from strategies.update.shared_trunk import SharedTrunk

HINT_STATE = "remove it: this partner takes part again from the next session on; an older copy of it could let an update be masked twice"


@dataclass(frozen=True)
class UnusableFile:
    """One file that no request can be answered with: what is the matter, with the file's name, and what to do about it."""

    told: str
    hint: str


def unusable_files(folder: Path) -> list[UnusableFile]:
    """Those of a partner's private folder: trunk, trunk before, protocol and repetition; a trunk that is not there is handed over."""
    return list(_unusable(PartnerFolder(folder)))


def _unusable(files: PartnerFolder) -> Iterator[UnusableFile]:
    readers: list[tuple[Path, Callable[[Path], object], str]] = [
        (files.shared_trunk, SharedTrunk.read, HINT),
        (files.trunk_before, SharedTrunk.read, HINT_BEFORE),
        (files.protocol, _read_state, HINT_STATE),
    ]
    for path, read, hint in readers:
        reason = _objection(read, path, *_version(path))
        if reason:
            yield UnusableFile(reason, hint)
    try:
        read_repetition(files)
    except (PolyphonyError, OSError) as error:
        yield UnusableFile(str(error), getattr(error, "hint", ""))


def _read_state(path: Path) -> None:
    try:
        load(path.read_bytes())
    except SecAggError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _version(path: Path) -> tuple[int, int]:
    """When it was written, and as which file of its disk; zeros where none is there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


@lru_cache(maxsize=16)
def _objection(read: Callable[[Path], object], path: Path, changed: int, _file: int) -> str:
    """What a reader says against a file, once for each version of it: a trunk may have hundreds of megabytes. Empty if nothing."""
    if not changed:
        return ""
    try:
        read(path)
    except FileNotFoundError:
        return ""  # a round has just replaced it
    except (SecAggError, ValueError, OSError) as error:
        return str(error)
    return ""
