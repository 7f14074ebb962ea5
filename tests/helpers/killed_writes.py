"""A process that is killed while it writes: before a file takes its name, or half-way through a line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest

from strategies.partner import own_transcript, side
from tests.helpers.local_grid import PartnerKilledError


@dataclass
class Death:
    """Counts what the living write, and kills before the write of a given number.

    Attributes:
        at: Which write, from 0, never completes.
        spared: Beginning of a file's name that is written safely and not counted; empty spares none.
        writes: Seen since `living` began.
        dead: Whether it has happened: a dead process also cleans nothing up.
        thread: Whose writes count: other tests may have left some that go on, such as a SuperNode's pulse.
    """

    at: int = 0
    spared: str = ""
    writes: int = 0
    dead: bool = False
    alive: bool = False
    thread: int = 0

    @contextmanager
    def living(self, at: int, spared: str = "") -> Iterator[None]:
        """A process that dies at this write, unless it ends before."""
        self.at, self.spared, self.writes, self.dead, self.alive = at, spared, 0, False, True
        self.thread = get_ident()
        try:
            yield
        finally:
            self.alive = False

    def before_write(self, target: Path) -> bool:
        """Whether this write is the last thing that the process tries."""
        if get_ident() != self.thread or (self.spared and target.name.startswith(self.spared)):
            return False
        self.writes += 1
        self.dead = self.alive and self.writes - 1 == self.at
        return self.dead


def watch_writes(patch: pytest.MonkeyPatch) -> Death:
    """Let every write of this process pass a `Death`: a file that takes its name, and a line that is appended."""
    death = Death()
    replace, unlink, append = Path.replace, Path.unlink, own_transcript.append_line

    def replacing(path: Path, target: Path) -> Path:
        if death.before_write(target):
            raise PartnerKilledError
        return replace(path, target)

    def unlinking(path: Path, missing_ok: bool = False) -> None:
        if not (death.alive and death.dead):
            unlink(path, missing_ok)

    def appending(path: Path, line: str) -> None:
        if death.before_write(path):
            with path.open("a") as file:
                file.write(line[: len(line) // 2])
            raise PartnerKilledError
        append(path, line)

    patches: list[tuple[Any, str, Callable[..., Any]]] = [
        (Path, "replace", replacing),
        (Path, "unlink", unlinking),
        (own_transcript, "append_line", appending),
        (side, "append_line", appending),
    ]
    for owner, name, function in patches:
        patch.setattr(owner, name, function)
    return death
