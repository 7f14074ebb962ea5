"""The decoded sum is the plain sum over the survivors, to the last bit, whoever drops out and whenever."""

import itertools
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from strategies.secagg.errors import RoundAbandonedError
from strategies.secagg.messages import LastRound
from strategies.secagg.phases import Step
from strategies.secagg.repetition import RepetitionLimits
from tests.helpers.sweeps import examples
from tests.strategies.secagg.parties import Parties, roster_of

WIDTH = 24  # sums that one round makes
NUMBERS = itertools.count()
# Where a partner's messages of a round get lost, and on which way.
FATES = [None, *((step, way) for step in (Step.COLLECT, Step.CONSISTENCY, Step.UNMASK) for way in ("down", "up"))]


@dataclass(frozen=True)
class Consortium:
    """Who could take part in a session, and who does.

    Attributes:
        silent, mute: Partners that did not advertise, and that advertised but contributed no keys.
    """

    count: int
    threshold: int
    minimum: int
    word_bits: int
    silent: tuple[int, ...]
    mute: tuple[int, ...]


@cache
def session(held: Consortium) -> Parties:
    """A session that is set up; rounds of many tests use it one after the other, abandoned ones too."""
    lost = dict.fromkeys(held.silent, Step.ADVERTISE_KEYS) | dict.fromkeys(held.mute, Step.SHARE_KEYS)
    roster = roster_of(held.count, held.threshold, held.minimum)
    parties = Parties(roster, held.word_bits, restarting=False)
    parties.down = lambda step, index, message: None if lost.get(index) is step else message
    for site in parties.sites.values():  # all rounds here are tries of the first one
        site.participant.policy = replace(site.participant.policy, repetition=RepetitionLimits(10**6, 10**6, 10**6))
    parties.set_up()
    return parties


def consortia() -> list[Consortium]:
    """Of every size: few enough that their sessions are set up once for many examples."""
    found = []
    for count in range(3, 9):
        majority, usual = count // 2 + 1, 2 * count // 3 + 1
        spare = count - max(usual, 3)
        for word_bits in (16, 32):
            found += [Consortium(count, usual, 3, word_bits, (), ()), Consortium(count, count, 3, word_bits, (), ())]
        found.append(Consortium(count, majority, min(count, max(majority + 1, 3)), 32, (), ()))
        found.append(Consortium(count, usual, 3, 16, (1,) if spare else (), (count,) if spare > 1 else ()))
    return found


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Consortium, dict[int, object], int]:
    """A consortium, the fate of each partner of a cohort, and a seed for their inputs."""
    held = draw(st.sampled_from(consortia()))
    members = [index for index in range(1, held.count + 1) if index not in held.silent + held.mute]
    cohort = draw(st.lists(st.sampled_from(members), unique=True, min_size=max(held.threshold, held.minimum), max_size=len(members)))
    fates = draw(st.lists(st.sampled_from(FATES), min_size=len(cohort), max_size=len(cohort)))
    if draw(st.booleans()):  # at most as many drop out as may
        fates[max(held.threshold, held.minimum) :] = fates[: len(cohort) - max(held.threshold, held.minimum)]
        fates[: max(held.threshold, held.minimum)] = [None] * max(held.threshold, held.minimum)
    return held, dict(zip(sorted(cohort), draw(st.permutations(fates)), strict=True)), draw(st.integers(0, 2**32 - 1))


def inputs_for(cohort: list[int], word_bits: int, seed: int) -> dict[int, np.ndarray]:
    """Columns of every kind whose sum does not wrap, though their parts reach the limits of a word."""
    random, limit = np.random.default_rng(seed), 2 ** (word_bits - 1)
    share = (limit - 1) // len(cohort)
    columns = np.zeros((len(cohort), WIDTH), dtype=np.int64)
    for column in range(WIDTH):
        one = random.integers(len(cohort))
        kind = random.integers(6)
        if kind == 0:  # one partner at a limit, or one hot
            columns[one, column] = random.choice([-limit, limit - 1, 1, -1])
        elif kind == 1:  # all at their limit together
            columns[:, column] = random.choice([-share, share])
        elif kind == 2:  # limits that cancel
            columns[one, column], columns[one - 1, column] = limit - 1, -limit
        elif kind == 3:  # weights as powers of two
            columns[:, column] = share >> random.integers(0, word_bits, len(cohort))
        else:
            columns[:, column] = random.integers(-share, share, len(cohort), endpoint=True)
    return {index: columns[place] for place, index in enumerate(cohort)}


