"""Partners that misbehave with their own keys: they sign what no honest partner would, and everything else is as it should be."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from strategies.secagg import contributions, keys, shamir, shares, wire
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.messages import (
    COLLECT_REPLIES,
    Header,
    KeyContributions,
    MaskedInput,
    SessionParameters,
    ShareKeysReply,
    SignedAdvertisement,
    SignedHeader,
    cohort_digest,
)
from strategies.secagg.participant import Participant
from strategies.secagg.verification import (
    advertisement_message,
    answer_message,
    bundle_digest,
    contributions_message,
    header_message,
)

NO_LATTICE_POINT, NO_CURVE_POINT = "no lattice point", "no curve point"
Seal = Callable[[int, bytes, bytes], bytes]  # recipient, pair and group contribution, to a ciphertext

M = TypeVar("M")


def advertising(partner: Participant, parameters: SessionParameters, reply: bytes, **changes: object) -> bytes:
    """A partner's advertisement with some fields of its own choice."""
    body = replace(wire.decode(SignedAdvertisement, reply).body, **changes)
    return wire.encode(SignedAdvertisement(body, partner.identity.sign(advertisement_message(parameters, body))))


def unusable(kem: bytes, kind: str) -> bytes:
    """A key for which nothing can be encrypted: not even of its form, or one with which every secret would be 0."""
    return b"\xff" * 1184 + kem[1184:] if kind == NO_LATTICE_POINT else kem[:1184] + bytes(32)


def contributing(
    partner: Participant, reply: bytes, seal: Seal, recipients: Iterable[int] | None = None, committed: bytes | None = None
) -> bytes:
    """A partner's contributions with ciphertexts of its own making for some recipients, signed.

    Args:
        recipients: Whose are made; None for all.
        committed: The group contribution that it commits to; None for its own.
    """
    state = partner.state.shared
    assert state is not None
    sent = wire.decode(ShareKeysReply, reply)
    chosen = set(state.recipients if recipients is None else recipients)
    ciphertexts = tuple(
        seal(other, pair, state.group) if other in chosen else ciphertext
        for other, pair, ciphertext in zip(state.recipients, state.sent, sent.ciphertexts, strict=True)
    )
    group = sent.contributions.group if committed is None else keys.group_commitment(state.id, state.index, committed)
    digests = b"".join(hashlib.sha256(each).digest() for each in ciphertexts)
    listed = relisted(partner, state.id, replace(sent.contributions, group=group, digests=digests))
    return wire.encode(unchecked(ShareKeysReply, contributions=listed, ciphertexts=ciphertexts))


def unchecked(kind: type[M], **fields: object) -> M:
    """A message that could not be made, but sent."""
    message = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(message, name, value)
    return message


def relisted(partner: Participant, session: bytes, listed: KeyContributions) -> KeyContributions:
    """A list of contributions, signed by this partner."""
    return replace(listed, signature=partner.identity.sign(contributions_message(partner.roster, session, listed)))


def sealing(session: bytes, sender: int, advertisements: Iterable[SignedAdvertisement], group: bytes) -> Seal:
    """Honest ciphertexts, but for another group contribution."""
    bodies = {each.body.index: each.body for each in advertisements}
    return lambda other, pair, _: contributions.seal(session, sender, bodies[other], pair, group)


def masking_as(
    partner: Participant, reply: bytes, commitments: bytes | None = None, bundle: tuple[bytes, ...] | None = None, **changes: object
) -> bytes:
    """A partner's masked input with other commitments, encrypted shares or fields of its header, signed."""
    masked = wire.decode_tagged(COLLECT_REPLIES, reply)
    assert isinstance(masked, MaskedInput)
    held = partner.state.round
    assert held is not None
    commitments = masked.commitments if commitments is None else commitments
    bundle = masked.bundle if bundle is None else bundle
    body = replace(masked.header.body, secrets=hashlib.sha256(commitments).digest(), bundle=bundle_digest(bundle))
    header = signed_header(partner, held.number, replace(body, **changes))
    partner.state = replace(partner.state, round=replace(held, header=header))
    return wire.encode_tagged(COLLECT_REPLIES, MaskedInput(header, commitments, bundle, masked.public))


def signed_header(partner: Participant, number: int, body: Header) -> SignedHeader:
    """A header, signed by this partner."""
    return SignedHeader(body, partner.identity.sign(header_message(partner.roster, partner.session.id, number, body)))


def dealing(partner: Participant, reply: bytes, shared: Callable[[int, int], bytes], left_out: int = 0) -> bytes:
    """A partner's masked input with other shares for those to whom it sends some: `shared` of holder, and whom the share is about.

    Args:
        left_out: How many of them are missing at the end.
    """
    held = partner.state.round
    assert held is not None
    names, bundle = shares.secrets_of(partner.index, held.cohort), []
    for holder in shares.sent_to(partner.index, held.cohort, partner.roster.threshold):
        key = keys.share_key(partner.session.pair(holder), held.number, partner.index, holder, cohort_digest(held.cohort))
        dealt = [shared(holder, about) for about in names]
        bundle.append(shares.seal(dealt[: len(dealt) - left_out], key, partner.session.id))
    return masking_as(partner, reply, bundle=tuple(bundle))


def answering(partner: Participant, reply: bytes, **changes: object) -> bytes:
    """A partner's answer to Unmasking with some fields of its own choice, signed."""
    held = partner.state.round
    assert held is not None
    answer = replace(wire.decode(UnmaskReply, reply), **changes)
    message = answer_message(partner.roster, partner.session.id, held.number, answer)
    return wire.encode(replace(answer, signature=partner.identity.sign(message)))


def spoiled(reply: bytes, places: Iterable[int] | None = None) -> bytes:
    """The shares of an answer with others in their place, or in some places."""
    revealed, size = wire.decode(UnmaskReply, reply).shares, shamir.SHARE_BYTES
    made = [revealed[start : start + size] for start in range(0, len(revealed), size)]
    for place in range(len(made)) if places is None else places:
        made[place] = hashlib.sha256(made[place]).digest()
    return b"".join(made)
