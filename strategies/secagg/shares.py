"""Sharing a round's seeds among its cohort: each dealer's self-mask seed and its pairwise seed with every other partner.

PROTOCOL.md, section 4; why fixing shares in advance gives nothing away is in `shamir.py`.

A holder among the first threshold - 1 after the dealer (in the ring of the cohort) derives its shares from a key that it has with the
dealer; the others get theirs encrypted. The dealer is the first of its own ring and keeps its own shares under a key of its own.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strategies.secagg import shamir
from strategies.secagg.errors import ContributionError

NONCE = bytes(12)  # each key seals one message
TAG = 16  # bytes that AES-GCM adds


def ring(dealer: int, cohort: tuple[int, ...]) -> tuple[int, ...]:
    """The cohort in ring order, the dealer first."""
    start = cohort.index(dealer)
    return cohort[start:] + cohort[:start]


def derived_by(dealer: int, cohort: tuple[int, ...], threshold: int) -> tuple[int, ...]:
    """Holders that derive their shares from `dealer`; the dealer itself is the first."""
    return ring(dealer, cohort)[: threshold - 1]


@lru_cache(maxsize=1024)
def sent_to(dealer: int, cohort: tuple[int, ...], threshold: int) -> tuple[int, ...]:
    """Holders that receive their shares from `dealer`, ascending."""
    return tuple(sorted(ring(dealer, cohort)[threshold - 1 :]))


def secrets_of(dealer: int, cohort: tuple[int, ...]) -> tuple[int, ...]:
    """What a dealer shares, in order: `dealer` itself stands for its self-mask seed, any other index for the pairwise seed with it."""
    return (dealer, *(index for index in cohort if index != dealer))


def deal(
    dealer: int, cohort: tuple[int, ...], threshold: int, seeds: Mapping[int, bytes], derived: Callable[[int], list[int]]
) -> dict[int, list[bytes]]:
    """The shares to send.

    Args:
        seeds: 32 bytes for each of `secrets_of`.
        derived: Holder to the shares that it derives, in the order of `secrets_of`.
    Returns:
        For each of `sent_to`, its shares in the order of `secrets_of`.
    """
    secrets = [int.from_bytes(seeds[name], "big") for name in secrets_of(dealer, cohort)]
    fixed = {holder: derived(holder) for holder in derived_by(dealer, cohort, threshold)}
    dealt = shamir.deal(secrets, fixed, sent_to(dealer, cohort, threshold))
    return {holder: list(map(shamir.to_bytes, shares)) for holder, shares in dealt.items()}


def sealed_bytes(cohort: tuple[int, ...]) -> int:
    """Length of what `seal` makes of a dealer's shares for one holder."""
    return shamir.SHARE_BYTES * len(cohort) + TAG


def seal(shares: list[bytes], key: bytes, context: bytes) -> bytes:
    """Encrypt one holder's shares (AES-256-GCM)."""
    return AESGCM(key).encrypt(NONCE, b"".join(shares), context)


def open_sealed(ciphertext: bytes, key: bytes, context: bytes, count: int, dealer: int) -> list[bytes]:
    """The `count` shares in a ciphertext of `seal`.

    Raises:
        ContributionError: It does not open, or has another number of shares.
    """
    try:
        joined = AESGCM(key).decrypt(NONCE, ciphertext, context)
    except InvalidTag:
        raise ContributionError(dealer, "its encrypted shares do not open: they were altered, or meant for somebody else") from None
    if len(joined) != count * shamir.SHARE_BYTES:
        raise ContributionError(dealer, f"{len(joined)} bytes of shares, not {count * shamir.SHARE_BYTES}")
    return [joined[start : start + shamir.SHARE_BYTES] for start in range(0, len(joined), shamir.SHARE_BYTES)]


def seed_bytes(uniform: bytes) -> bytes:
    """A seed that is a field element, from 48 uniform bytes."""
    return shamir.to_bytes(shamir.field_element(uniform))
