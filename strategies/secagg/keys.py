"""Every key and seed of the protocol: HKDF-SHA512 under a label, so that no two purposes, rounds or partners share one.

PROTOCOL.md, sections 3 to 5, writes them k_ij, K, s_ij and h_i.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strategies.secagg import shamir
from strategies.secagg.wire import DOMAIN

KEY_BYTES = 32
WIDE_BYTES = 48  # reduces to a uniform field element


def tag(phase: str, roster_digest: bytes, session: bytes, number: int) -> bytes:
    """What precedes everything that a partner signs."""
    return DOMAIN + phase.encode() + b"\x00" + roster_digest + session + number.to_bytes(4, "big")


def derive(secret: bytes, salt: bytes, label: str, parts: tuple[bytes | int, ...] = (), length: int = KEY_BYTES) -> bytes:
    """HKDF-SHA512 (RFC 5869). Parts enter `info` with their lengths, so that no two lists of parts give the same."""
    info = DOMAIN + label.encode() + b"\x00"
    for part in parts:
        content = part.to_bytes(4, "big") if isinstance(part, int) else part
        info += len(content).to_bytes(4, "big") + content
    return HKDF(algorithm=hashes.SHA512(), length=length, salt=salt, info=info).derive(secret)


def pair_key(low: bytes, high: bytes, session: bytes, first: int, second: int) -> bytes:
    """k_ij from both partners' contributions, the lower index first."""
    return derive(low + high, session, "pair", (first, second))


def group_key(contributions: dict[int, bytes], session: bytes) -> bytes:
    """K from every member's contribution, in index order: known to all of them and to nobody else."""
    members = sorted(contributions)
    joined = b"".join(contributions[member] for member in members)
    return derive(joined, session, "group", (b"".join(member.to_bytes(4, "big") for member in members),))


def pairwise_seed(pair: bytes, number: int, cohort: bytes, trunk: bytes) -> bytes:
    """s_ij of a round. Partners that were given different trunks or cohorts get different seeds, whose masks do not cancel
    (Pasquini, Francati, Ateniese, "Eluding secure aggregation in federated learning via model inconsistency", CCS 2022)."""
    wide = derive(pair, b"", "pairwise mask", (number, cohort, trunk), length=WIDE_BYTES)
    return shamir.to_bytes(shamir.field_element(wide))


def group_seed(group: bytes, number: int, partner: int) -> bytes:
    """h_i of a round: the streams that group masks are made of; see `masking.group_masks`."""
    return derive(group, b"", "group mask", (number, partner))


def share_key(pair: bytes, number: int, dealer: int, holder: int, cohort: bytes) -> bytes:
    """Seals (AES-256-GCM) the shares that `dealer` sends to `holder` in one round."""
    return derive(pair, b"", "share", (number, dealer, holder, cohort))


def fixed_shares(secret: bytes, number: int, dealer: int, holder: int, cohort: bytes, count: int) -> list[int]:
    """The shares that a holder derives instead of receiving them."""
    from strategies.secagg.keystream import keystream

    stream = keystream(derive(secret, b"", "fixed share", (number, dealer, holder, cohort)), count * WIDE_BYTES)
    return [shamir.field_element(stream[start : start + WIDE_BYTES]) for start in range(0, len(stream), WIDE_BYTES)]


def confirmation(group: bytes, session: bytes, number: int, partner: int) -> bytes:
    """Proof that `partner` holds the group key."""
    return _hmac(group, "key confirmation", session, number.to_bytes(4, "big"), partner.to_bytes(4, "big"))


def trunk_blind(group: bytes, number: int | None) -> bytes:
    """Blinds the name of the trunk that round `number` led to, or of the first one: nobody without K can test a guess against a name."""
    return derive(group, b"", "first trunk") if number is None else derive(group, b"", "trunk", (number,))


def basis(group: bytes, name: bytes, rows: bytes) -> bytes:
    """What a round trains from: the trunk of this name, of which this row list, by its digest, may leave. As for names, guesses need K."""
    return _hmac(group, "basis", name, rows)


def trunk_name(blind: bytes, version: int, content: bytes, before: bytes) -> bytes:
    """The name of a trunk, which commits to all of it: whoever holds blind and content finds the same, or has another trunk.

    Args:
        blind: Of `trunk_blind`.
        version: Rounds behind it.
        content: SHA-256 of everything that partners hold alike in it.
        before: The name of the trunk that its last round trained from; zeros for a first one.
    """
    return hashlib.sha256(DOMAIN + b"trunk name\x00" + blind + version.to_bytes(4, "big") + content + before).digest()


def secret_commitment(session: bytes, number: int, dealer: int, about: int, secret: bytes) -> bytes:
    """What a dealer signs of a secret that it shares: of 32 random bytes a hash says nothing, and no other secret has it."""
    places = b"".join(each.to_bytes(4, "big") for each in (number, dealer, about))
    return hashlib.sha256(DOMAIN + b"secret\x00" + session + places + secret).digest()


def group_commitment(session: bytes, partner: int, contribution: bytes) -> bytes:
    """What a partner signs of its contribution to the group key, which is the same for everybody."""
    return hashlib.sha256(DOMAIN + b"group contribution\x00" + session + partner.to_bytes(4, "big") + contribution).digest()


def check_key(group: bytes, number: int, trunk: bytes) -> bytes:
    """Key of the aggregate check of a round, which goes on from `trunk`: a sum that was taken in fits no trunk any more."""
    return derive(group, b"", "aggregate check", (number, trunk))


def slot_key(group: bytes, number: int) -> bytes:
    """Key of the stream that orders the slots of a round's vectors; see `slot_order`."""
    return derive(group, b"", "slot order", (number,))


def initial_seed(group: bytes) -> bytes:
    """Key of the stream that the first trunk is drawn from."""
    return derive(group, b"", "initial trunk")


def handover_key(group: bytes, holder: int, trunk: bytes) -> bytes:
    """Seals the trunk that `holder` hands over."""
    return derive(group, b"", "handover", (holder, trunk))


def public_seed(seed: bytes) -> bytes:
    """The seed that masks the public words, from the one that masks the vector."""
    return derive(seed, b"", "public words")


def _hmac(key: bytes, label: str, *parts: bytes) -> bytes:
    return hmac.new(key, DOMAIN + label.encode() + b"\x00" + b"".join(parts), hashlib.sha256).digest()
