"""A session of four partners stopped before each step, made once and copied for each test, with the honest request for everybody.

Threshold and minimum are 3: one partner may drop out. Partners hold one trunk from an earlier session.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from strategies.secagg import wire
from strategies.secagg.collection import Collection
from strategies.secagg.consistency_messages import ConsistencyRequest, SurvivorsSignature, UnmaskReply, UnmaskRequest
from strategies.secagg.errors import HandoverError, SecAggError
from strategies.secagg.messages import (
    COLLECT_REPLIES,
    CollectRequest,
    FinishRequest,
    HandoverRequest,
    LastRound,
    MaskedInput,
    SessionParameters,
    ShareKeysReply,
    ShareKeysRequest,
    SignedAdvertisement,
)
from strategies.secagg.participant import Participant
from strategies.secagg.phases import HARMLESS, Phase, Step
from strategies.secagg.state import State
from strategies.secagg.transcript import FIRST, Entry
from tests.strategies.secagg.parties import Parties, copied_round, roster_of

KINDS: dict[Step, type] = {
    Step.ADVERTISE_KEYS: SessionParameters,
    Step.SHARE_KEYS: ShareKeysRequest,
    Step.COLLECT: CollectRequest,
    Step.CONSISTENCY: ConsistencyRequest,
    Step.UNMASK: UnmaskRequest,
    Step.FINISH: FinishRequest,
    Step.HANDOVER: HandoverRequest,
}
REPLIES: dict[Step, type] = {
    Step.ADVERTISE_KEYS: SignedAdvertisement,
    Step.SHARE_KEYS: ShareKeysReply,
    Step.COLLECT: MaskedInput,
    Step.CONSISTENCY: SurvivorsSignature,
    Step.UNMASK: UnmaskReply,
}
IN_ORDER = (Step.ADVERTISE_KEYS, Step.SHARE_KEYS, Step.COLLECT, Step.CONSISTENCY, Step.UNMASK, Step.FINISH)
PARTNERS = (1, 2, 3, 4)
VALUES = {index: np.array([1000 * index, -index, 2**29 - index, -(2**29) + index]) for index in PARTNERS}
SHOWN = {index: np.array([index]) for index in PARTNERS}
VERSION, TRUNK = 3, b"t" * 32


@dataclass
class Stage:
    """Parties that wait for a step.

    Attributes:
        step: The step.
        parties: All four, and the coordinator.
        requests: What an honest coordinator asks each partner.
        collection: The round in progress.
        beside: The masked sum that travels beside the requests.
        public: The sum that the coordinator knows, after unmasking.
    """

    step: Step
    parties: Parties
    requests: dict[int, bytes]
    collection: Collection | None = None
    beside: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype="<u4"))
    public: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype="<u4"))

    def partner(self, index: int) -> Participant:
        return self.parties.partner(index)

    def request(self, index: int = 1) -> Any:
        """The honest request, as a message."""
        return wire.decode(KINDS[self.step], self.requests[index])

    def send(self, index: int, /, **changes: object) -> bytes:
        """A partner's answer to its request with some fields replaced."""
        return self.deliver(index, wire.encode(replace(self.request(index), **changes)))

    def deliver(self, index: int, request: bytes) -> bytes:
        """A partner's answer to any bytes."""
        return self.parties.sites[index].answer(self.step, request, self.beside)

    def taken(self, index: int, reply: bytes) -> None:
        """Give a reply to the coordinator."""
        coordinator, collection = self.parties.coordinator, self.collection
        if self.step is Step.ADVERTISE_KEYS:
            coordinator.add_advertisement(reply)
        elif self.step is Step.SHARE_KEYS:
            coordinator.add_contributions(index, reply)
        elif collection is not None and self.step is Step.COLLECT:
            collection.add_input(index, reply, self.parties.sites[index].words)
        elif collection is not None and self.step is Step.CONSISTENCY:
            collection.add_signature(index, reply)
        elif collection is not None and self.step is Step.UNMASK:
            collection.add_answer(index, reply)

    def on(self, lost: tuple[int, ...] = ()) -> "Stage":
        """Everybody answers, and all replies but the lost ones arrive: the stage before the next step."""
        for index, request in self.requests.items():
            reply = self.deliver(index, request)
            if index not in lost:
                self.taken(index, reply)
        return self.next()

    def next(self) -> "Stage":
        """The stage before the next step, from the replies taken so far."""
        following = IN_ORDER[IN_ORDER.index(self.step) + 1]
        coordinator = self.parties.coordinator
        if following is Step.SHARE_KEYS:
            request = coordinator.share_keys_request()
            return Stage(following, self.parties, dict.fromkeys(coordinator.advertisements, request))
        if following is Step.COLLECT:
            return collecting(self.parties, 0)
        assert self.collection is not None
        if following is Step.CONSISTENCY:
            request = self.collection.consistency_request()
            return Stage(following, self.parties, dict.fromkeys(self.collection.survivors, request), self.collection)
        if following is Step.UNMASK:
            requests = {index: self.collection.unmask_request(index) for index in self.collection.signers()}
            return Stage(following, self.parties, requests, self.collection)
        blinded, public = self.collection.unmask()
        last = LastRound(self.collection.number, self.collection.survivors, False)
        requests = {index: coordinator.finish_request(index, VERSION + 1, last, None) for index in coordinator.members()}
        return Stage(following, self.parties, requests, self.collection, blinded, public)

    def another_round(self) -> "Stage":
        """From the end of a round: the stage before the masked inputs of the next one."""
        assert self.collection is not None
        return collecting(self.parties, self.collection.number + 1, self.request().last, self.beside)

    def copy(self) -> "Stage":
        parties = self.parties.copy()
        collection = self.collection and copied_round(self.collection, parties.coordinator)
        return replace(self, parties=parties, requests=dict(self.requests), collection=collection, beside=self.beside.copy())


