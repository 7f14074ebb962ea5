"""Proofs that a partner misbehaved: what it signed, and why that cannot be. Anybody can check them with the roster alone.

PROTOCOL.md, section 6. The coordinator makes them of what it was sent, and carries them to every partner with the next request. Each
partner checks them for itself, and keeps what holds in its transcript (`transcript verify`).

A proof has room for nothing else, since it lies in every transcript and whoever misbehaves can sign what it likes: each part has the one
length and order that it has where partners are honest but for what the proof shows. An honest coordinator takes no other (`coordinator.py:
add_contributions`, `collection.py: add_input` and `add_answer`), so what it makes of replies always holds.
"""

import hashlib
from collections.abc import Collection
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
    require,
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
        if not self._of_one_session(roster):
            return False
        named, listed = verification.session_id(self.parameters, self.advertisements), self.delivered.contributions
        for signed in self.advertisements:  # the recipient's, too: nobody chose another key for it
            verification.verify_advertisement(roster, self.parameters, signed)
        verification.verify_contributions(roster, named, listed)
        (advertised,) = (each for each in self.advertisements if each.body.index == self.recipient)
        if listed.digest_for(self.recipient) != hashlib.sha256(self.delivered.ciphertext).digest():
            return False
        if contributions.advertised(self.secret) != advertised.body.kem:
            return False
        try:
            contributions.opened(contributions.private_key(self.secret), named, self.recipient, self.delivered)
        except UnequalContributionError:
            return True
        return False

    def _of_one_session(self, roster: Roster) -> bool:
        """Whether partners of this roster advertised, ascending, and one of them contributed for all the others."""
        indices = tuple(each.body.index for each in self.advertisements)
        others = tuple(index for index in indices if index != self.accused)
        if self.parameters.roster != roster.digest() or not some_of(indices, roster.indices()):
            return False
        return self.accused in indices and self.delivered.contributions.recipients == others


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

    def __post_init__(self) -> None:
        require(self.session, DIGEST, "session")

    @property
    def accused(self) -> int:
        """Whom it is about."""
        return self.answer.index

    def holds(self, roster: Roster) -> bool:
        """Whether it proves that."""
        body = self.header.body
        if not some_of(self.cohort, roster.indices()) or not called_for(self.answer, self.cohort):
            return False
        verification.verify_header(roster, self.session, self.number, self.header)
        verification.verify_answer(roster, self.session, self.number, self.answer)
        if body.index != self.accused or body.cohort != cohort_digest(self.cohort):
            return False
        if len(self.commitments) != DIGEST * len(self.cohort) or body.secrets != hashlib.sha256(self.commitments).digest():
            return False
        try:
            own_secrets(self.session, self.number, self.cohort, self.commitments, self.answer)
        except WrongSecretError:
            return True
        return False


Proof: TypeAlias = UnusableKey | UnequalContribution | WrongSecret
PROOFS: tuple[type[Proof], ...] = (UnusableKey, UnequalContribution, WrongSecret)


def most_bytes(partners: int) -> int:
    """No proof of so many partners has more.

    An `UnequalContribution` has parameters, and 4,749 bytes a partner: its advertisement, and its place in the list of contributions. A
    `WrongSecret` has shares of 32 bytes, by survivor and dropped partner: most where half of them dropped out.
    """
    return 12_000 + 4_800 * partners + 8 * partners**2


def some_of(indices: tuple[int, ...], among: Collection[int]) -> bool:
    """Whether these indices are among those, ascending, none twice."""
    return indices == tuple(sorted(set(indices) & set(among)))


def called_for(answer: UnmaskReply, cohort: tuple[int, ...]) -> bool:
    """Whether an answer is of a survivor of this cohort, and as long as those who dropped out call for; its own seeds may be fewer."""
    dropped = set(answer.dropped)
    survivors = tuple(index for index in cohort if index not in dropped)
    return (
        answer.index in survivors
        and some_of(answer.dropped, cohort)
        and some_of(answer.unopened, survivors)
        and len(answer.shares) == shamir.SHARE_BYTES * len(survivors) * (1 + len(answer.dropped))
        and len(answer.own) <= shamir.SHARE_BYTES * len(cohort)
    )


def own_secrets(session: bytes, number: int, cohort: tuple[int, ...], commitments: bytes, answer: UnmaskReply) -> dict[int, bytes]:
    """The seeds that a survivor revealed of its own, by the partner that each is about; itself for its self mask.

    Args:
        session, number: Of the round.
        answer: Whose form was seen to (`called_for`).
    Raises:
        WrongSecretError: Others than it committed to, or not as many as the dropped partners that it names call for.
    """
    dealer, names = answer.index, shares.secrets_of(answer.index, cohort)
    asked = (dealer, *answer.dropped)
    if len(answer.own) != shamir.SHARE_BYTES * len(asked):
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
    if len(data) > most_bytes(len(roster.members)):
        return None
    try:
        proof = decode(data)
        return proof.accused if proof.holds(roster) else None
    except (SecAggError, ValueError):
        return None
