"""What anybody can check of a partner's words by its public keys alone: nothing here has, or asks for, a secret.

PROTOCOL.md, section 2: what a signature covers; section 3: session id and the trunk that a session goes on from. The coordinator imports
this and none of the modules that hold a partner's secrets, so that its code cannot even name one (tests/test_architecture.py).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from strategies.secagg import keys, wire
from strategies.secagg.consistency_messages import SurvivorsSignature, UnmaskReply
from strategies.secagg.errors import HandoverError
from strategies.secagg.messages import (
    NO_TRUNK,
    Advertisement,
    Handover,
    Header,
    KeyContributions,
    SessionParameters,
    SignedAdvertisement,
    SignedHeader,
    index_bytes,
)
from strategies.secagg.phases import Step
from strategies.secagg.roster import Roster


def verify_advertisement(roster: Roster, parameters: SessionParameters, signed: SignedAdvertisement) -> None:
    """Check a partner's signature on its advertisement for these parameters.

    Raises:
        UnknownPartnerError: Nobody with that index.
        SignatureError: It does not verify.
    """
    member = roster.member(signed.body.index)
    member.identity.verify(signed.signature, advertisement_message(parameters, signed.body), member.index)


def verify_contributions(roster: Roster, session: bytes, signed: KeyContributions) -> None:
    """Check a partner's signature on the list of its contributions.

    Raises:
        UnknownPartnerError, SignatureError: As `verify_advertisement`.
    """
    message = contributions_message(roster, session, signed)
    roster.member(signed.sender).identity.verify(signed.signature, message, signed.sender)


def agreed_trunk(roster: Roster, advertisements: tuple[SignedAdvertisement, ...]) -> tuple[int, bytes, tuple[int, ...]]:
    """The trunk that a session starts from: the newest that a quorum holds, of two such ones the more common.

    A quorum is more than may misbehave, so that one of its members is honest, and a name says what is in a trunk. A round that fewer
    finished in time is lost to them: they have the trunk before it, too. A trunk from which a round was finished always has a quorum,
    among whichever partners are there, by default and wherever 2 · threshold - n is no less; unless some of them say falsely what they
    have, for which partners go back by one round at most.

    Returns:
        Its version, its name (`NO_TRUNK` if there is none), and who has it on disk, ascending.
    """
    holders: dict[tuple[int, bytes], list[int]] = {}
    for signed in advertisements:
        for held in signed.body.holds():
            holders.setdefault(held, []).append(signed.body.index)
    eligible = [held for held in holders if len(holders[held]) >= roster.quorum()]
    if not eligible:
        return 0, NO_TRUNK, ()
    version, name = max(eligible, key=lambda held: (held[0], len(holders[held]), held[1]))
    return version, name, tuple(sorted(holders[version, name]))


def contributions_digest(lists: Iterable[KeyContributions]) -> bytes:
    """SHA-256 of the lists of contributions that somebody was shown, one a sender; their order says nothing.

    Each is hashed by itself: of lists one after the other nobody can say where one ends, and senders choose how long theirs are.
    """
    ordered = sorted(lists, key=lambda each: each.sender)
    bodies = b"".join(hashlib.sha256(_contributions_body(each)).digest() for each in ordered)
    return hashlib.sha256(wire.DOMAIN + b"contributions" + bodies).digest()


def session_id(parameters: SessionParameters, advertisements: tuple[SignedAdvertisement, ...]) -> bytes:
    """SHA-256 over parameters and sorted advertisements."""
    bodies = sorted((signed.body for signed in advertisements), key=lambda body: body.index)
    return hashlib.sha256(wire.DOMAIN + b"session" + parameters.digest() + b"".join(map(wire.encode, bodies))).digest()


def verify_handover(roster: Roster, session: bytes, offered: Handover, ciphertext: bytes) -> None:
    """See that a holder signed what is handed over; anybody can.

    Args:
        session: Its id.
    Raises:
        UnknownPartnerError: The holder is nobody.
        SignatureError: It did not sign this.
        HandoverError: The ciphertext is another one.
    """
    member = roster.member(offered.holder)
    member.identity.verify(
        offered.signature, handover_message(roster, session, offered.holder, offered.trunk, offered.ciphertext), offered.holder
    )
    if hashlib.sha256(ciphertext).digest() != offered.ciphertext:
        raise HandoverError(offered.holder, "the encrypted trunk is not the one that it signed")


def handover_message(roster: Roster, session: bytes, holder: int, trunk: bytes, ciphertext: bytes) -> bytes:
    """What is signed of a handover.

    Args:
        ciphertext: SHA-256 of the encrypted trunk.
    """
    return keys.tag(Step.HANDOVER, roster.digest(), session, 0) + holder.to_bytes(4, "big") + trunk + ciphertext


def advertisement_message(parameters: SessionParameters, body: Advertisement) -> bytes:
    """What is signed of an advertisement: before there is a session id, the parameters' digest stands in its place."""
    return keys.tag(Step.ADVERTISE_KEYS, parameters.roster, parameters.digest(), 0) + wire.encode(body)


