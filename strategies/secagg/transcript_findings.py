"""What one partner's transcript tells by itself: what it proves of others, which trunks it came by, and what was refused and over whom."""

import re
from collections import Counter
from dataclasses import dataclass

from strategies.secagg.proofs import Proof, UnequalContribution, UnusableKey, WrongSecret, decode, proven
from strategies.secagg.roster import Member, Roster
from strategies.secagg.transcript import BrokenTranscriptError, Entry, Fact
from strategies.secagg.verification import session_id

PROOF = re.compile(r"proof against partner ([1-9][0-9]{0,4})")
HANDED_OVER = re.compile(r"handed over ([1-9][0-9]{0,4})")
REFUSED_OVER = re.compile(r"refused over ([1-9][0-9]{0,4})")
TRAINED_FROM, CAME_TO, WENT_BACK_TO = "trunk", "came to", "gone back to"


@dataclass(frozen=True)
class Proven:
    """A proof that holds.

    Attributes:
        partner: Who misbehaved.
        kind: Name of the proof.
        what: What the partner did.
        session: Session id; of a key that cannot be used the nonce of the parameters, since it was part of no session.
        round: Of the session; 0 in set-up.
        proof: The bytes, which anybody can check by the roster.
    """

    partner: int
    kind: str
    what: str
    session: bytes
    round: int
    proof: bytes


@dataclass(frozen=True)
class Trunk:
    """A trunk by its name, and where it came up; `partner` is who handed it over, 0 for nobody."""

    name: bytes
    session: bytes
    round: int
    partner: int = 0


@dataclass(frozen=True)
class Refused:
    """How often a request was refused with an error, and how often over which partner."""

    error: str
    times: int
    over: dict[int, int]


@dataclass(frozen=True)
class Findings:
    """What a transcript tells.

    Attributes:
        proofs: Each once, in order.
        trained_from: By its basis, which is of trunk and row list, each once.
        came_to: After a sum.
        taken_over: From another partner.
        handed_over: To others.
        gone_back_to: 32 zeros for none.
        refused: By error, the most frequent first.
    """

    proofs: tuple[Proven, ...]
    trained_from: tuple[Trunk, ...]
    came_to: tuple[Trunk, ...]
    taken_over: tuple[Trunk, ...]
    handed_over: tuple[Trunk, ...]
    gone_back_to: tuple[Trunk, ...]
    refused: tuple[Refused, ...]


def findings(writer: int, entries: tuple[Entry, ...], roster: Roster) -> Findings:
    """What a verified transcript tells.

    Args:
        writer: Whose it is.
        entries: Of which `check_proofs` found no fault.
    """
    kept = {fact.value: None for _, fact, _ in _facts(entries, PROOF)}
    handed = [(entry, Trunk(fact.value, entry.session, entry.round, index)) for entry, fact, index in _facts(entries, HANDED_OVER)]
    return Findings(
        proofs=tuple(_told(proof, roster) for proof in kept),
        trained_from=_trunks(entries, TRAINED_FROM),
        came_to=_trunks(entries, CAME_TO),
        taken_over=tuple(dict.fromkeys(trunk for entry, trunk in handed if trunk.partner != writer and not entry.refused)),
        handed_over=tuple(dict.fromkeys(trunk for entry, trunk in handed if trunk.partner == writer)),
        gone_back_to=_trunks(entries, WENT_BACK_TO),
        refused=_refused(entries),
    )


def check_proofs(member: Member, entries: tuple[Entry, ...], roster: Roster) -> None:
    """See that every proof in a transcript proves what it is called: an honest partner keeps no other.

    Raises:
        BrokenTranscriptError: Its writer wrote down one that does not.
    """
    for entry, fact, accused in _facts(entries, PROOF):
        if proven(roster, fact.value) != accused:
            raise BrokenTranscriptError(
                member.index, entry.number, f"what it keeps as a proof against partner {accused} proves nothing: it writes falsely"
            )


def what_was_done(proof: Proof) -> str:
    """In words."""
    match proof:
        case UnusableKey():
            return "it signed a key that nothing can be encrypted for"
        case UnequalContribution(recipient=recipient):
            return f"what it encrypted for partner {recipient} is not what it signed for everybody"
        case WrongSecret():
            return "it revealed other seeds than it had committed to"


def _facts(entries: tuple[Entry, ...], name: re.Pattern[str]) -> list[tuple[Entry, Fact, int]]:
    """Facts of a name that ends in a partner's index, with that index."""
    return [(entry, fact, int(found[1])) for entry in entries for fact in entry.facts if (found := name.fullmatch(fact.name))]


def _told(data: bytes, roster: Roster) -> Proven:
    proof = decode(data)
    match proof:
        case UnusableKey(parameters=parameters):
            session, number = parameters.nonce, 0
        case UnequalContribution(parameters=parameters, advertisements=advertisements):
            session, number = session_id(parameters, advertisements), 0
        case WrongSecret(session=named, number=asked):
            session, number = named, asked
    return Proven(roster.member(proof.accused).index, type(proof).__name__, what_was_done(proof), session, number, data)


def _trunks(entries: tuple[Entry, ...], name: str) -> tuple[Trunk, ...]:
    """Each name once, where it came up first."""
    found: dict[bytes, Trunk] = {}
    for entry in entries:
        for fact in entry.facts:
            if fact.name == name and not entry.refused:
                found.setdefault(fact.value, Trunk(fact.value, entry.session, entry.round))
    return tuple(found.values())


def _refused(entries: tuple[Entry, ...]) -> tuple[Refused, ...]:
    times = Counter(entry.refused for entry in entries if entry.refused)
    over: dict[str, Counter[int]] = {error: Counter() for error in times}
    for entry, _, index in _facts(entries, REFUSED_OVER):
        if entry.refused:
            over[entry.refused][index] += 1
    return tuple(Refused(error, count, dict(sorted(over[error].items()))) for error, count in times.most_common())
