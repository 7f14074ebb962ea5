"""Who takes part: agreed out of band, pinned by every partner, and part of everything that is signed."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from strategies.secagg import wire
from strategies.secagg.errors import UnknownPartnerError
from strategies.secagg.identity import PublicIdentity

LEAST_PARTNERS = 3  # with two, each could subtract its own update from the sum


def default_threshold(partners: int) -> int:
    """⌊2n/3⌋ + 1: the coordinator with fewer than n/3 partners learns nothing but the sum."""
    return 2 * partners // 3 + 1


@dataclass(frozen=True)
class Member:
    """One partner: its index (Shamir's evaluation point, from 1), name and public keys."""

    index: int
    name: str
    identity: PublicIdentity


@dataclass(frozen=True)
class Roster:
    """The consortium.

    Attributes:
        consortium: Its name.
        threshold: Partners needed to reveal a share; more than half of the members.
        minimum: Least survivors of a round.
        members: By index, 1 to n without a gap.
    Raises:
        ValueError: Fewer than 3 members, a gap, a name or key used twice, or a threshold out of bounds.
    """

    consortium: str
    threshold: int
    minimum: int
    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        count = len(self.members)
        if count < LEAST_PARTNERS:
            raise ValueError(f"a consortium has at least {LEAST_PARTNERS} partners, not {count}: with two, each knows the other's update")
        if [member.index for member in self.members] != list(range(1, count + 1)):
            raise ValueError(f"partners are numbered 1 to {count} in order, not {[member.index for member in self.members]}")
        for what, values in (("name", [m.name for m in self.members]), ("public key", [m.identity.keys for m in self.members])):
            if len(set(values)) != count:
                raise ValueError(f"two partners have the same {what}")
        if not count / 2 < self.threshold <= count:
            raise ValueError(f"the threshold is more than half of {count} partners and at most all, not {self.threshold}")
        if not LEAST_PARTNERS <= self.minimum <= count:
            raise ValueError(f"the minimum is {LEAST_PARTNERS} to {count} partners, not {self.minimum}")

    def digest(self) -> bytes:
        """SHA-256 of the canonical encoding, 32 bytes."""
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        """It goes into every signature, and a roster of fifty has 100 kB."""
        return hashlib.sha256(wire.DOMAIN + b"roster" + wire.encode(self)).digest()

    def indices(self) -> range:
        """Of its members."""
        return range(1, len(self.members) + 1)

    def least(self) -> int:
        """Partners that every phase needs."""
        return max(self.threshold, self.minimum)

    def tolerated(self) -> int:
        """Partners that may misbehave: the most that are fewer than a third."""
        return (len(self.members) - 1) // 3

    def quorum(self) -> int:
        """Partners that must hold a trunk before others go on from it: at least two, and more than may misbehave."""
        return max(2, self.tolerated() + 1)

    def member(self, index: int) -> Member:
        """The partner with this index.

        Raises:
            UnknownPartnerError: There is none.
        """
        if not 1 <= index <= len(self.members):
            raise UnknownPartnerError(f"partner {index} is not among the {len(self.members)} of {self.consortium}")
        return self.members[index - 1]

    def index_of(self, identity: PublicIdentity) -> int:
        """The index of a public key.

        Raises:
            UnknownPartnerError: It is nobody's.
        """
        for member in self.members:
            if member.identity == identity:
                return member.index
        raise UnknownPartnerError(f"the key {identity.fingerprint()} is not in the roster of {self.consortium}")
