"""The trunk that a partner holds, and the one before it, on disk. PROTOCOL.md of `strategies.secagg`, section 3.

A round's sum may reach fewer partners than a quorum, which others then do not go on from. So the trunk before is kept until a round that
began with the new one is finished, when that one takes its place.
"""

import os
import shutil
from dataclasses import dataclass
from functools import cached_property

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.leftovers import UNFINISHED, written_place
from strategies.secagg.messages import NO_TRUNK
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError, no_trunk

HANDED_OVER = "another partner then hands its trunk over; after a finished run the coordinator has to run `polyphony federate SITE --again`"
HINT = f"remove it: {HANDED_OVER}"
HINT_LOST = f"bring no older copy back: {HANDED_OVER}"
HINT_BEFORE = "remove it: it is needed only where too few partners finished the last round"


@dataclass
class HeldTrunk:
    """Both trunks of one partner.

    Attributes:
        folder: Where they lie.
        first_range: Of the quantiser before the first round.
    """

    folder: PartnerFolder
    first_range: float

    @cached_property
    def now(self) -> SharedTrunk:
        """The trunk; read when a request needs it.

        Raises:
            TrunkFileError: It is damaged.
        """
        path = self.folder.shared_trunk
        try:
            return SharedTrunk.read(path) if path.is_file() else no_trunk(self.first_range)
        except TrunkFileError as error:
            raise TrunkFileError(str(error), HINT) from error

    @cached_property
    def before(self) -> SharedTrunk | None:
        """The trunk that the last round trained from, if it is still there.

        Raises:
            TrunkFileError: It is damaged.
        """
        path = self.folder.trunk_before
        try:
            held = SharedTrunk.read(path) if path.is_file() and self.now.version else None
        except TrunkFileError as error:
            raise TrunkFileError(str(error), HINT_BEFORE) from error
        return held if held is not None and held.name == self.now.before else None

    def names(self) -> tuple[int, bytes, bytes]:
        """Version and name of the trunk, and name of the one before; a first one counts as none, since everybody can draw it anew."""
        if not self.now.version:
            return 0, NO_TRUNK, NO_TRUNK
        before = NO_TRUNK if self.before is None or not self.before.version else self.before.name
        return self.now.version, self.now.name, before

    def of(self, version: int) -> SharedTrunk | None:
        """The trunk with so many rounds behind it."""
        held = self.before if self.now.version == version + 1 else self.now
        return held if held is not None and held.version == version and held.arrays else None

    def keep(self, shared: SharedTrunk) -> None:
        """Write a trunk in the place of the last one."""
        shared.write(self.folder.shared_trunk)
        self.now = shared

    def take_in(self, following: SharedTrunk) -> None:
        """Write the trunk after a round; the one that it trained from becomes the one before. A kill in between leaves both in order."""
        now, before = written_place(self.folder.shared_trunk), written_place(self.folder.trunk_before)
        unfinished = before.with_name(f".{before.name}.hardlink{UNFINISHED}")
        unfinished.unlink(missing_ok=True)
        try:
            os.link(now, unfinished)
        except OSError:  # a file system without hard links, or two of them; a full disk says so once more
            shutil.copy(now, unfinished)
        unfinished.replace(before)
        self.keep(following)
        self.__dict__.pop("before", None)

    def go_back(self) -> None:
        """The trunk before takes the place of the last one, of which too few partners finished the round."""
        assert self.before is not None
        self.keep(self.before)
        written_place(self.folder.trunk_before).unlink()
        self.__dict__.pop("before", None)

    def begin_anew(self) -> None:
        """Neither is there any more: what was drawn or finished was held by too few, and a session begins with no trunk."""
        for path in (self.folder.shared_trunk, self.folder.trunk_before):
            written_place(path).unlink(missing_ok=True)
        self.now = no_trunk(self.first_range)
        self.__dict__.pop("before", None)
