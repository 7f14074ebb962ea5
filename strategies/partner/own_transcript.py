"""A partner's own transcript on disk. Each line is in the state before it is here, so that a kill in between takes no line from it."""

import hashlib
from pathlib import Path

from fedapp.storage.damage import reading
from fedapp.storage.json_lines import append_line, last_line
from strategies.partner.side import Membership
from strategies.secagg import transcript
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step

HINT = "move it away: another one begins, and what the old one holds is compared as far as it can be read"


class OwnTranscript:
    """The place behind its last line; a last line that a kill cut off is removed first.

    Args:
        path: Where it lies.
        membership: Whose it is, and under which roster.
        index: The partner's, in that roster.
        kept: The line that the state has. Where it is the one that follows here, a kill kept it away, and it is added.
    Raises:
        DamagedFileError: The last line is whole and no entry, or was altered.
    """

    def __init__(self, path: Path, membership: Membership, index: int, kept: str) -> None:
        self.path, self.identity, self.roster_digest = path, membership.identity, membership.roster.digest()
        own, newest = membership.roster.member(index), last_line(path)
        with reading(path, HINT):
            self.last = transcript.resume([] if newest is None else [newest], own, self.roster_digest)
        if kept and transcript.follows(kept, self.last, own, self.roster_digest):
            self.add(kept)

    def next_line(self, protocol: Participant, step: Step, request: bytes, reply: bytes, refused: str) -> str:
        """The signed line about a request, to be kept in the state and then added."""
        session, number = protocol.state.place(step, request)
        _, line = transcript.append(
            self.last,
            identity=self.identity,
            roster_digest=self.roster_digest,
            session=session,
            number=number,
            phase=step.value,
            facts=protocol.facts,
            received=hashlib.sha256(request).digest(),
            sent=hashlib.sha256(reply).digest() if reply else b"",
            refused=refused,
        )
        return line

    def add(self, line: str) -> None:
        """Write a line behind the last one."""
        append_line(self.path, line)
        self.last = transcript.parse(line)
