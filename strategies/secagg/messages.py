"""What travels, phase by phase; `consistency_messages.py` has the two phases between masked inputs and their sum.

Vectors of words travel beside these messages, uncopied. Names of phases are those of K. Bonawitz et al., "Practical secure aggregation
for privacy-preserving machine learning", CCS 2017.
"""

import hashlib
import struct
from dataclasses import dataclass

from strategies.secagg import wire

DIGEST = 32
# Bytes of an encrypted contribution: X-Wing's encapsulation, two numbers, the cipher's tag. There is no other length, so that what a
# partner complains about always has room in a proof.
CONTRIBUTION_CIPHERTEXT = 1120 + 2 * 32 + 16
NO_TRUNK = bytes(DIGEST)
PROTOCOL = 2
LARGEST_NUMBER = 2**32 - 1  # that a message can have
SLOTS = "slots:"  # before the shape of the shared heads in a layout
LONGEST_LAYOUT = 4096  # bytes; 128 layers of any width and shared heads have less
MOST_METRICS, LONGEST_METRIC = 16, 64  # names, and bytes of one: parameters lie in proofs, which have no room for anything else


def require(value: bytes, length: int, what: str) -> None:
    """Refuse a field of another length (`wire.decode` turns this into a `MalformedMessageError`)."""
    if len(value) != length:
        raise ValueError(f"{what} has {len(value)} bytes, not {length}")


def limit(count: int, most: int, what: str) -> None:
    """Refuse more than there may be, as `require`."""
    if count > most:
        raise ValueError(f"{count} {what}, and at most {most} are allowed")


# AdvertiseKeys


@dataclass(frozen=True)
class SessionParameters:
    """What the coordinator proposes and every partner holds against its own policy.

    Attributes:
        protocol: Version of the protocol, `PROTOCOL`; it comes first, so that every version can read which another one is.
        roster: Digest of the roster.
        configuration: Digest of the experiment that partners must have in common.
        layout: Shapes of the trunk's arrays, such as "32768x400,400", or "32768x400,400,slots:258x401" with shared heads; at most
            `LONGEST_LAYOUT` bytes.
        word_bits: 32 or 16.
        row_guard: Training compounds that a fingerprint bit needs; 0 or 1 is off.
        least_supporters: Partners that a listed row needs.
        rounds: Aggregated trunks after which the project ends.
        metrics: Names of the metrics whose mean the coordinator may learn; at most `MOST_METRICS`, of `LONGEST_METRIC` bytes.
        nonce: 32 bytes, fresh.
    """

    protocol: int
    roster: bytes
    configuration: bytes
    layout: str
    word_bits: int
    row_guard: int
    least_supporters: int
    rounds: int
    metrics: tuple[str, ...]
    nonce: bytes

    def __post_init__(self) -> None:
        for name in ("roster", "configuration", "nonce"):
            require(getattr(self, name), DIGEST, name)
        limit(len(self.layout.encode()), LONGEST_LAYOUT, "bytes of a layout")
        limit(len(self.metrics), MOST_METRICS, "metrics")
        for name in self.metrics:
            limit(len(name.encode()), LONGEST_METRIC, "bytes of a metric's name")

    @property
    def lists(self) -> bool:
        """Whether a session begins with a row list: where rows are guarded, and where there are shared heads, since those always are."""
        return self.row_guard > 1 or SLOTS in self.layout

    def digest(self) -> bytes:
        """SHA-256, 32 bytes."""
        return hashlib.sha256(wire.DOMAIN + b"parameters" + wire.encode(self)).digest()


