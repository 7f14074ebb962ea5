"""Several partners' transcripts held side by side: do they tell of one coordinator that said the same to everybody?"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from strategies.secagg.transcript import DIGEST, PHASES, SET_UP, Entry, Fact
from strategies.secagg.transcript_findings import HANDED_OVER, PROOF, REFUSED_OVER

SIGNED_FACT = re.compile(r"\w+ ([1-9][0-9]{0,4})")  # such as "header 3"


@dataclass(frozen=True)
class Seen:
    """What one partner wrote of a fact; `refused` names the error if it refused the request that held it."""

    partner: int
    value: bytes
    refused: str

    def short(self) -> str:
        """The value in hex, or the beginning of its SHA-256 if it is longer than a digest."""
        return self.value.hex() if len(self.value) <= DIGEST else f"sha256:{hashlib.sha256(self.value).hexdigest()[:16]}"


@dataclass(frozen=True)
class Difference:
    """Where transcripts part.

    Attributes:
        session, round, phase, fact: What it is about.
        seen: What each partner wrote of it, by partner.
        parties: The partners that it points to; empty if it cannot be told.
        verdict: The same in words.
    """

    session: bytes
    round: int
    phase: str
    fact: str
    seen: tuple[Seen, ...]
    parties: tuple[int, ...]
    verdict: str


@dataclass(frozen=True)
class Common:
    """What at least two transcripts tell of: sessions and rounds past set-up, and entries in all."""

    sessions: int
    rounds: int
    entries: int


@dataclass(frozen=True)
class Ending:
    """Where the transcript of a partner ends, while another one goes on: what followed was not compared with it.

    Attributes:
        partner: Whose.
        entries: That it has.
        round, phase: Of the last one.
    """

    partner: int
    entries: int
    round: int
    phase: str


Key: TypeAlias = tuple[bytes, int, str, str]  # session, round, phase, name of the fact


def compare(transcripts: Mapping[int, tuple[Entry, ...]]) -> Difference | None:
    """The first fact that was not alike everywhere, or None.

    Only what is told can differ. A partner that dropped out, joined later or was never asked lacks entries, and that is no difference;
    nor are `received` and `sent`, which are meant for one partner. So a partner can hide by keeping silent, but not by lying.

    Facts of a request that was refused count: they are what the coordinator said to that partner. The verdict says who refused. Proofs
    are no part of it: each convinces by itself, and partners may have been sent others, or at other times.

    Whom a difference points to:
    - Something that partner i signed ("header i"), with two values in entries that were not refused: partner i, since whoever wrote
      an honest entry had verified i's signature; and with it those who differ from a majority, who may write falsely instead. (The
      message itself, with its signature, tells i's double talk from a false entry.)
    - A trunk that partner i handed over ("handed over i"), and that its own transcript lacks, which tells of others in that session:
      partner i, in the same way. Two trunks that its transcript has: nobody, since the coordinator may have asked for both, and only
      those that a quorum names are taken. Without i's transcript it cannot be told.
    - Else, if more than half of the partners that wrote of the fact agree: those that wrote something else. They were told something
      else than the others, or write falsely; with an honest majority the others are right about what was said to them.
    - Else nobody: the coordinator said different things, or somebody writes falsely.

    Args:
        transcripts: Partner to its entries, as `read` returns them.
    Returns:
        The first difference by session, round, phase and order of facts; sessions are ordered as the partners took part in them.
    """
    rank = {session: place for place, session in enumerate(_sessions(transcripts))}
    seen_of, admitted_of = _seen(transcripts), _admitted(transcripts)
    for key in sorted(seen_of, key=lambda key: (rank[key[0]], key[1], PHASES.index(key[2]))):
        seen, handed = seen_of[key], HANDED_OVER.fullmatch(key[3])
        admitted = admitted_of.get((key[0], int(handed[1])), []) if handed else []
        if handed and (hidden := _hidden(seen, admitted)):
            return Difference(*key, (*seen, *admitted), (int(handed[1]),), _with_refusals(hidden, seen))
        if len({sight.value for sight in seen}) > 1:
            return Difference(*key, tuple(seen), *_judge(key[3], seen))
    return None


def common(transcripts: Mapping[int, tuple[Entry, ...]]) -> Common:
    """How much a comparison rests on."""
    shared = {key for key, seen in _seen(transcripts).items() if len({sight.partner for sight in seen}) > 1}
    rounds = {key[:2] for key in shared if key[2] not in SET_UP}
    entries = sum(any(key in shared for key in _keys(entry)) for entries_of_one in transcripts.values() for entry in entries_of_one)
    return Common(len({session for session, _ in rounds}), len(rounds), entries)


def shorter(transcripts: Mapping[int, tuple[Entry, ...]]) -> tuple[Ending, ...]:
    """The partners whose transcript ends before the one that goes on longest.

    They dropped out or left, refused what came, or show less than they have: a transcript that was cut off at its end still verifies.
    """
    rank = {session: place for place, session in enumerate(_sessions(transcripts))}
    ends = {partner: entries[-1] for partner, entries in transcripts.items() if entries}
    places = {partner: (rank[last.session], last.round, PHASES.index(last.phase)) for partner, last in ends.items()}
    newest = max(places.values(), default=None)
    return tuple(
        Ending(partner, len(transcripts[partner]), ends[partner].round, ends[partner].phase)
        for partner in sorted(places)
        if places[partner] != newest
    )


def _told(entry: Entry) -> list[Fact]:
    """What others were told as well: no proofs, nor what the writer itself handed over, nor whom its refusal names."""
    own = (PROOF, REFUSED_OVER, *((HANDED_OVER,) if _hands_over(entry) else ()))
    return [fact for fact in entry.facts if not any(name.fullmatch(fact.name) for name in own)]


def _hands_over(entry: Entry) -> bool:
    return entry.phase == "Handover"


def _keys(entry: Entry) -> list[Key]:
    return [(entry.session, entry.round, entry.phase, fact.name) for fact in _told(entry)]


def _seen(transcripts: Mapping[int, tuple[Entry, ...]]) -> dict[Key, list[Seen]]:
    """What was written of each fact, by partner; the same thing seen again counts once."""
    seen_of: dict[Key, dict[Seen, None]] = {}
    for partner, entries in sorted(transcripts.items()):
        for entry in entries:
            for key, fact in zip(_keys(entry), _told(entry), strict=True):
                seen_of.setdefault(key, {})[Seen(partner, fact.value, entry.refused)] = None
    return {key: list(seen) for key, seen in seen_of.items()}


def _admitted(transcripts: Mapping[int, tuple[Entry, ...]]) -> dict[tuple[bytes, int], list[Seen]]:
    """What each partner says that it handed over, by session and partner."""
    found: dict[tuple[bytes, int], dict[Seen, None]] = {}
    for partner, entries in transcripts.items():
        for entry in filter(_hands_over, entries):
            for fact in entry.facts:
                if fact.name == f"handed over {partner}":
                    found.setdefault((entry.session, partner), {})[Seen(partner, fact.value, entry.refused)] = None
    return {place: list(seen) for place, seen in found.items()}


def _sessions(transcripts: Mapping[int, tuple[Entry, ...]]) -> list[bytes]:
    """All sessions, each after those that came before it in the longest transcript that has it."""
    order: list[bytes] = []
    for entries in sorted(transcripts.values(), key=len, reverse=True):
        place = 0
        for session in dict.fromkeys(entry.session for entry in entries):
            if session not in order:
                order.insert(place, session)
            place = order.index(session) + 1
    return order


def _judge(fact: str, seen: list[Seen]) -> tuple[tuple[int, ...], str]:
    """The partners that a difference points to, and why; the rule is in `compare`."""
    parties, verdict = _blame(fact, seen)
    return parties, _with_refusals(verdict, seen)


def _with_refusals(verdict: str, seen: list[Seen]) -> str:
    refusals = ", ".join(f"partner {sight.partner} ({sight.refused})" for sight in seen if sight.refused)
    return verdict + (f"; refused by {refusals}" if refusals else "")


def _hidden(seen: list[Seen], admitted: list[Seen]) -> str:
    """The verdict on a partner that handed over what its own transcript lacks; none, if it has it all or tells of no handover."""
    own = {sight.value for sight in admitted}
    if not own or all(sight.value in own for sight in seen):
        return ""
    holder = admitted[0].partner
    return (
        f"partner {holder} handed over what its own transcript lacks, as its signature was verified on arrival, or somebody writes falsely"
    )


def _blame(fact: str, seen: list[Seen]) -> tuple[tuple[int, ...], str]:
    if handed := HANDED_OVER.fullmatch(fact):
        return (
            (),
            f"the coordinator had partner {handed[1]} hand over two trunks, as its own transcript then says, or somebody writes falsely",
        )
    signer, differing = SIGNED_FACT.fullmatch(fact), _minority(seen)
    if signer and len({sight.value for sight in seen if not sight.refused}) > 1:
        false = " or ".join(f"partner {partner}" for partner in differing) or "somebody"
        return (
            tuple(sorted({int(signer[1]), *differing})),
            f"partner {signer[1]} signed two different ones, as each was verified on arrival, or {false} writes falsely",
        )
    if differing:
        who = f"partner {differing[0]} differs" if len(differing) == 1 else f"partners {', '.join(map(str, differing))} differ"
        return differing, f"{who} from the majority: told something else by the coordinator, or writing falsely"
    return (), "no majority: the coordinator said different things, or somebody writes falsely"


def _minority(seen: list[Seen]) -> tuple[int, ...]:
    """Those who wrote something else than more than half of the partners did; nobody without such a majority."""
    holders: dict[bytes, set[int]] = {}
    for sight in seen:
        holders.setdefault(sight.value, set()).add(sight.partner)
    most, *others = sorted(holders.values(), key=len, reverse=True)
    if 2 * len(most) <= len({sight.partner for sight in seen}) or len(most) == len(others[0]):
        return ()
    return tuple(sorted(set().union(*others)))
