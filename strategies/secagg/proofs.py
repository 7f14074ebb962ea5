"""Proofs that a partner misbehaved: what it signed, and why that cannot be. Anybody can check them with the roster alone.

PROTOCOL.md, section 6. The coordinator makes them of what it was sent, and carries them to every partner with the next request. Each
partner checks them for itself, and keeps what holds in its transcript (`transcript verify`).
"""

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from strategies.secagg import contributions, keys, shamir, shares, verification, wire
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.errors import SecAggError, UnequalContributionError, WrongSecretError
from strategies.secagg.messages import (
    DIGEST,
    DeliveredContribution,
    SessionParameters,
    SignedAdvertisement,
    SignedHeader,
    cohort_digest,
)
from strategies.secagg.roster import Roster


@dataclass(frozen=True)
class UnusableKey:
    """A partner signed a key that nothing can be encrypted for."""

    parameters: SessionParameters
    advertisement: SignedAdvertisement

    @property
    def accused(self) -> int:
        """Whom it is about."""
        return self.advertisement.body.index

    def holds(self, roster: Roster) -> bool:
        """Whether it proves that."""
        verification.verify_advertisement(roster, self.parameters, self.advertisement)
        return self.parameters.roster == roster.digest() and not contributions.usable(self.advertisement.body.kem)


@dataclass(frozen=True)
class UnequalContribution:
    """What a partner encrypted for another one is not what it signed for everybody.

    Attributes:
        parameters, advertisements: Of the session, whose id they give.
        delivered: The signed list, and the ciphertext for the recipient.
        recipient: Who could not use it.
        secret: Seeds of the key that the recipient advertised.
    """

    parameters: SessionParameters
    advertisements: tuple[SignedAdvertisement, ...]
    delivered: DeliveredContribution
    recipient: int
    secret: bytes

    @property
    def accused(self) -> int:
        """Whom it is about."""
        return self.delivered.contributions.sender

    def holds(self, roster: Roster) -> bool:
        """Whether it proves that."""
        named = verification.session_id(self.parameters, self.advertisements)
        (advertised,) = (each for each in self.advertisements if each.body.index == self.recipient)
        verification.verify_advertisement(roster, self.parameters, advertised)  # the recipient's own: nobody chose another key for it
        listed = self.delivered.contributions
        verification.verify_contributions(roster, named, listed)
        if listed.digest_for(self.recipient) != hashlib.sha256(self.delivered.ciphertext).digest():
            return False
        if contributions.advertised(self.secret) != advertised.body.kem:
            return False
        try:
            contributions.opened(contributions.private_key(self.secret), named, self.recipient, self.delivered)
        except UnequalContributionError:
            return True
        return False


@dataclass(frozen=True)
class WrongSecret:
    """A partner revealed other seeds of its own than those to which it had committed.

    Attributes:
        session, number: Of the round.
        cohort: Who was asked.
        header: By which the partner committed.
        commitments: As in `MaskedInput`.
        answer: By which it revealed.
    """

    session: bytes
    number: int
    cohort: tuple[int, ...]
    header: SignedHeader
    commitments: bytes
    answer: UnmaskReply

    @property
    def accused(self) -> int:
        """Whom it is about."""
        return self.answer.index

    def holds(self, roster: Roster) -> bool:
        """Whether it proves that."""
        body = self.header.body
        verification.verify_header(roster, self.session, self.number, self.header)
        verification.verify_answer(roster, self.session, self.number, self.answer)
        if body.index != self.accused or body.cohort != cohort_digest(self.cohort):
            return False
        if body.secrets != hashlib.sha256(self.commitments).digest():
            return False
        try:
            own_secrets(self.session, self.number, self.cohort, self.commitments, self.answer)
        except WrongSecretError:
            return True
        return False


MOST_BYTES = 1 << 23  # the advertisements of more than 1,000 partners; what was proven lies in every transcript

Proof: TypeAlias = UnusableKey | UnequalContribution | WrongSecret
PROOFS: tuple[type[Proof], ...] = (UnusableKey, UnequalContribution, WrongSecret)


def own_secrets(session: bytes, number: int, cohort: tuple[int, ...], commitments: bytes, answer: UnmaskReply) -> dict[int, bytes]:
    """The seeds that a survivor revealed of its own, by the partner that each is about; itself for its self mask.

    Args:
        session, number: Of the round.
    Raises:
        WrongSecretError: Others than it committed to, or not as many as the dropped partners that it names call for.
    """
    dealer, names = answer.index, shares.secrets_of(answer.index, cohort)
    asked = (dealer, *answer.dropped)
    if len(answer.own) != shamir.SHARE_BYTES * len(asked) or not set(asked) <= set(names):
        raise WrongSecretError(dealer, f"it revealed {len(answer.own)} bytes of its own seeds for {len(asked)} partners")
    revealed: dict[int, bytes] = {}
    for place, about in enumerate(asked):
        secret = answer.own[place * shamir.SHARE_BYTES :][: shamir.SHARE_BYTES]
        if keys.secret_commitment(session, number, dealer, about, secret) != commitment(commitments, names, about):
            raise WrongSecretError(dealer, f"the seed that it revealed about partner {about} is not the one that it committed to")
        revealed[about] = secret
    return revealed


def commitment(commitments: bytes, names: tuple[int, ...], about: int) -> bytes:
    """The commitment to the secret about one partner."""
    start = DIGEST * names.index(about)
    return commitments[start : start + DIGEST]


def encode(proof: Proof) -> bytes:
    """As it travels, and lies in a transcript."""
    return wire.encode_tagged(PROOFS, proof)


def decode(data: bytes) -> Proof:
    """The proof of `encode`, which may prove nothing.

    Raises:
        MalformedMessageError: It is none.
    """
    return wire.decode_tagged(PROOFS, data)


def proven(roster: Roster, data: bytes) -> int | None:
    """Whom these bytes prove to have misbehaved; None if they prove nothing, or are more than any proof has."""
    if len(data) > MOST_BYTES:
        return None
    try:
        proof = decode(data)
        return proof.accused if proof.holds(roster) else None
    except (SecAggError, ValueError):
        return None
