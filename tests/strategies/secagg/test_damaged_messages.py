"""Every message cut at every length, and with every byte changed: a named error, or a result that is right all the same."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError, SecAggError
from strategies.secagg.phases import Step
from tests.strategies.secagg.stages import IN_ORDER, KINDS, PARTNERS, REPLIES, VALUES, VERSION, Stage, before, flipped, read_reply

LONG = 200  # longer fields are signatures, keys and ciphertexts: of these one byte in so many


def long_fields(value: Any) -> Iterator[bytes]:
    """All long byte strings inside a message."""
    if isinstance(value, bytes) and len(value) > LONG:
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from long_fields(each)
    elif is_dataclass(value):
        for each in fields(value):
            yield from long_fields(getattr(value, each.name))


def places(parsed: Any, message: bytes) -> list[int]:
    """Every byte outside long fields; of these the first, the last and a sample."""
    chosen = dict.fromkeys(range(len(message)))
    for content in long_fields(parsed):
        start = message.index(content)
        for place in range(start + 1, start + len(content) - 1):
            if place % LONG:
                chosen.pop(place, None)
    return list(chosen)


def goes_on(at: Stage) -> None:
    """The session from this stage to the end of its round; whoever finishes has the sum over the survivors."""
    while at.step is not Step.FINISH:
        at = at.on()
    assert at.collection is not None
    for index in at.requests:
        at.deliver(index, at.requests[index])
    finished = [site for site in at.parties.sites.values() if site.version == VERSION + 1]
    assert all(np.array_equal(site.decoded, sum(VALUES[index] for index in at.collection.survivors)) for site in finished)


@pytest.mark.parametrize("step", [*IN_ORDER, Step.HANDOVER])
def test_a_request_cut_at_any_length_or_with_a_byte_more_is_no_message_and_changes_nothing(step: Step) -> None:
    at = before(step, dropped=(4,))
    request, state = at.requests[1], at.partner(1).state
    for damaged in (*(request[:length] for length in range(len(request))), request + b"\x00"):
        with pytest.raises(MalformedMessageError):
            at.deliver(1, damaged)
    assert at.partner(1).state == state
    at.deliver(1, request)


@pytest.mark.parametrize("step", REPLIES)
def test_a_reply_cut_at_any_length_or_with_a_byte_more_is_no_message(step: Step) -> None:
    at = before(step, dropped=(4,))
    reply = at.send(1)
    for damaged in (*(reply[:length] for length in range(len(reply))), reply + b"\x00"):
        with pytest.raises(MalformedMessageError):
            at.taken(1, damaged)
    at.taken(1, reply)


@pytest.mark.parametrize(("step", "partner"), [*((step, 1) for step in IN_ORDER), (Step.FINISH, 4), (Step.HANDOVER, 1)])
def test_a_request_with_any_byte_changed_is_refused_or_does_no_harm(step: Step, partner: int) -> None:
    honest = before(step, dropped=(4,))
    refused = 0
    for place in places(wire.decode(KINDS[step], honest.requests[partner]), honest.requests[partner]):
        at = honest.copy()
        at.requests[partner] = flipped(honest.requests[partner], place, place % 8)
        try:
            if step is Step.HANDOVER:
                at.deliver(partner, at.requests[partner])
            else:
                goes_on(replace(at, requests={partner: at.requests[partner]}) if step is Step.FINISH else at)
        except SecAggError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("step", REPLIES)
def test_a_reply_with_any_byte_changed_is_left_out_or_refused_or_does_no_harm(step: Step) -> None:
    honest = before(step, dropped=(4,))
    replies = {index: honest.deliver(index, request) for index, request in honest.requests.items()}
    for index in set(replies) - {1}:
        honest.taken(index, replies[index])
    refused = 0
    for place in places(read_reply(step, replies[1]), replies[1]):
        at = honest.copy()
        at.parties.sites[1].words = honest.parties.sites[1].words
        try:
            at.taken(1, flipped(replies[1], place, place % 8))
            goes_on(at.next())
        except SecAggError:
            refused += 1
    assert refused > 30


def test_the_bytes_tried_are_all_but_those_inside_signatures_keys_and_ciphertexts() -> None:
    at = before(Step.SHARE_KEYS)
    assert len(places(at.request(), at.requests[1])) > 16 * len(PARTNERS) + 4 * (4 + 4 + 32 + 4 + 4 + 32)
    first = before(Step.ADVERTISE_KEYS)
    assert places(first.request(), first.requests[1]) == list(range(149))
