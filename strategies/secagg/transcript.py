"""What a partner saw, for later comparison with the others: a chain of entries, one an exchange, each signed by the partner.

A transcript binds its writer and nobody else: an entry cannot be altered, moved or taken out of the middle without the writer's key.
Its end can be cut off, and a partner can sign what never happened; both show, if at all, in the comparison with other transcripts.
"""

import base64
import hashlib
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError, PeerError, SignatureError
from strategies.secagg.identity import Identity
from strategies.secagg.roster import Member, Roster

PHASES = ("AdvertiseKeys", "ShareKeys", "MaskedInputCollection", "ConsistencyCheck", "Unmasking", "Finish", "Handover")
SET_UP = PHASES[:2]
DIGEST = 32
FIRST = bytes(DIGEST)
TAG = wire.DOMAIN + b"transcript"


class BrokenTranscriptError(PeerError):
    """A transcript was altered after it was written, or is no transcript of this partner.

    Args:
        partner: Whose transcript it is.
        line: Line number, from 1.
        reason: What is wrong.
    """

    def __init__(self, partner: int, line: int, reason: str) -> None:
        super().__init__(partner, f"line {line} of its transcript: {reason}")
        self.line = line


@dataclass(frozen=True)
class Fact:
    """Something that every honest partner must have seen alike in this phase of this round, or that is to be kept.

    Attributes:
        name: Such as "survivors". Some end in a partner's index. "header 3" and "handed over 3" stand for something that this partner
            signed; the first goes into an entry that is not refused, and the second into any, only after its signature has been verified.
            "proof against partner 3" is whole, and convinces by itself. "refused over 3" says whom a refusal names.
        value: The thing itself or its digest; of a trunk its name.
    """

    name: str
    value: bytes


@dataclass(frozen=True)
class Entry:
    """One exchange with the coordinator.

    Attributes:
        number: From 1.
        previous: SHA-256 of the encoded entry before; zeros for the first.
        session: Session id, 32 bytes; in the phases of `SET_UP` the nonce of the parameters, because partners that are shown different
            advertisements compute different session ids, and would have nothing to compare; zeros while neither is known.
        round: Round of the session.
        phase: One of `PHASES`.
        facts: What must have been alike, each name once.
        received: SHA-256 of the request.
        sent: SHA-256 of the reply; empty if there was none.
        refused: Name of the error with which the request was refused; empty if it was not.
    Raises:
        ValueError: A digest or session of another length, an unknown phase, a fact named twice, or unprintable names.
    """

    number: int
    previous: bytes
    session: bytes
    round: int
    phase: str
    facts: tuple[Fact, ...]
    received: bytes
    sent: bytes
    refused: str

    def __post_init__(self) -> None:
        for name in ("previous", "session", "received"):
            if len(getattr(self, name)) != DIGEST:
                raise ValueError(f"{name} has {len(getattr(self, name))} bytes, not {DIGEST}")
        if len(self.sent) not in (0, DIGEST):
            raise ValueError(f"sent has {len(self.sent)} bytes, not 0 or {DIGEST}")
        if self.phase not in PHASES:
            raise ValueError(f"there is no phase {self.phase!r}")
        names = [fact.name for fact in self.facts]
        if len(set(names)) != len(names):
            raise ValueError(f"a fact is named twice: {names}")
        if not all(text.isprintable() for text in (self.refused, *names)):  # people will read them in a terminal
            raise ValueError("a name with control characters")


def append(  # noqa: PLR0913 - the columns of a line; called with keywords
    last: Entry | None,
    identity: Identity,
    roster_digest: bytes,
    session: bytes,
    number: int,
    phase: str,
    facts: tuple[Fact, ...],
    received: bytes,
    sent: bytes,
    refused: str,
) -> tuple[Entry, str]:
    """The entry that follows `last`, and its signed line, without a newline.

    Args:
        last: The newest entry; None begins a transcript.
        roster_digest: Of the roster for as long as the transcript lasts: another roster needs another transcript.
    Raises:
        ValueError: As `Entry` says.
    """
    place, previous = _place_after(last)
    entry = Entry(
        number=place,
        previous=previous,
        session=session,
        round=number,
        phase=phase,
        facts=facts,
        received=received,
        sent=sent,
        refused=refused,
    )
    return entry, _line(entry, identity.sign(_signed(entry, roster_digest)))


