"""A masked sum among throw-away partners, in memory: the whole protocol of a round, with the site's own numbers and libraries."""

import os
import secrets
import time
from dataclasses import dataclass

import numpy as np

from fedapp.errors import RunError
from strategies.secagg.phases import Step
from strategies.secagg.rehearsal import Rehearsal, Transmission, throw_away_parties
from strategies.secagg.roster import Roster

WORDS = 4096


@dataclass(frozen=True)
class ProtocolTrial:
    """What was tried: partners, the one that dropped out (0 for nobody), and seconds."""

    partners: int
    dropped: int
    seconds: float


def trial_sum(like: Roster, word_bits: int) -> ProtocolTrial:
    """Sum random vectors of as many partners as `like` has, with its threshold; one drops out if it may.

    Raises:
        RunError: The sum is wrong.
        SecAggError: A step of the protocol failed.
    """
    started = time.monotonic()
    count = len(like.members)
    coordinator, partners = throw_away_parties(count, os.urandom, threshold=like.threshold, minimum=like.minimum, word_bits=word_bits)
    dropped = secrets.choice(tuple(partners)) if count > like.least() else 0
    largest = ((1 << (word_bits - 1)) - 1) // count
    values = {index: np.random.default_rng().integers(-largest, largest, WORDS, endpoint=True) for index in partners}

    def lose_one_input(sent: Transmission) -> bool:
        return not (sent.step is Step.COLLECT and sent.upward and sent.partner == dropped)

    def write(index: int, words: np.ndarray) -> None:
        words[:] = values[index].astype(words.dtype)

    rehearsal = Rehearsal(coordinator, partners, WORDS, carry=lose_one_input)
    rehearsal.set_up()
    collection = rehearsal.collect(write)
    rehearsal.agree(collection)
    masked_sum = rehearsal.reveal(collection)
    expected = sum(values[index] for index in collection.survivors)
    for index in collection.survivors:
        if not np.array_equal(rehearsal.decode(index, collection, masked_sum), expected):
            raise RunError("a masked sum among throw-away partners came out wrong", "install the package anew: a library is damaged")
    return ProtocolTrial(count, dropped, time.monotonic() - started)
