"""Several partners' transcripts held side by side: do they tell of one coordinator that said the same to everybody?"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from strategies.secagg.state import NO_SESSION
from strategies.secagg.transcript import DIGEST, PHASES, SET_UP, Entry, Fact
from strategies.secagg.transcript_findings import HANDED_OVER, PROOF, REFUSED_OVER

HEADER = re.compile(r"header ([1-9][0-9]{0,4})")


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
        parties: The partners that it points to, honest ones among them where the verdict says "either"; empty if it cannot be told.
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
Signing: TypeAlias = tuple[bytes, int, str]  # session, round, name of a fact that somebody signed
Judgement: TypeAlias = tuple[tuple[int, ...], str]  # parties and verdict of a difference


def compare(transcripts: Mapping[int, tuple[Entry, ...]]) -> Difference | None:
    """The first fact that was not alike everywhere, or None.

    Only what is told can differ. A partner that dropped out, joined later or was never asked lacks entries, and that is no difference;
    nor are `received` and `sent`, which are meant for one partner. So a partner can hide by keeping silent, but not by lying.

    Facts of a request that was refused count: they are what the coordinator said to that partner. The verdict says who refused. If such a
    request named no session, it may have come at any time, and is held against nothing. Proofs are no part of it: each convinces by itself,
    and partners may have been sent others, or at other times.

    Whom a difference points to:
    - Something that partner i signed ("header i", "handed over i") and that its own transcript lacks, which tells of another one in that
      round, or of a trunk in that session: partner i and whoever wrote it. An honest partner writes it only after it has verified i's
      signature. So either i hides what it signed, or all of those write falsely, and transcripts alone cannot tell which: the message
      itself, with its signature, can. A header of which a request was refused is not held against i.
    - Two headers of partner i, without its transcript: partner i and those who differ from a majority, in the same way; without a majority,
      all who wrote of it. If its own transcript has both: partner i, by its own word.
    - Two trunks that partner i handed over, and that its transcript has: nobody, since the coordinator may have asked for both, and only
      those that a quorum names are taken. Without i's transcript it cannot be told.
    - Else, if more than half of the partners that wrote of the fact agree: those that wrote something else. They were told something
      else than the others, or write falsely; with an honest majority the others are right about what was said to them.
    - Else nobody: the coordinator said different things, or somebody writes falsely.

    Args:
        transcripts: Partner to its entries, as `read` returns them.
    Returns:
        The first difference by session, round, phase and order of facts; sessions are ordered as the partners took part in them, and those
        in which nobody answered come last.
    """
    rank = {session: place for place, session in enumerate(_sessions(transcripts))}
    seen_of, own_of = _seen(transcripts), _own(transcripts)
    for key in sorted(seen_of, key=lambda key: (rank.get(key[0], len(rank)), key[1], PHASES.index(key[2]))):
        session, number, _, fact = key
        seen, own = seen_of[key], own_of.get(_signing(session, number, fact), [])
        if judgement := _judge(fact, seen, own):
            parties, verdict = judgement
            return Difference(*key, tuple(dict.fromkeys((*seen, *own))), parties, _with_refusals(verdict, seen))
    return None


def common(transcripts: Mapping[int, tuple[Entry, ...]]) -> Common:
    """How much a comparison rests on."""
    shared = {key for key, seen in _seen(transcripts).items() if len({sight.partner for sight in seen}) > 1}
    rounds = {key[:2] for key in shared if key[2] not in SET_UP}
    entries = sum(any(key in shared for key in _keys(entry)) for entries_of_one in transcripts.values() for entry in entries_of_one)
    return Common(len({session for session, _ in rounds}), len(rounds), entries)


def shorter(transcripts: Mapping[int, tuple[Entry, ...]]) -> tuple[Ending, ...]:
    """The partners whose transcript ends before the one that goes on longest: they lack its last answered exchange.

    They dropped out or left, were not asked, or show less than they have: a transcript that was cut off at its end still verifies. What
    was refused by all that were asked says nothing of where others end: such a request can name any session and round, or none.
    """
    rank = {session: place for place, session in enumerate(_sessions(transcripts))}
    ends = [answered[-1] for entries in transcripts.values() if (answered := _answered(entries))]
    newest = max(ends, key=lambda entry: (rank[entry.session], entry.round, PHASES.index(entry.phase)), default=None)
    return tuple(
        Ending(partner, len(entries), entries[-1].round, entries[-1].phase)
        for partner, entries in sorted(transcripts.items())
        if newest and entries and not any(_place(entry) == _place(newest) for entry in entries)
    )


def _told(entry: Entry) -> list[Fact]:
    """What others were told as well: no proofs, nor what the writer itself handed over, nor whom its refusal names.

    Nor anything of a refused request that named no session: others may have been sent another one, at another time.
    """
    if entry.refused and entry.session == NO_SESSION:
        return []
    own = (PROOF, REFUSED_OVER, *((HANDED_OVER,) if _hands_over(entry) else ()))
    return [fact for fact in entry.facts if not any(name.fullmatch(fact.name) for name in own)]


def _hands_over(entry: Entry) -> bool:
    return entry.phase == "Handover"


def _answered(entries: tuple[Entry, ...]) -> list[Entry]:
    return [entry for entry in entries if not entry.refused]


def _place(entry: Entry) -> tuple[bytes, int, str]:
    return entry.session, entry.round, entry.phase


def _keys(entry: Entry) -> list[Key]:
    return [(*_place(entry), fact.name) for fact in _told(entry)]


def _seen(transcripts: Mapping[int, tuple[Entry, ...]]) -> dict[Key, list[Seen]]:
    """What was written of each fact, by partner; the same thing seen again counts once."""
    seen_of: dict[Key, dict[Seen, None]] = {}
    for partner, entries in sorted(transcripts.items()):
        for entry in entries:
            for key, fact in zip(_keys(entry), _told(entry), strict=True):
                seen_of.setdefault(key, {})[Seen(partner, fact.value, entry.refused)] = None
    return {key: list(seen) for key, seen in seen_of.items()}


def _own(transcripts: Mapping[int, tuple[Entry, ...]]) -> dict[Signing, list[Seen]]:
    """What each partner says itself that it signed: the trunks that it handed over, and its headers."""
    found: dict[Signing, dict[Seen, None]] = {}
    for partner, entries in transcripts.items():
        handover, header = f"handed over {partner}", f"header {partner}"
        for entry in entries:
            for fact in entry.facts:
                if (fact.name == handover and _hands_over(entry)) or (fact.name == header and not entry.refused):
                    signing = _signing(entry.session, entry.round, fact.name)
                    found.setdefault(signing, {})[Seen(partner, fact.value, entry.refused)] = None
    return {signing: list(seen) for signing, seen in found.items()}


def _signing(session: bytes, number: int, fact: str) -> Signing:
    """A header is of one round; a trunk is handed over for the session, whatever round it is taken over in."""
    return session, 0 if HANDED_OVER.fullmatch(fact) else number, fact


def _sessions(transcripts: Mapping[int, tuple[Entry, ...]]) -> list[bytes]:
    """All sessions in which somebody answered, each after those that came before it in the longest transcript that answered in it."""
    order: list[bytes] = []
    for entries in sorted(transcripts.values(), key=len, reverse=True):
        place = 0
        for session in dict.fromkeys(entry.session for entry in _answered(entries)):
            if session not in order:
                order.insert(place, session)
            place = order.index(session) + 1
    return order


def _judge(fact: str, seen: list[Seen], own: list[Seen]) -> Judgement | None:
    """The partners that a difference points to, and why; None if there is none. The rule is in `compare`.

    Args:
        own: What the signer of the fact, if it has one, says itself.
    """
    judgement = None
    if handed := HANDED_OVER.fullmatch(fact):
        judgement = _judge_handed_over(int(handed[1]), seen, own)
    elif header := HEADER.fullmatch(fact):
        judgement = _judge_header(int(header[1]), [sight for sight in seen if not sight.refused], own)
    return judgement or (_judge_told(seen) if _differ(seen) else None)


def _judge_handed_over(holder: int, seen: list[Seen], own: list[Seen]) -> Judgement | None:
    if lacking := _lacking(seen, own):
        return _either(holder, "handed over what its own transcript lacks", lacking)
    if _differ(seen):
        return (), f"the coordinator had partner {holder} hand over two trunks, as its own transcript then says, or somebody writes falsely"
    return None


def _judge_header(signer: int, verified: list[Seen], own: list[Seen]) -> Judgement | None:
    if lacking := _lacking(verified, own):
        return _either(signer, "signed another one than its own transcript has", lacking)
    if not _differ(verified):
        return None
    if own:
        return (signer,), f"partner {signer} signed two different ones, as its own transcript says"
    return _either(signer, "signed two different ones", _minority(verified) or tuple(sorted({sight.partner for sight in verified})))


def _judge_told(seen: list[Seen]) -> Judgement:
    if differing := _minority(seen):
        return differing, f"{_they(differing, 'differ')} from the majority: told something else by the coordinator, or writing falsely"
    return (), "no majority: the coordinator said different things, or somebody writes falsely"


def _either(signer: int, deed: str, others: tuple[int, ...]) -> Judgement:
    """The signer or those who wrote what it signed: one side is at fault, and the other may be honest."""
    verdict = f"either partner {signer} {deed}, or {_they(others, 'write')} falsely: transcripts alone cannot tell which"
    return tuple(sorted({signer, *others})), verdict


def _with_refusals(verdict: str, seen: list[Seen]) -> str:
    refusals = ", ".join(f"partner {sight.partner} ({sight.refused})" for sight in seen if sight.refused)
    return verdict + (f"; refused by {refusals}" if refusals else "")


def _they(partners: tuple[int, ...], verb: str) -> str:
    """Partners and what they do, in words."""
    return f"partner {partners[0]} {verb}s" if len(partners) == 1 else f"partners {', '.join(map(str, partners))} {verb}"


def _differ(seen: list[Seen]) -> bool:
    return len({sight.value for sight in seen}) > 1


def _lacking(seen: list[Seen], own: list[Seen]) -> tuple[int, ...]:
    """Who wrote what the signer's own transcript lacks; nobody, if that tells of nothing that it signed."""
    admitted = {sight.value for sight in own}
    return tuple(sorted({sight.partner for sight in seen if admitted and sight.value not in admitted}))


def _minority(seen: list[Seen]) -> tuple[int, ...]:
    """Those who wrote something else than more than half of the partners did; nobody without such a majority."""
    holders: dict[bytes, set[int]] = {}
    for sight in seen:
        holders.setdefault(sight.value, set()).add(sight.partner)
    most, *others = sorted(holders.values(), key=len, reverse=True)
    if 2 * len(most) <= len({sight.partner for sight in seen}) or len(most) == len(others[0]):
        return ()
    return tuple(sorted(set().union(*others)))