def read(lines: Iterable[str], member: Member, roster_digest: bytes) -> tuple[Entry, ...]:
    """The entries of a partner's transcript, every one verified.

    Raises:
        BrokenTranscriptError: A line that is no entry, does not follow the one before, or is not signed by this partner.
    """
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        try:
            entry, signature = _parse(line)
            member.identity.verify(signature, _signed(entry, roster_digest), member.index)
        except MalformedMessageError as error:
            raise BrokenTranscriptError(member.index, number, str(error)) from error
        except SignatureError as error:
            raise BrokenTranscriptError(member.index, number, "altered, or not signed by this partner for this roster") from error
        if (entry.number, entry.previous) != _place_after(entries[-1] if entries else None):
            raise BrokenTranscriptError(member.index, number, "does not follow the line before: entries were removed, added or moved")
        entries.append(entry)
    return tuple(entries)


def resume(lines: Iterable[str], member: Member, roster_digest: bytes) -> Entry | None:
    """The newest entry of one's own transcript, to append after; None if there is none.

    Its signature alone is verified: an altered entry that another one follows would read as if this partner had forged it.

    Raises:
        MalformedMessageError: The last line is no entry.
        SignatureError: It was altered.
    """
    newest = deque(lines, maxlen=1)
    if not newest:
        return None
    entry, signature = _parse(newest[0])
    try:
        member.identity.verify(signature, _signed(entry, roster_digest), member.index)
    except SignatureError as error:
        raise SignatureError(member.index, "its last line was altered, or not signed by this partner for this roster") from error
    return entry


def follows(line: str, last: Entry | None, member: Member, roster_digest: bytes) -> bool:
    """Whether a line is this partner's own that comes after `last`, and not one of another transcript, or of another roster's.

    Raises:
        MalformedMessageError: The line is no entry.
    """
    entry, signature = _parse(line)
    if (entry.number, entry.previous) != _place_after(last):
        return False
    try:
        member.identity.verify(signature, _signed(entry, roster_digest), member.index)
    except SignatureError:
        return False
    return True


def parse(line: str) -> Entry:
    """The entry in a line, unverified.

    Raises:
        MalformedMessageError: The line is no entry.
    """
    return _parse(line)[0]


def owner(line: str, roster: Roster) -> Member | None:
    """The partner that signed a line; None if nobody of this roster did, or the line was altered.

    Raises:
        MalformedMessageError: The line is no entry.
    """
    entry, signature = _parse(line)
    message = _signed(entry, roster.digest())
    for member in roster.members:
        try:
            member.identity.verify(signature, message, member.index)
        except SignatureError:
            continue
        return member
    return None


def _place_after(last: Entry | None) -> tuple[int, bytes]:
    """Number and chain value of the entry that follows."""
    return (1, FIRST) if last is None else (last.number + 1, hashlib.sha256(wire.encode(last)).digest())


def _signed(entry: Entry, roster_digest: bytes) -> bytes:
    return TAG + roster_digest + wire.encode(entry)


def _line(entry: Entry, signature: bytes) -> str:
    columns = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(entry).items()}
    columns["facts"] = {fact.name: fact.value.hex() for fact in entry.facts}
    return json.dumps(columns | {"signature": base64.b64encode(signature).decode()})


def _parse(line: str) -> tuple[Entry, bytes]:
    """Entry and signature of a line, which is refused unless it is exactly what `append` would have written."""
    line = line.removesuffix("\n")
    try:
        columns = json.loads(line)
        signature = base64.b64decode(columns.pop("signature"), validate=True)
        columns["facts"] = tuple(Fact(name, bytes.fromhex(value)) for name, value in columns["facts"].items())
        columns |= {name: bytes.fromhex(columns[name]) for name in ("previous", "session", "received", "sent")}
        entry = wire.decode(Entry, wire.encode(Entry(**columns)))  # through the canonical bytes, so that `true` for 1 is another line
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MalformedMessageError("not an entry of a transcript") from error
    if _line(entry, signature) != line:
        raise MalformedMessageError("not written as an entry of a transcript is")
    return entry, signature
