"""The coordinator in the protocol: it sets up a session and carries messages; what it does in a round is in `collection.py`.

PROTOCOL.md, section 3.

It holds no key, no model and no plain number. Replies that do not hold are left out with their reason, as if their senders had dropped
out.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from strategies.secagg import contributions, wire
from strategies.secagg.errors import (
    AlteredReplyError,
    ExcludedPartnerError,
    RepeatedPartnerError,
    RoundAbandonedError,
    SignatureError,
    UnusableKeyError,
)
from strategies.secagg.messages import (
    NO_TRUNK,
    CollectRequest,
    Complaint,
    DeliveredContribution,
    FinishRequest,
    Handover,
    HandoverRequest,
    LastRound,
    SessionParameters,
    ShareKeysReply,
    ShareKeysRequest,
    SignedAdvertisement,
    SignedHeader,
)
from strategies.secagg.proofs import Proof, UnequalContribution, UnusableKey, encode, proven
from strategies.secagg.roster import Roster
from strategies.secagg.verification import agreed_trunk, session_id, verify_advertisement, verify_contributions, verify_handover

NOBODY: Mapping[int, str] = MappingProxyType({})


class Coordinator:
    """One session.

    Args:
        roster: Who may take part.
        parameters: What to propose.
        threads: For the keystreams.
    """

    def __init__(self, roster: Roster, parameters: SessionParameters, threads: int = 1) -> None:
        self.roster, self.parameters, self.threads = roster, parameters, threads
        self.advertisements: dict[int, SignedAdvertisement] = {}
        self.contributions: dict[int, ShareKeysReply] = {}
        self.joined: set[int] = set()
        self.proofs: list[Proof] = []
        self.session = b""

    # AdvertiseKeys and ShareKeys

    def advertise_request(self) -> bytes:
        """For everybody."""
        return wire.encode(self.parameters)

    def add_advertisement(self, reply: bytes, excluded: Mapping[int, str] = NOBODY) -> int:
        """Take a partner's advertisement; its index. Whose it is, only its signature says.

        Args:
            excluded: Who takes no part in this session, and why.
        Raises:
            SecAggError: It is none, or not from the roster.
            AlteredReplyError: Whom it names did not sign it: somebody else wrote it.
            ExcludedPartnerError: It is of one of these.
            UnusableKeyError: Nothing can be encrypted for its key; `proofs` has what shows it.
        """
        signed = wire.decode(SignedAdvertisement, reply)
        try:
            verify_advertisement(self.roster, self.parameters, signed)
        except SignatureError:
            raise AlteredReplyError(f"an advertisement in the name of partner {signed.body.index}, who did not sign it") from None
        if signed.body.index in excluded:
            raise ExcludedPartnerError(signed.body.index, excluded[signed.body.index])
        if not contributions.usable(signed.body.kem):
            self.proofs.append(UnusableKey(self.parameters, signed))
            raise UnusableKeyError(signed.body.index, "the key that it advertises cannot be used: the session goes on without it")
        if signed.body.index in self.advertisements:
            raise RepeatedPartnerError(f"two nodes call themselves partner {signed.body.index}: each needs an identity of its own")
        self.advertisements[signed.body.index] = signed
        return signed.body.index

    def share_keys_request(self) -> bytes:
        """For everybody who advertised.

        Raises:
            RoundAbandonedError: Too few did.
        """
        self.enough(len(self.advertisements), "advertised")
        ordered = tuple(self.advertisements[index] for index in sorted(self.advertisements))
        self.session = session_id(self.parameters, ordered)
        return wire.encode(ShareKeysRequest(ordered))

    def add_contributions(self, index: int, reply: bytes) -> None:
        """Take one partner's encrypted contributions.

        Raises:
            SecAggError: They are none, somebody else's, or incomplete.
        """
        sent = wire.decode(ShareKeysReply, reply)
        others = tuple(sorted(set(self.advertisements) - {index}))
        if sent.contributions.sender != index or sent.contributions.recipients != others:
            raise AlteredReplyError(f"partner {index} sent contributions that are not its own, or not for everybody")
        verify_contributions(self.roster, self.session, sent.contributions)
        if sent.contributions.digests != b"".join(hashlib.sha256(ciphertext).digest() for ciphertext in sent.ciphertexts):
            raise AlteredReplyError(f"the contributions of partner {index} were altered on their way")
        self.contributions[index] = sent

    def members(self) -> tuple[int, ...]:
        """Everybody who contributed to the keys, ascending.

        Raises:
            RoundAbandonedError: Too few did.
        """
        self.enough(len(self.contributions), "contributed keys")
        return tuple(sorted(self.contributions))

    def agreed_trunk(self) -> tuple[int, tuple[int, ...]]:
        """Rounds behind the trunk that the session starts from, and the members that hold it; nobody has one: 0 and nobody."""
        version, trunk, holders = agreed_trunk(self.roster, tuple(self.advertisements.values()))
        return version, () if trunk == NO_TRUNK else tuple(holder for holder in holders if holder in self.contributions)

    def prove(self, complaint: Complaint) -> Proof | None:
        """What a complaint proves against the partner that it accuses; None if nothing."""
        sent = self.contributions.get(complaint.accused)
        if sent is None or complaint.index not in sent.contributions.recipients:
            return None
        ordered = tuple(self.advertisements[index] for index in sorted(self.advertisements))
        proof = UnequalContribution(self.parameters, ordered, self._contribution(sent, complaint.index), complaint.index, complaint.secret)
        return proof if proven(self.roster, encode(proof)) == complaint.accused else None

    # Requests that begin or end a round

    def collect_request(  # noqa: PLR0913 - the message's fields; called with keywords
        self,
        index: int,
        number: int,
        cohort: tuple[int, ...],
        rows: bool,
        version: int,
        last: LastRound | None,
        handover: Handover | None = None,
        headers: tuple[SignedHeader, ...] = (),
        proofs: tuple[bytes, ...] = (),
    ) -> bytes:
        """For one partner of the cohort; a masked sum or a handed-over trunk travels beside it."""
        return wire.encode(
            CollectRequest(
                session=self.session,
                number=number,
                cohort=cohort,
                rows=rows,
                version=version,
                contributions=self._delivered(index),
                last=last,
                handover=handover,
                headers=headers,
                proofs=proofs,
            )
        )

    def finish_request(
        self,
        index: int,
        version: int,
        last: LastRound | None,
        handover: Handover | None = None,
        headers: tuple[SignedHeader, ...] = (),
        proofs: tuple[bytes, ...] = (),
    ) -> bytes:
        """For one partner, after the last round."""
        return wire.encode(FinishRequest(self.session, version, self._delivered(index), last, handover, headers, proofs))

    def handover_request(self, index: int, version: int) -> bytes:
        """For one holder of the trunk with so many rounds behind it."""
        return wire.encode(HandoverRequest(self.session, version, self._delivered(index)))

    def check_handover(self, holder: int, offered: Handover, ciphertext: np.ndarray) -> None:
        """See that a handed-over trunk is what this holder signed; what is in it only members can tell.

        Raises:
            AlteredReplyError: It is in another partner's name.
            SignatureError, HandoverError: As `verification.verify_handover`.
        """
        if offered.holder != holder:
            raise AlteredReplyError(f"partner {holder} hands over in the name of partner {offered.holder}")
        verify_handover(self.roster, self.session, offered, ciphertext.tobytes())

    def _delivered(self, recipient: int) -> tuple[DeliveredContribution, ...]:
        delivered: list[DeliveredContribution] = []
        for sender in () if recipient in self.joined else self.members():
            if sender != recipient:
                delivered.append(self._contribution(self.contributions[sender], recipient))
        return tuple(delivered)

    @staticmethod
    def _contribution(sent: ShareKeysReply, recipient: int) -> DeliveredContribution:
        return DeliveredContribution(sent.contributions, sent.ciphertexts[sent.contributions.recipients.index(recipient)])

    def enough(self, count: int, what: str) -> None:
        """See that a round can go on.

        Raises:
            RoundAbandonedError: It cannot.
        """
        if count < self.roster.least():
            raise RoundAbandonedError(f"{count} partners {what}, and {self.roster.least()} are needed")