@dataclass(frozen=True)
class Advertisement:
    """A partner's fresh key for this session, and the trunk that it holds.

    Attributes:
        index: The partner.
        kem: ML-KEM-768 key, then X25519 key, 1216 bytes.
        nonce: 32 bytes, fresh.
        version: Rounds that its trunk has behind it.
        trunk: Name of that trunk; `NO_TRUNK` before the first round.
        before: Name of the trunk one round earlier, if the partner still has that one, too; else `NO_TRUNK`.
    """

    index: int
    kem: bytes
    nonce: bytes
    version: int
    trunk: bytes
    before: bytes

    def __post_init__(self) -> None:
        require(self.kem, 1184 + 32, "kem")
        require(self.nonce, DIGEST, "nonce")
        require(self.trunk, DIGEST, "trunk")
        require(self.before, DIGEST, "before")
        if (self.version == 0) != (self.trunk == NO_TRUNK):
            raise ValueError(f"a trunk of round {self.version} called {self.trunk.hex()[:16]}")

    def holds(self) -> tuple[tuple[int, bytes], ...]:
        """Version and name of each trunk that the partner has on disk."""
        held = ((self.version, self.trunk), (self.version - 1, self.before))
        return tuple((version, name) for version, name in held if name != NO_TRUNK)


@dataclass(frozen=True)
class SignedAdvertisement:
    """An advertisement, signed under the digest of the parameters."""

    body: Advertisement
    signature: bytes


# ShareKeys


@dataclass(frozen=True)
class ShareKeysRequest:
    """All advertisements, by index."""

    advertisements: tuple[SignedAdvertisement, ...]


@dataclass(frozen=True)
class KeyContributions:
    """One partner's encrypted contributions, by recipient; one signature covers all of them.

    Attributes:
        sender: The partner.
        recipients: Every other member of the session, ascending.
        group: Commits to the contribution to the group key, which all recipients find in their ciphertexts.
        digests: SHA-256 of each ciphertext, 32 bytes each, one after the other.
        signature: Over all of these, under the session.
    """

    sender: int
    recipients: tuple[int, ...]
    group: bytes
    digests: bytes
    signature: bytes

    def __post_init__(self) -> None:
        require(self.group, DIGEST, "group")
        require(self.digests, DIGEST * len(self.recipients), "digests")

    def digest_for(self, recipient: int) -> bytes:
        """The digest of one recipient's ciphertext; empty for somebody else."""
        if recipient not in self.recipients:
            return b""
        start = DIGEST * self.recipients.index(recipient)
        return self.digests[start : start + DIGEST]


@dataclass(frozen=True)
class ShareKeysReply:
    """Contributions with their ciphertexts."""

    contributions: KeyContributions
    ciphertexts: tuple[bytes, ...]

    def __post_init__(self) -> None:
        for ciphertext in self.ciphertexts:
            require(ciphertext, CONTRIBUTION_CIPHERTEXT, "ciphertext")


@dataclass(frozen=True)
class DeliveredContribution:
    """What reaches one recipient: the signed list, and its own ciphertext."""

    contributions: KeyContributions
    ciphertext: bytes

    def __post_init__(self) -> None:
        require(self.ciphertext, CONTRIBUTION_CIPHERTEXT, "ciphertext")


# MaskedInputCollection


@dataclass(frozen=True)
class LastRound:
    """The round whose masked sum travels beside this message."""

    number: int
    survivors: tuple[int, ...]
    rows: bool


@dataclass(frozen=True)
class Handover:
    """A trunk for those who lack it, encrypted for the members of this session; its ciphertext travels beside this message.

    Attributes:
        holder: Who hands it over.
        trunk: Its name.
        ciphertext: SHA-256 of the ciphertext.
        signature: Over all of these, under the session.
    """

    holder: int
    trunk: bytes
    ciphertext: bytes
    signature: bytes


@dataclass(frozen=True)
class CollectRequest:
    """Finish the last round, then train and mask for this one.

    Attributes:
        session: Its id.
        number: Round of this session, from 0; never twice.
        cohort: Everybody who is asked, ascending.
        rows: Whether this round agrees on the row list; else it trains.
        version: Rounds that the trunk has behind it when the last one is finished.
        contributions: Of all other members; a partner needs them once per session.
        last: The round to finish first, if one was completed since.
        handover: A trunk, for partners that lack the one to go on from.
        headers: Beside a handover, of the last round's survivors: they signed which trunk they trained from.
        proofs: What proves that a partner misbehaved (`proofs.py`), as bytes.
    """

    session: bytes
    number: int
    cohort: tuple[int, ...]
    rows: bool
    version: int
    contributions: tuple[DeliveredContribution, ...]
    last: LastRound | None
    handover: Handover | None
    headers: "tuple[SignedHeader, ...]"
    proofs: tuple[bytes, ...]


