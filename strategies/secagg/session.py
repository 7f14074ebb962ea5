"""Setting up a session: keys between every two partners, and one that all partners have and the coordinator has not.

PROTOCOL.md, section 3. `advertise`, `share` and `establish` are the three calls of a partner, in order; each takes the value that the one
before left, and nothing else is remembered. A value is used once: a second `share` from one `Advertised` would encrypt other keys for
the same session.

Everything here is a pure function: state, message and randomness in, state and message out. (HPKE and ML-DSA draw on the operating
system's generator inside the cryptographic library.)
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from strategies.secagg import contributions, keys
from strategies.secagg.errors import (
    ContributionError,
    OwnMessageAlteredError,
    RepeatedPartnerError,
    TooFewPartnersError,
    UnknownPartnerError,
    UnusableKeyError,
)
from strategies.secagg.identity import Identity
from strategies.secagg.messages import (
    Advertisement,
    DeliveredContribution,
    KeyContributions,
    SessionParameters,
    ShareKeysReply,
    SignedAdvertisement,
)
from strategies.secagg.roster import Roster
from strategies.secagg.verification import (
    advertisement_message,
    agreed_trunk,
    contributions_digest,
    contributions_message,
    session_id,
    verify_advertisement,
    verify_contributions,
)

Entropy = Callable[[int], bytes]


@dataclass(frozen=True)
class Advertised:
    """A partner that has sent its advertisement.

    Attributes:
        own: As it was sent.
        secret: Seeds of both private keys of the advertised one; used in this session alone, so that what was recorded of it cannot be
            opened once the state is gone.
    """

    parameters: SessionParameters
    own: SignedAdvertisement
    secret: bytes


@dataclass(frozen=True)
class Shared:
    """A partner that has sent its contributions and waits for the others'.

    Attributes:
        id: Session id.
        recipients, sent: Every other advertised partner, and the contribution to the key with it.
        group: Own contribution to the group key.
        own: The list of contributions as it was sent.
        version, trunk: What the session trains from; `NO_TRUNK`: a new one.
    """

    parameters: SessionParameters
    id: bytes
    index: int
    secret: bytes
    recipients: tuple[int, ...]
    sent: tuple[bytes, ...]
    group: bytes
    own: KeyContributions
    version: int
    trunk: bytes


@dataclass(frozen=True)
class Session:
    """A session with all its keys.

    Attributes:
        members: Partners in it, ascending, this one included.
        pairs: Key with each member, empty for itself.
        group: K.
        contributions: Digest of the lists of contributions that led to the keys.
        version, trunk: As in `Shared`.
    """

    parameters: SessionParameters
    id: bytes
    index: int
    members: tuple[int, ...]
    pairs: tuple[bytes, ...]
    group: bytes
    contributions: bytes
    version: int
    trunk: bytes

    def pair(self, other: int) -> bytes:
        """The key with another member."""
        return self.pairs[self.members.index(other)]


def advertise(
    identity: Identity, index: int, parameters: SessionParameters, version: int, trunk: bytes, before: bytes, entropy: Entropy
) -> tuple[Advertised, SignedAdvertisement]:
    """AdvertiseKeys: a fresh hybrid key, and which trunks this partner holds.

    Returns:
        What to keep, secret, and what to send.
    """
    secret = entropy(contributions.SECRET)
    body = Advertisement(index, contributions.advertised(secret), entropy(32), version, trunk, before)
    signed = SignedAdvertisement(body, identity.sign(advertisement_message(parameters, body)))
    return Advertised(parameters, signed, secret), signed


def share(
    identity: Identity, roster: Roster, least: int, state: Advertised, advertisements: tuple[SignedAdvertisement, ...], entropy: Entropy
) -> tuple[Shared, ShareKeysReply]:
    """ShareKeys: check who takes part, and encrypt a contribution for each of them.

    Raises:
        SecAggError: As `check_advertisements`.
    """
    index = state.own.body.index
    check_advertisements(roster, least, state, advertisements)
    session = session_id(state.parameters, advertisements)
    bodies = sorted((signed.body for signed in advertisements), key=lambda body: body.index)
    others = [body for body in bodies if body.index != index]
    group, sent = entropy(contributions.CONTRIBUTION), [entropy(contributions.CONTRIBUTION) for _ in others]
    # Of the pair's key each end makes one part; the part of the group's key is the same for everybody.
    ciphertexts = tuple(contributions.seal(session, index, other, pair, group) for pair, other in zip(sent, others, strict=True))
    recipients = tuple(other.index for other in others)
    digests = b"".join(hashlib.sha256(ciphertext).digest() for ciphertext in ciphertexts)
    unsigned = KeyContributions(index, recipients, keys.group_commitment(session, index, group), digests, b"")
    listed = replace(unsigned, signature=identity.sign(contributions_message(roster, session, unsigned)))
    version, trunk, _ = agreed_trunk(roster, advertisements)
    shared = Shared(
        parameters=state.parameters,
        id=session,
        index=index,
        secret=state.secret,
        recipients=recipients,
        sent=tuple(sent),
        group=group,
        own=listed,
        version=version,
        trunk=trunk,
    )
    return shared, ShareKeysReply(listed, ciphertexts)


def check_advertisements(roster: Roster, least: int, state: Advertised, advertisements: tuple[SignedAdvertisement, ...]) -> None:
    """What a partner checks before it answers.

    Raises:
        RepeatedPartnerError: A partner twice.
        UnknownPartnerError: Somebody outside the roster.
        TooFewPartnersError: Fewer than `least`.
        OwnMessageAlteredError: Our own is missing or changed.
        SignatureError: Not signed by the key in the roster, for these parameters.
        UnusableKeyError: A key that nothing can be encrypted for.
    """
    indices = [signed.body.index for signed in advertisements]
    if len(set(indices)) != len(indices):
        raise RepeatedPartnerError(f"a partner advertises twice: {sorted(indices)}")
    if state.own not in advertisements:
        raise OwnMessageAlteredError("our own advertisement is missing or was changed")
    if len(indices) < least:
        raise TooFewPartnersError(f"{len(indices)} partners in the session, and {least} are needed")
    for signed in advertisements:
        verify_advertisement(roster, state.parameters, signed)
        if not contributions.usable(signed.body.kem):
            raise UnusableKeyError(signed.body.index, "the key that it advertises cannot be used: it has to be left out")


def establish(roster: Roster, least: int, state: Shared, delivered: tuple[DeliveredContribution, ...]) -> Session:
    """Derive all keys from the others' contributions; those who sent none are not members.

    Partners that are shown different lists derive different group keys. Nobody notices here: the headers of the first masked inputs say
    who was shown what (`consistency.check_headers`).

    Raises:
        RepeatedPartnerError, UnknownPartnerError, TooFewPartnersError, SignatureError: As their names say.
        ContributionError: A ciphertext that is not ours, or not the signed one.
        UnequalContributionError: A signed one that does not open, or holds another contribution than its sender committed to.
    """
    received: dict[int, tuple[bytes, bytes]] = {}
    private = contributions.private_key(state.secret)
    for contribution in delivered:
        sender = contribution.contributions.sender
        if sender in received:
            raise RepeatedPartnerError(f"two contributions of partner {sender}")
        if sender not in state.recipients:
            raise UnknownPartnerError(f"a contribution of partner {sender}, who did not advertise")
        received[sender] = _open_contribution(roster, state, private, contribution)
    members = tuple(sorted([state.index, *received]))
    if len(members) < least:
        raise TooFewPartnersError(f"{len(members)} partners contributed to the session's keys, and {least} are needed")
    sent = dict(zip(state.recipients, state.sent, strict=True))
    pairs = tuple(b"" if j == state.index else _pair(state, j, sent[j], received[j][0]) for j in members)
    group = keys.group_key({state.index: state.group} | {j: contributed for j, (_, contributed) in received.items()}, state.id)
    return Session(
        parameters=state.parameters,
        id=state.id,
        index=state.index,
        members=members,
        pairs=pairs,
        group=group,
        contributions=contributions_digest([state.own, *(each.contributions for each in delivered)]),
        version=state.version,
        trunk=state.trunk,
    )


def _open_contribution(
    roster: Roster, state: Shared, private: MLKEM768X25519PrivateKey, delivered: DeliveredContribution
) -> tuple[bytes, bytes]:
    """Pair and group contribution of one sender."""
    signed = delivered.contributions
    verify_contributions(roster, state.id, signed)
    if signed.digest_for(state.index) != hashlib.sha256(delivered.ciphertext).digest():
        raise ContributionError(signed.sender, "the ciphertext is not the one that it signed for us")
    return contributions.opened(private, state.id, state.index, delivered)


def _pair(state: Shared, other: int, sent: bytes, received: bytes) -> bytes:
    low, high = (sent, received) if state.index < other else (received, sent)
    return keys.pair_key(low, high, state.id, min(state.index, other), max(state.index, other))
