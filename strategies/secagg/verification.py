"""What anybody can check of a partner's words by its public keys alone: nothing here has, or asks for, a secret.

PROTOCOL.md, section 2: what a signature covers; section 3: session id and the trunk that a session goes on from. The coordinator imports
this and none of the modules that hold a partner's secrets, so that its code cannot even name one (tests/test_architecture.py).
"""

import hashlib

import numpy as np

from strategies.secagg import keys, wire
from strategies.secagg.consistency_messages import SurvivorsSignature
from strategies.secagg.messages import (
    NO_TRUNK,
    Advertisement,
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
    message = contributions_message(roster, session, signed.sender, signed.recipients, signed.digests)
    roster.member(signed.sender).identity.verify(signed.signature, message, signed.sender)


def agreed_trunk(advertisements: tuple[SignedAdvertisement, ...]) -> tuple[int, bytes, tuple[int, ...]]:
    """The trunk that a session starts from: the one with the most rounds behind it, of these the most common.

    Rounds outrank heads: a trunk that only some partners finished in time is handed over to the rest, and no round is lost.

    Returns:
        Its version, its digest (`NO_TRUNK` if nobody has any), and who holds it, ascending.
    """
    holders = [signed.body for signed in advertisements if signed.body.trunk != NO_TRUNK]
    if not holders:
        return 0, NO_TRUNK, ()
    newest = max(body.version for body in holders)
    digests = [body.trunk for body in holders if body.version == newest]
    chosen = max(sorted(set(digests)), key=digests.count)  # sorted: of equally common ones everybody must choose the same
    return newest, chosen, tuple(sorted(body.index for body in holders if (body.version, body.trunk) == (newest, chosen)))


def session_id(parameters: SessionParameters, advertisements: tuple[SignedAdvertisement, ...]) -> bytes:
    """SHA-256 over parameters and sorted advertisements."""
    bodies = sorted((signed.body for signed in advertisements), key=lambda body: body.index)
    return hashlib.sha256(b"polyphony/v1/session" + parameters.digest() + b"".join(map(wire.encode, bodies))).digest()


def advertisement_message(parameters: SessionParameters, body: Advertisement) -> bytes:
    """What is signed of an advertisement: before there is a session id, the parameters' digest stands in its place."""
    return keys.tag(Step.ADVERTISE_KEYS, parameters.roster, parameters.digest(), 0) + wire.encode(body)


def contributions_message(roster: Roster, session: bytes, sender: int, recipients: tuple[int, ...], digests: bytes) -> bytes:
    """What is signed of the list of contributions."""
    body = sender.to_bytes(4, "big") + index_bytes(recipients) + digests
    return keys.tag(Step.SHARE_KEYS, roster.digest(), session, 0) + body


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


def survivors_message(roster: Roster, session: bytes, number: int, survivors: bytes) -> bytes:
    """What is signed of the digest of a list of survivors."""
    return keys.tag(Step.CONSISTENCY, roster.digest(), session, number) + survivors
