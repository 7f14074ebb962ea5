"""A masked sum among throw-away partners, in memory: the whole protocol of a round, with the site's own numbers and libraries."""

import hashlib
import os
import secrets
import time
from dataclasses import dataclass

import numpy as np

from fedapp.errors import RunError
from strategies.secagg.collection import Collection
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.identity import Identity
from strategies.secagg.keystream import DTYPES
from strategies.secagg.masking import tag_words
from strategies.secagg.messages import NO_TRUNK, LastRound, SessionParameters
from strategies.secagg.participant import Participant
from strategies.secagg.policy import Policy
from strategies.secagg.roster import Member, Roster

WORDS = 4096
NUMBER, VERSION = 1, 0
CONTENT = hashlib.sha256(b"a trial has no trunk").digest()


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
    identities = [Identity.generate() for _ in like.members]
    members = tuple(Member(index, f"trial {index}", each.public) for index, each in enumerate(identities, 1))
    roster = Roster("trial", like.threshold, like.minimum, members)
    zeros, layout = bytes(32), "trial"
    parameters = SessionParameters(roster.digest(), zeros, layout, word_bits, 0, 1, (), os.urandom(32))
    policy = Policy(roster.digest(), zeros, layout, (word_bits,), 0, 1, (), like.minimum)
    partners = {index: Participant(each, roster, policy, os.urandom) for index, each in enumerate(identities, 1)}
    coordinator = Coordinator(roster, parameters)
    _agree_on_keys(coordinator, partners)
    dropped = secrets.choice(tuple(partners)) if len(members) > roster.least() else 0
    _one_round(coordinator, partners, dropped)
    return ProtocolTrial(len(members), dropped, time.monotonic() - started)


def _agree_on_keys(coordinator: Coordinator, partners: dict[int, Participant]) -> None:
    for partner in partners.values():
        coordinator.add_advertisement(partner.advertise(coordinator.advertise_request(), VERSION, NO_TRUNK))
    for index, partner in partners.items():
        coordinator.add_contributions(index, partner.share_keys(coordinator.share_keys_request()))


def _one_round(coordinator: Coordinator, partners: dict[int, Participant], dropped: int) -> None:
    """Mask, agree, unmask and decode; the words of `dropped` get lost.

    Raises:
        RunError: Some partner decodes another sum than that of what survived.
    """
    bits = coordinator.parameters.word_bits
    largest = ((1 << (bits - 1)) - 1) // len(partners)
    values = {index: np.random.default_rng().integers(-largest, largest, WORDS, endpoint=True) for index in partners}
    collection = Collection(coordinator, NUMBER, coordinator.members())
    for index, partner in partners.items():
        request = coordinator.collect_request(index, NUMBER, collection.cohort, False, VERSION, None, None)
        partner.collect(request)
        words = np.append(values[index], np.zeros(tag_words(partner.session), np.int64)).astype(DTYPES[bits])
        reply = partner.mask(request, partner.trunk_name(CONTENT), words, np.zeros(0, DTYPES[bits]))
        if index != dropped:
            collection.add_input(index, reply, words)
    request = collection.consistency_request()
    for index in collection.survivors:
        collection.add_signature(index, partners[index].confirm(request))
    for index in collection.signers():
        collection.add_answer(index, partners[index].unmask(collection.unmask_request(index)))
    blinded, _ = collection.unmask()
    expected = sum(values[index] for index in collection.survivors)
    last = LastRound(NUMBER, collection.survivors, False)
    for index in collection.survivors:
        sums, _ = partners[index].finish(last, blinded.copy(), partners[index].trunk_name(CONTENT))
        if not np.array_equal(sums, expected):
            raise RunError("a masked sum among throw-away partners came out wrong", "install the package anew: a library is damaged")
