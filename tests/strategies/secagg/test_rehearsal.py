"""The protocol on one page gives the survivors' sum, whatever a network loses that a round can do without."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from strategies.secagg.errors import AlteredSumError, RoundAbandonedError
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.rehearsal import COORDINATOR, Rehearsal, Transmission, throw_away_parties

PARTNERS, WORDS = 5, 7  # with the default threshold of 4 one may drop out
ROUND = (Step.COLLECT, Step.CONSISTENCY, Step.UNMASK)
VALUES = {index: np.arange(WORDS) * (-1) ** index * index for index in range(1, PARTNERS + 1)}


def write(index: int, words: np.ndarray) -> None:
    assert not words.any()
    words[:] = VALUES[index].astype(words.dtype)


def decoded(rehearsal: Rehearsal) -> tuple[tuple[int, ...], dict[int, np.ndarray]]:
    """The survivors of a whole session and round, and what each of them decodes."""
    rehearsal.set_up()
    collection = rehearsal.collect(write)
    rehearsal.agree(collection)
    masked_sum = rehearsal.reveal(collection)
    return collection.survivors, {index: rehearsal.decode(index, collection, masked_sum) for index in collection.survivors}


@pytest.mark.parametrize("word_bits", [16, 32])
def test_every_partner_decodes_the_sum_of_everybody(word_bits: int) -> None:
    survivors, sums = decoded(Rehearsal(*throw_away_parties(PARTNERS, os.urandom, word_bits=word_bits), WORDS))
    assert survivors == tuple(VALUES)
    assert all(np.array_equal(total, sum(VALUES.values())) for total in sums.values())


@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("step", [Step.ADVERTISE_KEYS, Step.SHARE_KEYS, *ROUND])
def test_one_lost_message_costs_its_partner_s_words_at_most(step: Step, upward: bool) -> None:
    def lossy(sent: Transmission) -> bool:
        return (sent.step, sent.partner, sent.upward) != (step, 2, upward)

    survivors, sums = decoded(Rehearsal(*throw_away_parties(PARTNERS, os.urandom, minimum=3), WORDS, carry=lossy))
    assert survivors == (tuple(VALUES) if step in (Step.CONSISTENCY, Step.UNMASK) else (1, 3, 4, 5))
    assert all(np.array_equal(total, sum(VALUES[index] for index in survivors)) for total in sums.values())


@pytest.mark.parametrize("step", [Step.ADVERTISE_KEYS, Step.SHARE_KEYS, *ROUND])
def test_a_round_that_loses_too_much_is_abandoned(step: Step) -> None:
    def lossy(sent: Transmission) -> bool:
        return sent.step is not step or sent.partner > 2

    with pytest.raises(RoundAbandonedError):
        decoded(Rehearsal(*throw_away_parties(PARTNERS, os.urandom), WORDS, carry=lossy))


def test_the_work_of_every_party_in_every_step_is_measured_and_nothing_twice_at_once() -> None:
    measured: list[tuple[Step, int]] = []
    running: list[Step] = []

    @contextmanager
    def measure(step: Step, party: int) -> Iterator[None]:
        assert not running
        running.append(step)
        yield
        running.clear()
        measured.append((step, party))

    decoded(Rehearsal(*throw_away_parties(PARTNERS, os.urandom), WORDS, measure=measure))
    steps = (Step.ADVERTISE_KEYS, Step.SHARE_KEYS, *ROUND, Step.FINISH)
    assert set(measured) == {(step, party) for step in steps for party in (*VALUES, COORDINATOR)} - {(Step.FINISH, COORDINATOR)}


def test_a_masked_sum_can_be_decoded_by_one_partner_after_the_other_and_not_after_it_was_changed() -> None:
    rehearsal = Rehearsal(*throw_away_parties(PARTNERS, os.urandom), WORDS)
    rehearsal.set_up()
    collection = rehearsal.collect(write)
    rehearsal.agree(collection)
    masked_sum = rehearsal.reveal(collection)
    assert np.array_equal(rehearsal.decode(1, collection, masked_sum), rehearsal.decode(2, collection, masked_sum))
    masked_sum[0] += 1
    with pytest.raises(AlteredSumError):
        rehearsal.decode(3, collection, masked_sum)


def test_parties_are_new_each_time() -> None:
    (_, first), (_, second) = (throw_away_parties(3, os.urandom) for _ in range(2))
    publics = [partner.identity.public for partners in (first, second) for partner in partners.values()]
    assert all(isinstance(partner, Participant) for partner in first.values())
    assert len(set(publics)) == 6