def signed_sum(values: list[np.ndarray], word_bits: int) -> np.ndarray:
    """In plain 64-bit integers, which must fit the word."""
    total = np.sum(values, axis=0)
    assert np.all((-(2 ** (word_bits - 1)) <= total) & (total < 2 ** (word_bits - 1)))
    return total


def lost(fates: dict[int, object], *steps: Step) -> list[int]:
    """Partners whose reply to one of these steps does not arrive."""
    return [index for index, fate in fates.items() if isinstance(fate, tuple) and fate[0] in steps]


@examples(500, suppress_health_check=[HealthCheck.too_slow])
@given(rounds())
def test_the_sum_is_exact_or_the_round_is_abandoned(case: tuple[Consortium, dict[int, object], int]) -> None:
    held, fates, seed = case
    parties = session(held)
    parties.down = lambda step, index, message: None if fates[index] == (step, "down") else message
    parties.up = lambda step, index, message: None if fates[index] == (step, "up") else message
    inputs = inputs_for(sorted(fates), held.word_bits, seed)
    shown = {index: np.array([index, -(2**12)]) for index in fates}
    survivors = [index for index in fates if index not in lost(fates, Step.COLLECT)]
    revealing = [index for index in survivors if index not in lost(fates, Step.CONSISTENCY, Step.UNMASK)]
    enough = len(survivors) >= max(held.threshold, held.minimum) and len(revealing) >= held.threshold
    try:
        collection = parties.collect(next(NUMBERS), inputs, shown)
        parties.agree(collection)
        blinded, public = parties.reveal(collection)
    except RoundAbandonedError:
        assert not enough
        return
    assert enough
    assert collection.survivors == tuple(survivors)
    joined = [index for index, site in parties.sites.items() if site.participant.state.session is not None]
    site = parties.sites[joined[seed % len(joined)]]
    decoded = site.participant.finish(LastRound(collection.number, collection.survivors, False), blinded, site.basis())
    assert np.array_equal(decoded, signed_sum([inputs[index] for index in survivors], held.word_bits))
    assert np.array_equal(public.view(f"<i{held.word_bits // 8}"), np.sum([shown[index] for index in survivors], axis=0))


@pytest.mark.parametrize("word_bits", [16, 32])
@pytest.mark.parametrize("lost_one", [None, 1, 2, 5])
def test_one_hot_inputs_show_who_is_in_the_sum_and_that_each_is_in_it_once(word_bits: int, lost_one: int | None) -> None:
    parties = Parties(
        roster_of(5), word_bits, up=lambda step, index, message: None if (step, index) == (Step.COLLECT, lost_one) else message
    )
    parties.set_up()
    decoded = parties.round(0, {index: np.eye(5, dtype=np.int64)[index - 1] for index in parties.sites})
    expected = [int(index != lost_one) for index in parties.sites]
    assert all(total.tolist() == expected for total in decoded.values())
    assert len({site.trunk for site in parties.sites.values()}) == 1


def test_rounds_follow_each_other_with_the_same_inputs_and_other_words() -> None:
    parties = Parties(roster_of(3))
    parties.set_up()
    inputs = {index: np.arange(9) for index in parties.sites}
    for number in (0, 1, 5):
        assert all(total.tolist() == list(range(0, 27, 3)) for total in parties.round(number, inputs).values())


@pytest.mark.parametrize("length", [1, 2047, 2048, 2049, 70_000])
def test_vectors_of_any_length(length: int) -> None:
    parties = Parties(roster_of(3), word_bits=16)
    parties.set_up()
    random = np.random.default_rng(length)
    inputs = {index: random.integers(-10_000, 10_000, length) for index in parties.sites}
    assert np.array_equal(parties.round(0, inputs)[2], sum(inputs.values()))


def test_the_largest_consortium_of_the_tests_in_one_go() -> None:
    parties = Parties(roster_of(12))
    parties.set_up()
    inputs = {index: np.full(3, -(2**31 // 12)) for index in parties.sites}
    assert all(total.tolist() == [-12 * (2**31 // 12)] * 3 for total in parties.round(0, inputs).values())