def read_reply(step: Step, reply: bytes) -> Any:
    """The message in a reply."""
    return wire.decode_tagged(COLLECT_REPLIES, reply) if step is Step.COLLECT else wire.decode(REPLIES[step], reply)


def written_reply(step: Step, message: Any) -> bytes:
    """The reply with this message."""
    return wire.encode_tagged(COLLECT_REPLIES, message) if step is Step.COLLECT else wire.encode(message)


def collecting(parties: Parties, number: int, last: LastRound | None = None, blinded: np.ndarray | None = None) -> Stage:
    """The stage before the masked inputs of a round of all members."""
    coordinator = parties.coordinator
    members, version = coordinator.members(), VERSION if last is None else VERSION + 1
    requests = {index: coordinator.collect_request(index, number, members, False, version, last, None) for index in members}
    stage = Stage(Step.COLLECT, parties, requests, Collection(coordinator, number, members))
    return stage if blinded is None else replace(stage, beside=blinded)


def before(step: Step, dropped: tuple[int, ...] = ()) -> Stage:
    """The stage before a step of the first round; the inputs of `dropped` got lost on their way."""
    return _made(step, dropped if step in (Step.CONSISTENCY, Step.UNMASK, Step.FINISH) else ()).copy()


@cache
def _made(step: Step, dropped: tuple[int, ...]) -> Stage:
    if step is Step.ADVERTISE_KEYS:
        parties = Parties(roster_of(len(PARTNERS)))
        for index, site in parties.sites.items():
            site.version, site.trunk, site.values, site.shown = VERSION, TRUNK, VALUES[index], SHOWN[index]
        return Stage(step, parties, dict.fromkeys(parties.sites, parties.coordinator.advertise_request()))
    if step is Step.HANDOVER:
        keyed = before(Step.COLLECT)
        return Stage(step, keyed.parties, {index: keyed.parties.coordinator.handover_request(index, VERSION) for index in PARTNERS})
    previous = before(IN_ORDER[IN_ORDER.index(step) - 1], dropped)
    return previous.on(lost=dropped if previous.step is Step.COLLECT else ())


@contextmanager
def refused(error: type[SecAggError], by: Participant) -> Iterator[pytest.ExceptionInfo[Any]]:
    """What runs inside ends in exactly this error; the partner then has no key left to answer with.

    An error that proves nothing changes nothing, nor does a trunk that is of no use, and every one can be written into the transcript.
    """
    state = by.state
    with pytest.raises(SecAggError) as caught:
        yield caught
    assert caught.type is error, f"{caught.type.__name__}: {caught.value}"
    Entry(1, FIRST, FIRST, 0, Step.COLLECT, by.facts, FIRST, b"", error.__name__)  # what was seen can be written down
    assert by.state == (state if issubclass(error, (*HARMLESS, HandoverError)) else State(phase=Phase.FAILED))


def flipped(content: bytes, place: int = 0, bit: int = 0) -> bytes:
    """The same bytes but for one bit."""
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def ends_well(at: Stage, survivors: tuple[int, ...]) -> None:
    """From the masked inputs on, the round ends with the sum over these survivors at every member."""
    while at.step is not Step.FINISH:
        at = at.next()
        for index in at.requests:
            at.taken(index, at.deliver(index, at.requests[index]))
    assert at.collection is not None
    assert at.collection.survivors == survivors
    assert np.array_equal(at.public, sum(SHOWN[index] for index in survivors))
    for site in at.parties.sites.values():
        assert np.array_equal(site.decoded, sum(VALUES[index] for index in survivors))
