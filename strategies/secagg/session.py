"""Setting up a session: keys between every two partners, and one that all partners have and the coordinator has not.

PROTOCOL.md, section 3. `advertise`, `share` and `establish` are the three calls of a partner, in order; each takes the value that the one
before left, and nothing else is remembered. A value is used once: a second `share` from one `Advertised` would encrypt other keys for
the same session.

Everything here is a pure function: state, message and randomness in, state and message out. (HPKE and ML-DSA draw on the operating
system's generator inside the cryptographic library.)
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from strategies.secagg import keys
from strategies.secagg.errors import (
    ContributionError,
    OwnMessageAlteredError,
    RepeatedPartnerError,
    TooFewPartnersError,
    UnknownPartnerError,
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
    contributions_message,
    session_id,
    verify_advertisement,
    verify_contributions,
)

Entropy = Callable[[int], bytes]
SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)  # X-Wing (draft-connolly-cfrg-xwing-kem)
KEM_SEED, X25519_SEED, KEM_KEY = 64, 32, 1184
CONTRIBUTION = 32


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
        version, trunk: What the session trains from; `NO_TRUNK`: a new one.
    """

    parameters: SessionParameters
    id: bytes
    index: int
    secret: bytes
    recipients: tuple[int, ...]
    sent: tuple[bytes, ...]
    group: bytes
    version: int
    trunk: bytes


@dataclass(frozen=True)
class Session:
    """A session with all its keys.

    Attributes:
        members: Partners in it, ascending, this one included.
        pairs: Key with each member, empty for itself.
        group: K.
        version, trunk: As in `Shared`.
    """

    parameters: SessionParameters
    id: bytes
    index: int
    members: tuple[int, ...]
    pairs: tuple[bytes, ...]
    group: bytes
    version: int
    trunk: bytes

    def pair(self, other: int) -> bytes:
        """The key with another member."""
        return self.pairs[self.members.index(other)]


def advertise(
    identity: Identity, index: int, parameters: SessionParameters, version: int, trunk: bytes, entropy: Entropy
) -> tuple[Advertised, SignedAdvertisement]:
    """AdvertiseKeys: a fresh hybrid key, and which trunk this partner holds.

    Returns:
        What to keep, secret, and what to send.
    """
    secret = entropy(KEM_SEED + X25519_SEED)
    lattice, classical = _private(secret)
    kem = lattice.public_key().public_bytes_raw() + classical.public_key().public_bytes_raw()
    body = Advertisement(index, kem, entropy(32), version, trunk)
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
    group, sent = entropy(CONTRIBUTION), [entropy(CONTRIBUTION) for _ in others]
    # Of the pair's key each end makes one part; the part of the group's key is the same for everybody.
    ciphertexts = tuple(_seal(session, index, other, pair + group) for pair, other in zip(sent, others, strict=True))
    recipients = tuple(other.index for other in others)
    digests = b"".join(hashlib.sha256(ciphertext).digest() for ciphertext in ciphertexts)
    signature = identity.sign(contributions_message(roster, session, index, recipients, digests))
    version, trunk, _ = agreed_trunk(advertisements)
    shared = Shared(
        parameters=state.parameters,
        id=session,
        index=index,
        secret=state.secret,
        recipients=recipients,
        sent=tuple(sent),
        group=group,
        version=version,
        trunk=trunk,
    )
    return shared, ShareKeysReply(KeyContributions(index, recipients, digests, signature), ciphertexts)


def check_advertisements(roster: Roster, least: int, state: Advertised, advertisements: tuple[SignedAdvertisement, ...]) -> None:
    """What a partner checks before it answers.

    Raises:
        RepeatedPartnerError: A partner twice.
        UnknownPartnerError: Somebody outside the roster.
        TooFewPartnersError: Fewer than `least`.
        OwnMessageAlteredError: Our own is missing or changed.
        SignatureError: Not signed by the key in the roster, for these parameters.
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


def establish(roster: Roster, least: int, state: Shared, delivered: tuple[DeliveredContribution, ...]) -> Session:
    """Derive all keys from the others' contributions; those who sent none are not members.

    Partners that are shown different contributions derive different group keys. Nobody notices here: the key confirmation in the header
    of the first masked input says so (`consistency.check_headers`).

    Raises:
        RepeatedPartnerError, UnknownPartnerError, TooFewPartnersError, SignatureError: As their names say.
        ContributionError: A ciphertext that is not ours, not the signed one, or does not open.
    """
    received: dict[int, tuple[bytes, bytes]] = {}
    private = MLKEM768X25519PrivateKey(*_private(state.secret))
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
        version=state.version,
        trunk=state.trunk,
    )


def _seal(session: bytes, sender: int, recipient: Advertisement, plain: bytes) -> bytes:
    """Encrypt for one partner.

    Raises:
        ContributionError: Its key is none.
    """
    try:
        return SUITE.encrypt(plain, _public(recipient.kem), info=_direction(session, sender, recipient.index))
    except ValueError as error:
        raise ContributionError(recipient.index, "the key that it advertises is unusable") from error


def _open_contribution(
    roster: Roster, state: Shared, private: MLKEM768X25519PrivateKey, delivered: DeliveredContribution
) -> tuple[bytes, bytes]:
    """Pair and group contribution of one sender."""
    signed = delivered.contributions
    verify_contributions(roster, state.id, signed)
    if signed.digest_for(state.index) != hashlib.sha256(delivered.ciphertext).digest():
        raise ContributionError(signed.sender, "the ciphertext is not the one that it signed for us")
    try:
        plain = SUITE.decrypt(delivered.ciphertext, private, info=_direction(state.id, signed.sender, state.index))
    except InvalidTag:
        raise ContributionError(signed.sender, "its contribution to our key does not open") from None
    if len(plain) != 2 * CONTRIBUTION:
        raise ContributionError(signed.sender, f"its contribution has {len(plain)} bytes, not {2 * CONTRIBUTION}")
    return plain[:CONTRIBUTION], plain[CONTRIBUTION:]


def _pair(state: Shared, other: int, sent: bytes, received: bytes) -> bytes:
    low, high = (sent, received) if state.index < other else (received, sent)
    return keys.pair_key(low, high, state.id, min(state.index, other), max(state.index, other))


def _private(secret: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(secret[:KEM_SEED])
    return lattice, x25519.X25519PrivateKey.from_private_bytes(secret[KEM_SEED:])


def _public(kem: bytes) -> MLKEM768X25519PublicKey:
    lattice = mlkem.MLKEM768PublicKey.from_public_bytes(kem[:KEM_KEY])
    return MLKEM768X25519PublicKey(lattice, x25519.X25519PublicKey.from_public_bytes(kem[KEM_KEY:]))


def _direction(session: bytes, sender: int, recipient: int) -> bytes:
    """HPKE's info: a ciphertext opens in this session, from this sender, at this recipient, and nowhere else."""
    return session + sender.to_bytes(4, "big") + recipient.to_bytes(4, "big")
