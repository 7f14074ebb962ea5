"""What a state that is set back costs: why `protocol.state` is on disk for good before a reply leaves, and is never copied back.

A partner that forgot that it masked for a round masks for it again: its masks with the others and its group mask are the same ones, and
its shares are sealed under the same key and nonce.
"""

import numpy as np

from strategies.secagg import shamir, shares, wire
from strategies.secagg.keystream import add_streams
from strategies.secagg.masking import signed_view
from strategies.secagg.messages import MaskedInput
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.state import dump, load
from tests.strategies.secagg.parties import Parties, Site, entropy_from, roster_of

COHORT, LENGTH = (1, 2, 3, 4, 5), 50
BEFORE, AFTER = np.full(LENGTH, 1000), np.arange(LENGTH)


def test_a_state_that_is_set_back_lets_the_coordinator_read_the_difference_of_two_updates() -> None:
    parties = Parties(roster_of(len(COHORT)), seed=3)
    parties.set_up()
    older = dump(parties.partner(1).state)
    request = parties.coordinator.collect_request(1, 0, COHORT, False, 0, None, None)
    collection = parties.collect(0, dict.fromkeys(COHORT, BEFORE))
    first, words = collection.inputs[1], parties.sites[1].words.copy()

    held = parties.partner(1)
    again = Site(Participant(held.identity, held.roster, held.policy, entropy_from(99), load(older)), values=AFTER)
    second = wire.decode_tagged((MaskedInput,), again.answer(Step.COLLECT, request))

    parties.agree(collection)
    for index in COHORT[1:]:
        answer = parties.exchange(Step.UNMASK, index, collection.unmask_request(index))
        assert answer is not None
        collection.add_answer(index, answer)
    revealed = {index: int.from_bytes(answer.shares[:32], "big") for index, answer in collection.answers.items()}
    unsealed = dict(revealed)  # derived shares are equal in both bundles; of sealed ones their difference lies open
    for place, holder in enumerate(shares.sent_to(1, COHORT, parties.roster.threshold)):
        boxes = (each.bundle[place][:32] for each in (first, second))
        unsealed[holder] = revealed[holder] ^ int.from_bytes(bytes(a ^ b for a, b in zip(*boxes, strict=True)), "big")
    seeds = [shamir.to_bytes(shamir.reconstruct(each, parties.roster.threshold)) for each in (revealed, unsealed)]

    difference = again.words - words
    add_streams(difference, [seeds[0]], [seeds[1]])
    assert np.array_equal(signed_view(difference)[:LENGTH], AFTER - BEFORE)
