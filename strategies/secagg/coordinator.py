"""The coordinator in the protocol: it sets up a session and carries messages; what it does in a round is in `collection.py`.

PROTOCOL.md, section 3.

It holds no key, no model and no plain number. Replies that do not hold are left out with their reason, as if their senders had dropped
out.
"""

import hashlib

from strategies.secagg import wire
from strategies.secagg.errors import AlteredReplyError, RepeatedPartnerError, RoundAbandonedError
from strategies.secagg.messages import (
    NO_TRUNK,
    CollectRequest,
    DeliveredContribution,
    FinishRequest,
    Handover,
    HandoverRequest,
    LastRound,
    SessionParameters,
    ShareKeysReply,
    ShareKeysRequest,
    SignedAdvertisement,
)
from strategies.secagg.roster import Roster
from strategies.secagg.verification import agreed_trunk, session_id, verify_advertisement, verify_contributions


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
        self.session = b""

    # AdvertiseKeys and ShareKeys

    def advertise_request(self) -> bytes:
        """For everybody."""
        return wire.encode(self.parameters)

    def add_advertisement(self, reply: bytes) -> int:
        """Take a partner's advertisement; its index.

        Raises:
            SecAggError: It is none, or not from the roster.
        """
        signed = wire.decode(SignedAdvertisement, reply)
        verify_advertisement(self.roster, self.parameters, signed)
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
        version, trunk, holders = agreed_trunk(tuple(self.advertisements.values()))
        return version, () if trunk == NO_TRUNK else tuple(holder for holder in holders if holder in self.contributions)

    # Requests that begin or end a round

    def collect_request(
        self, index: int, number: int, cohort: tuple[int, ...], rows: bool, version: int, last: LastRound | None, handover: Handover | None
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
            )
        )

    def finish_request(self, index: int, version: int, last: LastRound | None, handover: Handover | None) -> bytes:
        """For one partner, after the last round."""
        return wire.encode(FinishRequest(self.session, version, self._delivered(index), last, handover))

    def handover_request(self, index: int) -> bytes:
        """For one holder of the trunk."""
        return wire.encode(HandoverRequest(self.session, self._delivered(index)))

    def _delivered(self, recipient: int) -> tuple[DeliveredContribution, ...]:
        delivered: list[DeliveredContribution] = []
        for sender in () if recipient in self.joined else self.members():
            if sender != recipient:
                sent = self.contributions[sender]
                place = sent.contributions.recipients.index(recipient)
                delivered.append(DeliveredContribution(sent.contributions, sent.ciphertexts[place]))
        return tuple(delivered)

    def enough(self, count: int, what: str) -> None:
        """See that a round can go on.

        Raises:
            RoundAbandonedError: It cannot.
        """
        if count < self.roster.least():
            raise RoundAbandonedError(f"{count} partners {what}, and {self.roster.least()} are needed")
