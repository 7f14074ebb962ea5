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

    A survivor that answers says its own secrets itself, under the same condition as the shares of them: what others hold of them is
    needed only where it does not.

    Attributes:
        index: The holder.
        dropped: Who dropped out, by the list that it signed.
        own: Its own seeds in the same order, 32 bytes each.
        shares: 32 bytes each, one after the other; zeros for a dealer in `unopened`.
        unopened: Dealers whose encrypted shares do not open.
        signature: Over all of these, under session and round.
    """

    index: int
    dropped: tuple[int, ...]
    own: bytes
    shares: bytes
    unopened: tuple[int, ...]
    signature: bytes


def survivors_digest(request: ConsistencyRequest) -> bytes:
    """SHA-256 over survivors, dropped and every survivor's header: what partners sign."""
    headers = b"".join(wire.encode(header.body) for header in request.headers)
    parts = (index_bytes(request.survivors), index_bytes(request.dropped), headers)
    return hashlib.sha256(wire.DOMAIN + b"survivors" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
