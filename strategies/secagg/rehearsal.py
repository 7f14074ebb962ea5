"""The whole protocol on one page: a session and a round among throw-away partners in memory, every message through its bytes.

Read it beside PROTOCOL.md: `set_up` is its section 3, `collect`, `agree` and `reveal` are section 4, `decode` is section 5. This is how
`polyphony doctor` tries the protocol at a site, the audit watches a coordinator, and the benchmark takes times. A run over a network
(`strategies/coordinator/secure_trunk.py`, `strategies/partner/secure_partner.py`) does the same with files, time limits and a model, and
its session begins with one more round like this: over the rows that partners may train. Never give it keys that are used for anything else.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np

from strategies.secagg import masking
from strategies.secagg.collection import Collection
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.identity import Identity
from strategies.secagg.keystream import DTYPES
from strategies.secagg.messages import NO_TRUNK, PROTOCOL, LastRound, SessionParameters
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.policy import Policy
from strategies.secagg.roster import LEAST_PARTNERS, Member, Roster, default_threshold
from strategies.secagg.session import Entropy

COORDINATOR = 0  # stands beside the partners' indices, which begin at 1
NUMBER, VERSION, LAYOUT = 0, 0, "rehearsal"
TRUNK = hashlib.sha256(b"a rehearsal trains no trunk").digest()
CONFIGURATION = hashlib.sha256(b"rehearsal").digest()


@dataclass(frozen=True)
class Transmission:
    """What passes between the coordinator and one partner.

    Attributes:
        step: Of the protocol.
        partner: Its index.
        upward: Whether it is a partner's reply; otherwise the coordinator's request.
        body: The message.
        words: The vector that travels beside it; empty but for a masked input.
    """

    step: Step
    partner: int
    upward: bool
    body: bytes
    words: np.ndarray


Carry = Callable[[Transmission], bool]  # whether it arrives
Measure = Callable[[Step, int], AbstractContextManager[None]]  # around the work of a party in a step
Write = Callable[[int, np.ndarray], None]  # a partner's index, and its words to fill: zeros, of the session's word size


def everything_arrives(_: Transmission) -> bool:
    """A network that loses nothing."""
    return True


def unmeasured(_step: Step, _party: int) -> AbstractContextManager[None]:
    """No measurement."""
    return nullcontext()


def throw_away_parties(
    count: int, entropy: Entropy, *, threshold: int = 0, minimum: int = LEAST_PARTNERS, word_bits: int = 32, threads: int = 1
) -> tuple[Coordinator, dict[int, Participant]]:
    """A coordinator and new partners with keys of their own, before their first message.

    Args:
        count: Partners, 3 or more.
        entropy: Returns that many random bytes; the operating system's generator outside tests.
        threshold, minimum: As in `Roster`; 0 for the default threshold of so many partners.
        word_bits: 32 or 16.
        threads: Of each party, for keystreams.
    """
    identities = [Identity.generate() for _ in range(count)]
    members = tuple(Member(index, f"partner-{index}", identity.public) for index, identity in enumerate(identities, 1))
    roster = Roster("rehearsal", threshold or default_threshold(count), minimum, members)
    proposed = SessionParameters(
        protocol=PROTOCOL,
        roster=roster.digest(),
        configuration=CONFIGURATION,
        layout=LAYOUT,
        word_bits=word_bits,
        row_guard=0,
        least_supporters=2,
        rounds=1,
        metrics=(),
        nonce=entropy(32),
    )
    policy = Policy(
        roster=roster.digest(),
        configuration=CONFIGURATION,
        layout=LAYOUT,
        word_bits=(word_bits,),
        row_guard=0,
        least_supporters=2,
        rounds=1,
        metrics=(),
        least_survivors=minimum,
    )
    partners = {index: Participant(identity, roster, policy, entropy) for index, identity in enumerate(identities, 1)}
    return Coordinator(roster, proposed, threads), partners


class Rehearsal:
    """A session and its first round.

    Args:
        coordinator, partners: Of `throw_away_parties`.
        length: Words of an input.
        carry: Sees every message, and says whether it arrives. Whose message got lost is asked nothing more in the round.
        measure: Runs around the work of each party, of `COORDINATOR` too.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        partners: dict[int, Participant],
        length: int,
        carry: Carry = everything_arrives,
        measure: Measure = unmeasured,
    ) -> None:
        self.coordinator, self.partners, self.length, self.carry, self.measure = coordinator, partners, length, carry, measure
        self.dtype = DTYPES[coordinator.parameters.word_bits]
        self.nothing = np.empty(0, dtype=self.dtype)

    def set_up(self) -> None:
        """AdvertiseKeys and ShareKeys: what every two members need for a key of theirs, and all for one that the coordinator has not.

        Raises:
            RoundAbandonedError: Too few replies arrived.
        """
        request = self.coordinator.advertise_request()
        for index, partner in self.partners.items():
            advertise = partial(partner.advertise, version=VERSION, trunk=NO_TRUNK, before=NO_TRUNK)
            if (reply := self._exchange(Step.ADVERTISE_KEYS, index, request, advertise)) is not None:
                with self.measure(Step.ADVERTISE_KEYS, COORDINATOR):
                    self.coordinator.add_advertisement(reply)
        with self.measure(Step.SHARE_KEYS, COORDINATOR):
            request = self.coordinator.share_keys_request()
        for index in sorted(self.coordinator.advertisements):
            if (reply := self._exchange(Step.SHARE_KEYS, index, request, self.partners[index].share_keys)) is not None:
                with self.measure(Step.SHARE_KEYS, COORDINATOR):
                    self.coordinator.add_contributions(index, reply)

    def collect(self, write: Write) -> Collection:
        """MaskedInputCollection: every member masks what `write` gives it, and the coordinator adds up what arrives."""
        collection = Collection(self.coordinator, NUMBER, self.coordinator.members())
        for index in collection.cohort:
            with self.measure(Step.COLLECT, COORDINATOR):
                request = self.coordinator.collect_request(
                    index=index, number=NUMBER, cohort=collection.cohort, rows=False, version=VERSION, last=None, handover=None
                )
            if not self.carry(Transmission(Step.COLLECT, index, False, request, self.nothing)):
                continue
            reply, words = self.mask(index, request, write)
            if self.carry(Transmission(Step.COLLECT, index, True, reply, words)):
                with self.measure(Step.COLLECT, COORDINATOR):
                    collection.add_input(index, reply, words)
        return collection

    def mask(self, index: int, request: bytes, write: Write) -> tuple[bytes, np.ndarray]:
        """A partner's masked input: the reply, and the words beside it, whose last are the tag of the aggregate check."""
        partner = self.partners[index]
        with self.measure(Step.SHARE_KEYS, index):  # the contributions come with this request, so set-up ends here
            partner.collect(request)
        tag = masking.tag_words(partner.session)
        words = np.zeros(self.length + tag, dtype=self.dtype)
        write(index, words[:-tag])
        with self.measure(Step.COLLECT, index):
            reply = partner.mask(request, TRUNK, words, self.nothing, self.coordinator.threads)
        return reply, words

    def agree(self, collection: Collection) -> None:
        """ConsistencyCheck: every survivor signs who the survivors are.

        Raises:
            RoundAbandonedError: Too few masked inputs arrived.
        """
        with self.measure(Step.CONSISTENCY, COORDINATOR):
            request = collection.consistency_request()
        for index in collection.survivors:
            reply = self._exchange(Step.CONSISTENCY, index, request, self.partners[index].confirm)
            if reply is not None:
                with self.measure(Step.CONSISTENCY, COORDINATOR):
                    collection.add_signature(index, reply)

    def reveal(self, collection: Collection) -> np.ndarray:
        """Unmasking: who signed reveals shares, with which the coordinator takes off all masks but the group's.

        Returns:
            The masked sum, tag included.
        Raises:
            RoundAbandonedError: Too few signatures or answers arrived.
        """
        for index in collection.signers():
            with self.measure(Step.UNMASK, COORDINATOR):
                request = collection.unmask_request(index)
            reply = self._exchange(Step.UNMASK, index, request, self.partners[index].unmask)
            if reply is not None:
                with self.measure(Step.UNMASK, COORDINATOR):
                    collection.add_answer(index, reply)
        with self.measure(Step.UNMASK, COORDINATOR):
            masked_sum, _ = collection.unmask()
        return masked_sum

    def decode(self, index: int, collection: Collection, masked_sum: np.ndarray) -> np.ndarray:
        """The sum of the survivors' words as a partner reads it: it takes the group masks off a copy, and checks the tag.

        Returns:
            int32 or int16 [length].
        Raises:
            AlteredSumError: It is not what the survivors sent.
        """
        words, last = masked_sum.copy(), LastRound(NUMBER, collection.survivors, False)
        with self.measure(Step.FINISH, index):
            return self.partners[index].finish(last, words, TRUNK, self.coordinator.threads)

    def _exchange(self, step: Step, index: int, request: bytes, answer: Callable[[bytes], bytes]) -> bytes | None:
        """A partner's reply to a request; None when either got lost."""
        if not self.carry(Transmission(step, index, False, request, self.nothing)):
            return None
        with self.measure(step, index):
            reply = answer(request)
        return reply if self.carry(Transmission(step, index, True, reply, self.nothing)) else None
