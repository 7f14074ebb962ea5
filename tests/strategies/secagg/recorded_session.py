"""A recorded session of seven partners, and what an eavesdropper reads of it.

Threshold five, three rounds; in the second, partner 7's words leave and arrive too late. What is opened is compared with what partners
put in, to the last word, and what stays closed must look like noise.
"""

from functools import cache

import numpy as np

from strategies.secagg.masking import signed_view
from strategies.secagg.messages import LastRound
from strategies.secagg.phases import Step
from strategies.secagg.session import Session, Shared
from strategies.secagg.state import State, load
from tests.strategies.secagg.eavesdropper import Eavesdropper, Recording
from tests.strategies.secagg.parties import Parties, roster_of
from tests.strategies.secagg.test_coordinator_view import looks_uniform

COUNT, THRESHOLD, LENGTH, ROUNDS = 7, 5, 2000, (0, 1, 2)
PARTNERS = tuple(range(1, COUNT + 1))
LATE = 7  # in round 1
TRUNK = b"t" * 32
EVERYTHING = [(number, index) for number in ROUNDS for index in PARTNERS]


def values(number: int, index: int) -> np.ndarray:
    """What a partner puts into a round: most of the words small, as updates are."""
    return np.random.default_rng((number, index)).integers(-(2**24), 2**24, LENGTH)


def loss(number: int, index: int) -> np.ndarray:
    """What it shows in the sum alone."""
    return np.array([100 * number + index])


@cache
def recorded() -> Recording:
    """A session from its first message to its last. One partner hands its trunk over on the way."""
    parties = Parties(roster_of(COUNT), seed=5)
    seen = Recording(parties, lost=(1, LATE))
    for site in parties.sites.values():
        site.version, site.trunk = 3, TRUNK
    parties.set_up()
    for number in ROUNDS:
        inputs = {index: values(number, index) for index in PARTNERS}
        collection = parties.collect(number, inputs, {index: loss(number, index) for index in PARTNERS})
        parties.agree(collection)
        blinded, _ = parties.reveal(collection)
        if number < ROUNDS[-1]:
            parties.finish(collection, blinded)
    parties.exchange(Step.HANDOVER, 1, parties.coordinator.handover_request(1, 5))
    last = LastRound(ROUNDS[-1], collection.survivors, False)
    for index, site in parties.sites.items():
        parties.exchange(Step.FINISH, index, parties.coordinator.finish_request(index, site.version + 1, last, None), blinded)
    return seen


def file(step: Step, index: int, number: int = -1) -> State:
    """A partner's `protocol.state` as it lay on its disk after a step."""
    return load(recorded().files[step, number, index])


def session_of(index: int) -> Session:
    held = file(Step.UNMASK, index, 2).session
    assert held is not None
    return held


def shared(index: int) -> Shared:
    held = file(Step.SHARE_KEYS, index).shared
    assert held is not None
    return held


# What is read, and what is not


def survivors(number: int) -> tuple[int, ...]:
    return recorded().lists[number].survivors


def reads_update(spy: Eavesdropper, number: int, index: int) -> bool:
    """Whether a partner's update of a round is in the open, to the last word; what is not looks like noise."""
    words, missing = spy.update(number, index)
    plain = np.array_equal(signed_view(words)[:LENGTH], values(number, index))
    assert plain == (missing == [])
    assert plain or closed(words, values(number, index))
    return plain


def reads_metric(spy: Eavesdropper, number: int, index: int) -> bool:
    words, missing = spy.metric(number, index)
    assert (words.tolist() == loss(number, index).tolist()) == (missing == [])
    return not missing


def reads_sum(spy: Eavesdropper, number: int) -> bool:
    """The same of the survivors' sum."""
    words, missing = spy.sum(number)
    total = np.add.reduce([values(number, index) for index in survivors(number)])
    plain = np.array_equal(signed_view(words)[:LENGTH], total)
    assert plain == (missing == [])
    assert plain or closed(words, total)
    return plain


def closed(words: np.ndarray, truth: np.ndarray) -> bool:
    return not np.any(signed_view(words)[:LENGTH] == truth) and looks_uniform(words.tobytes(), looks=1000)


def updates(spy: Eavesdropper) -> list[tuple[int, int]]:
    """Round and partner of all updates that are read; the metrics of just these are read as well."""
    found = [place for place in EVERYTHING if reads_update(spy, *place)]
    if spy.group:
        assert found == [place for place in EVERYTHING if reads_metric(spy, *place)]
    return found


def sums(spy: Eavesdropper) -> list[int]:
    return [number for number in ROUNDS if reads_sum(spy, number)]


def reads_nothing(spy: Eavesdropper) -> bool:
    return not updates(spy) and not sums(spy) and spy.trunk() is None


def reads_sums_and_trunk_alone(spy: Eavesdropper) -> bool:
    return not updates(spy) and sums(spy) == [*ROUNDS] and spy.trunk() == b"content of " + recorded().handover[0].trunk  # type: ignore[index]


def of(*partners: int) -> list[tuple[int, int]]:
    """All updates of these partners."""
    return [place for place in EVERYTHING if place[1] in partners]