def contributions_message(roster: Roster, session: bytes, listed: KeyContributions) -> bytes:
    """What is signed of the list of contributions: all but the signature."""
    return keys.tag(Step.SHARE_KEYS, roster.digest(), session, 0) + _contributions_body(listed)


def input_digest(words: np.ndarray, public: bytes) -> bytes:
    """SHA-256 of the masked vector, then of the public words."""
    digest = hashlib.sha256(np.ascontiguousarray(words).data)
    digest.update(public)
    return digest.digest()


def bundle_digest(bundle: tuple[bytes, ...]) -> bytes:
    """SHA-256 over ciphertexts with their lengths."""
    return hashlib.sha256(b"".join(len(sealed).to_bytes(4, "big") + sealed for sealed in bundle)).digest()


def verify_header(roster: Roster, session: bytes, number: int, header: SignedHeader) -> None:
    """Check the signature of a header.

    Raises:
        SignatureError: It does not verify.
        UnknownPartnerError: Nobody with that index.
    """
    member = roster.member(header.body.index)
    member.identity.verify(header.signature, header_message(roster, session, number, header.body), member.index)


def header_message(roster: Roster, session: bytes, number: int, body: Header) -> bytes:
    """What is signed of a header."""
    return keys.tag(Step.COLLECT, roster.digest(), session, number) + wire.encode(body)


def verify_survivors(roster: Roster, session: bytes, number: int, signed: SurvivorsSignature) -> None:
    """Check a partner's signature on the survivors that it names.

    Raises:
        SignatureError: It does not verify.
        UnknownPartnerError: Nobody with that index.
    """
    member = roster.member(signed.index)
    member.identity.verify(signed.signature, survivors_message(roster, session, number, signed.survivors), signed.index)


def verify_answer(roster: Roster, session: bytes, number: int, answer: UnmaskReply) -> None:
    """Check a partner's signature on what it reveals.

    Raises:
        SignatureError: It does not verify.
        UnknownPartnerError: Nobody with that index.
    """
    member = roster.member(answer.index)
    member.identity.verify(answer.signature, answer_message(roster, session, number, answer), answer.index)


def answer_message(roster: Roster, session: bytes, number: int, answer: UnmaskReply) -> bytes:
    """What is signed of revealed seeds and shares: all but the signature."""
    return keys.tag(Step.UNMASK, roster.digest(), session, number) + wire.encode(replace(answer, signature=b""))


def survivors_message(roster: Roster, session: bytes, number: int, survivors: bytes) -> bytes:
    """What is signed of the digest of a list of survivors."""
    return keys.tag(Step.CONSISTENCY, roster.digest(), session, number) + survivors


def _contributions_body(listed: KeyContributions) -> bytes:
    return listed.sender.to_bytes(4, "big") + index_bytes(listed.recipients) + listed.group + listed.digests
