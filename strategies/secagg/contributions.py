"""A contribution to a session's keys, encrypted for one partner, and opened again. PROTOCOL.md, section 3.

Apart from `session.py`, since a partner that was sent a wrong one shows the secret of its key, and then anybody can open it (`proofs.py`).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from strategies.secagg import keys
from strategies.secagg.errors import UnequalContributionError
from strategies.secagg.messages import Advertisement, DeliveredContribution

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)  # X-Wing (draft-connolly-cfrg-xwing-kem)
KEM_KEY = 1184  # bytes of the ML-KEM-768 key; an X25519 key follows
KEM_SEED, X25519_SEED = 64, 32
SECRET = KEM_SEED + X25519_SEED
CONTRIBUTION = 32


def advertised(secret: bytes) -> bytes:
    """The key of these seeds, as it is advertised: 1216 bytes."""
    lattice, classical = _private(secret)
    return lattice.public_key().public_bytes_raw() + classical.public_key().public_bytes_raw()


def usable(kem: bytes) -> bool:
    """Whether anything can be encrypted for an advertised key."""
    try:
        SUITE.encrypt(b"", _public(kem))
    except ValueError:
        return False
    return True


def seal(session: bytes, sender: int, recipient: Advertisement, pair: bytes, group: bytes) -> bytes:
    """Encrypt contributions to the key with one partner, and to the group's."""
    return SUITE.encrypt(pair + group, _public(recipient.kem), info=_direction(session, sender, recipient.index))


def private_key(secret: bytes) -> MLKEM768X25519PrivateKey:
    """What opens contributions, from the seeds of an advertised key."""
    return MLKEM768X25519PrivateKey(*_private(secret))


def opened(key: MLKEM768X25519PrivateKey, session: bytes, recipient: int, delivered: DeliveredContribution) -> tuple[bytes, bytes]:
    """Pair and group contribution in a ciphertext that its sender signed.

    Args:
        key: The recipient's in this session.
    Raises:
        UnequalContributionError: There are none, or another group contribution than the signed one. Whoever has the key can see it.
    """
    listed = delivered.contributions
    try:
        plain = SUITE.decrypt(delivered.ciphertext, key, info=_direction(session, listed.sender, recipient))
    except (InvalidTag, ValueError):
        raise UnequalContributionError(listed.sender, "its contribution to our key does not open") from None
    pair, group = plain[:CONTRIBUTION], plain[CONTRIBUTION:]
    if keys.group_commitment(session, listed.sender, group) != listed.group:
        raise UnequalContributionError(listed.sender, "its contribution to the group key is not the one that it signed for everybody")
    return pair, group


def _private(secret: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(secret[:KEM_SEED])
    return lattice, x25519.X25519PrivateKey.from_private_bytes(secret[KEM_SEED:])


def _public(kem: bytes) -> MLKEM768X25519PublicKey:
    lattice = mlkem.MLKEM768PublicKey.from_public_bytes(kem[:KEM_KEY])
    return MLKEM768X25519PublicKey(lattice, x25519.X25519PublicKey.from_public_bytes(kem[KEM_KEY:]))


def _direction(session: bytes, sender: int, recipient: int) -> bytes:
    """HPKE's info: a ciphertext opens in this session, from this sender, at this recipient, and nowhere else."""
    return session + sender.to_bytes(4, "big") + recipient.to_bytes(4, "big")