@dataclass(frozen=True)
class Header:
    """What a partner says of its masked input.

    Attributes:
        index: The partner.
        cohort: Digest of the cohort that it masked for.
        trunk: What it trained from: trunk and row list (`keys.basis`); in a round over the row list, the session's trunk.
        contributions: Digest of the lists of contributions that it was shown, its own among them.
        confirmation: Proof that it holds the group key.
        secrets: SHA-256 of its commitments to the secrets that it shares.
        words: Length of its vector.
        input: SHA-256 of the vector, then of the public words.
        bundle: SHA-256 of its encrypted shares.
    """

    index: int
    cohort: bytes
    trunk: bytes
    contributions: bytes
    confirmation: bytes
    secrets: bytes
    words: int
    input: bytes
    bundle: bytes

    def __post_init__(self) -> None:
        for name in ("cohort", "trunk", "contributions", "confirmation", "secrets", "input", "bundle"):
            require(getattr(self, name), DIGEST, name)


@dataclass(frozen=True)
class SignedHeader:
    """A header, signed under session and round."""

    body: Header
    signature: bytes


@dataclass(frozen=True)
class MaskedInput:
    """The reply; the masked vector travels beside it.

    Attributes:
        header: Signed.
        commitments: To each secret that it shares, 32 bytes each, in the order of `shares.secrets_of`.
        bundle: Encrypted shares for those holders that cannot derive theirs, in the order of `shares.sent_to`.
        public: A short masked vector without group mask: what the coordinator may know the sum of.
    """

    header: SignedHeader
    commitments: bytes
    bundle: tuple[bytes, ...]
    public: bytes


@dataclass(frozen=True)
class Holding:
    """Which trunk a partner holds: the answer of one that lacks the trunk to go on from, and of everyone at the end of a run."""

    index: int
    version: int


@dataclass(frozen=True)
class Complaint:
    """The answer of a partner that got a contribution which is not what its sender signed, and proves it.

    It gives away the secret of the key that it advertised for this session. Whoever sees the complaint can open what all others sent to
    this partner, the group key follows, and the session is over. Nothing was masked in it by the partner; and the accused, who has the
    group key too, could have given it away as well.

    Attributes:
        index: Who complains.
        accused: About whom.
        secret: Seeds of the advertised key, 96 bytes.
    """

    index: int
    accused: int
    secret: bytes


# The kinds of reply to a `CollectRequest`, in the order of their tags (`wire.encode_tagged`). Places stay: a further kind comes last.
# No tag is 0, with which an untagged reply would begin: all kinds begin with a partner's index.
COLLECT_REPLIES: tuple[type[MaskedInput | Holding | Complaint], ...] = (MaskedInput, Holding, Complaint)


# Finish and Handover


@dataclass(frozen=True)
class FinishRequest:
    """The last round of a run: as `CollectRequest`, without a new round."""

    session: bytes
    version: int
    contributions: tuple[DeliveredContribution, ...]
    last: LastRound | None
    handover: Handover | None
    headers: tuple[SignedHeader, ...]
    proofs: tuple[bytes, ...]


@dataclass(frozen=True)
class HandoverRequest:
    """Asks one holder for the trunk with so many rounds behind it; contributions as in `CollectRequest`."""

    session: bytes
    version: int
    contributions: tuple[DeliveredContribution, ...]


def index_bytes(indices: tuple[int, ...]) -> bytes:
    """Indices as 4 bytes each."""
    return struct.pack(f">{len(indices)}I", *indices)


def cohort_digest(cohort: tuple[int, ...]) -> bytes:
    """H(A)."""
    return hashlib.sha256(wire.DOMAIN + b"cohort" + index_bytes(cohort)).digest()
