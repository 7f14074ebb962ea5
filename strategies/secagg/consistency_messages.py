"""What travels between masked inputs and their sum: who survived, and the shares that follow from it."""

import hashlib
from dataclasses import dataclass

from strategies.secagg import wire
from strategies.secagg.messages import SignedHeader, index_bytes

# ConsistencyCheck


@dataclass(frozen=True)
class ConsistencyRequest:
    """Who survived, with every survivor's header, and who did not."""

    session: bytes
    number: int
    survivors: tuple[int, ...]
    dropped: tuple[int, ...]
    headers: tuple[SignedHeader, ...]


@dataclass(frozen=True)
class SurvivorsSignature:
    """A partner's signature on the survivors of a round and their headers: it signs one list a round."""

    index: int
    survivors: bytes
    signature: bytes


# Unmasking


@dataclass(frozen=True)
class SealedShares:
    """What one dealer encrypted for the partner that receives this."""

    dealer: int
    ciphertext: bytes


@dataclass(frozen=True)
class UnmaskRequest:
    """The signatures on the survivors, and the shares addressed to this partner."""

    session: bytes
    number: int
    signatures: tuple[SurvivorsSignature, ...]
    shares: tuple[SealedShares, ...]


@dataclass(frozen=True)
class UnmaskReply:
    """For every survivor, ascending: the share of its self mask's seed, then of its pairwise seed with each dropped partner.

    Attributes:
        index: The holder.
        shares: 32 bytes each, one after the other.
    """

    index: int
    shares: bytes


def survivors_digest(request: ConsistencyRequest) -> bytes:
    """SHA-256 over survivors, dropped and every survivor's header: what partners sign."""
    headers = b"".join(wire.encode(header.body) for header in request.headers)
    parts = (index_bytes(request.survivors), index_bytes(request.dropped), headers)
    return hashlib.sha256(b"polyphony/v1/survivors" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
