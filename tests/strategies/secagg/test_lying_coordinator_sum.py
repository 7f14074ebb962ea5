"""Lies of the coordinator about the sum: altered, of another round, of other partners, or not the same for all."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from strategies.secagg.aggregate_check import PRIME
from strategies.secagg.digits import limb_bits
from strategies.secagg.errors import (
    AlteredSumError,
    MalformedMessageError,
    OldRoundError,
    OldSessionError,
    RepeatedPartnerError,
    SecAggError,
    SurvivorsDisagreeError,
    TooFewPartnersError,
    UnknownPartnerError,
)
from strategies.secagg.keystream import add_streams
from strategies.secagg.masking import group_masks
from strategies.secagg.messages import LastRound
from strategies.secagg.phases import Step
from strategies.secagg.state import State
from tests.strategies.secagg.parties import Site
from tests.strategies.secagg.stages import TRUNK, VALUES, VERSION, before, collecting, refused

LENGTH = 4 + 3  # words of the vector, words of the tag
ALL = (1, 2, 3, 4)


def refuses(site: Site, last: LastRound, words: np.ndarray, error: type[SecAggError] = AlteredSumError) -> None:
    """The partner keeps its trunk, and refuses the session."""
    held = site.trunk, site.version
    with refused(error, by=site.participant):
        site.finish(last, words)
    assert (site.trunk, site.version) == held


def test_the_honest_sum_is_accepted_by_survivors_and_by_those_who_dropped_out() -> None:
    at = before(Step.FINISH, dropped=(4,))
    for index in ALL:
        at.send(index)
        assert np.array_equal(at.parties.sites[index].decoded, sum(VALUES[survivor] for survivor in (1, 2, 3)))
    assert len({site.trunk for site in at.parties.sites.values()} - {TRUNK}) == 1


def test_the_honest_sum_is_accepted_by_a_partner_that_was_not_asked_to_sign() -> None:
    at = before(Step.CONSISTENCY)
    del at.requests[4]
    at = at.on()
    assert set(at.requests) == {1, 2, 3}, "nor is it asked to unmask"
    at = at.on()
    at.send(4)
    assert np.array_equal(at.parties.sites[4].decoded, sum(VALUES.values()))


def test_the_honest_sum_of_a_single_word_is_accepted() -> None:
    at = before(Step.COLLECT)
    for index, site in at.parties.sites.items():
        site.values = np.array([index])
    at = at.on().on().on()
    at.send(1)
    assert at.parties.sites[1].decoded.tolist() == [10]


def test_the_sum_of_a_round_that_was_asked_for_again_is_given_to_nobody_who_masked_for_it_again() -> None:
    """Or some could finish with one sum, and the others with the other one: both are genuine."""
    ended = before(Step.FINISH)
    again = collecting(ended.parties, 1).on()
    refuses(ended.parties.sites[1], ended.request().last, ended.beside, OldRoundError)
    again = again.on().on()
    refuses(ended.parties.sites[2], ended.request().last, ended.beside, OldRoundError)
    again.send(2)
    assert np.array_equal(again.parties.sites[2].decoded, sum(VALUES.values()))


def test_one_bit_anywhere() -> None:
    at = before(Step.FINISH)
    for word, bit in itertools.product(range(LENGTH), range(32)):
        altered = at.beside.copy()
        altered[word] ^= np.uint32(1 << bit)
        refuses(at.copy().parties.sites[1], at.request().last, altered)


def test_two_words_exchanged() -> None:
    at = before(Step.FINISH)
    for one, other in itertools.combinations(range(LENGTH), 2):
        altered = at.beside.copy()
        altered[[one, other]] = altered[[other, one]]
        refuses(at.copy().parties.sites[1], at.request().last, altered)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "without its last word": lambda words: words[:-1],
    "without its first word": lambda words: words[1:],
    "with one word and the tag": lambda words: np.append(words[:1], words[4:]),
    "with a word more at the end": lambda words: np.append(words, words[:1]),
    "with a zero more": lambda words: np.append(words, np.zeros(1, dtype=words.dtype)),
    "with a word more in the middle": lambda words: np.insert(words, 4, 0),
    "with a word more in front": lambda words: np.insert(words, 0, 0),
    "backwards": lambda words: words[::-1],
    "of zeros": np.zeros_like,
    "with something added": lambda words: words + np.array([1, 0, 0, 0, 0, 0, 0], dtype=words.dtype),
    "with one partner's update added again": lambda words: words + np.append(VALUES[1], [0, 0, 0]).astype(words.dtype),
    "with its sign changed": np.negative,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_sum_altered(change: Callable[[np.ndarray], np.ndarray]) -> None:
    at = before(Step.FINISH)
    refuses(at.parties.sites[1], at.request().last, change(at.beside))


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_sum_without_a_word_but_its_tag_is_no_message(length: int) -> None:
    at = before(Step.FINISH)
    refuses(at.parties.sites[1], at.request().last, at.beside[:length], MalformedMessageError)


@pytest.mark.parametrize(
    "other",
    [lambda words: words.view("<u2"), lambda words: words.astype(np.float32), lambda words: words[:, None], lambda words: words[None]],
    ids=["16-bit words", "floats", "a column", "a row"],
)
def test_what_is_no_vector_of_the_sessions_words(other: Callable[[np.ndarray], np.ndarray]) -> None:
    at = before(Step.FINISH)
    refuses(at.parties.sites[1], at.request().last, other(at.beside), MalformedMessageError)


def test_an_altered_sum_to_one_partner_alone() -> None:
    at = before(Step.FINISH)
    at.send(2)
    at.beside = at.beside + np.uint32(1)
    with refused(AlteredSumError, by=at.partner(1)):
        at.send(1)


def test_one_partners_masked_vector_added_twice() -> None:
    """Even if the coordinator knew all masks but the group's."""
    at = before(Step.FINISH)
    again = np.append(VALUES[1], [0, 0, 0]).astype("<u4")
    add_streams(again, *group_masks(at.partner(2).session, 0, (1,)))
    refuses(at.parties.sites[2], at.request().last, at.beside + again)


def test_a_sum_over_other_survivors_than_the_partner_signed() -> None:
    at = before(Step.FINISH, dropped=(4,))
    for survivors in (ALL, (1, 2, 4), (1, 2), (3, 2, 1), ()):
        site = at.copy().parties.sites[1]
        refuses(site, replace(at.request().last, survivors=survivors), at.beside, SurvivorsDisagreeError)


@pytest.mark.parametrize("survivors", [ALL, (1, 2, 4)])
def test_a_sum_over_other_survivors_to_a_partner_that_signed_none(survivors: tuple[int, ...]) -> None:
    at = before(Step.FINISH, dropped=(4,))
    refuses(at.parties.sites[4], replace(at.request().last, survivors=survivors), at.beside)


@pytest.mark.parametrize("survivors", [(), (1,), (1, 2)])
def test_a_sum_over_too_few_survivors_to_a_partner_that_signed_none(survivors: tuple[int, ...]) -> None:
    at = before(Step.FINISH, dropped=(4,))
    refuses(at.parties.sites[4], replace(at.request().last, survivors=survivors), at.beside, TooFewPartnersError)


@pytest.mark.parametrize("rows", [True, False])
def test_a_sum_of_nobody_which_has_no_masks_and_of_zeros_the_right_check(rows: bool) -> None:
    """Of partners that were asked to sign no survivors, so that they know of none."""
    at = before(Step.CONSISTENCY)
    refuses(at.parties.sites[1], LastRound(0, (), rows), np.zeros(LENGTH, dtype="<u4"), TooFewPartnersError)


@pytest.mark.parametrize(("survivors", "error"), [((1, 2, 3, 3), RepeatedPartnerError), ((1, 2, 3, 5), UnknownPartnerError)])
def test_survivors_that_cannot_be_to_a_partner_that_signed_none(survivors: tuple[int, ...], error: type[SecAggError]) -> None:
    at = before(Step.FINISH, dropped=(4,))
    refuses(at.parties.sites[4], replace(at.request().last, survivors=survivors), at.beside, error)


def test_a_sum_under_another_rounds_number() -> None:
    at = before(Step.FINISH)
    refuses(at.parties.sites[1], replace(at.request().last, number=1), at.beside)


def test_an_earlier_sum_in_place_of_the_last_one() -> None:
    earlier = before(Step.FINISH)
    at = earlier.copy().another_round().on().on().on()
    refuses(at.parties.sites[1], at.request().last, earlier.beside)
    refuses(at.parties.sites[2], earlier.request().last, earlier.beside, OldRoundError)
    refuses(at.parties.sites[2], replace(earlier.request().last, number=at.request().last.number), earlier.beside)


def test_the_last_sum_for_the_second_time() -> None:
    at = before(Step.FINISH)
    at.send(1)
    at.parties.sites[1].restart()
    refuses(at.parties.sites[1], at.request().last, at.beside)


def test_a_sum_to_a_partner_that_has_another_trunk_than_those_who_made_it() -> None:
    at = before(Step.FINISH)
    at.parties.sites[1].trunk = b"x" * 32
    refuses(at.parties.sites[1], at.request().last, at.beside)


def test_a_row_list_belongs_to_the_sessions_trunk_whatever_trunk_a_partner_has_by_then() -> None:
    at = before(Step.COLLECT)
    for site in at.parties.sites.values():
        site.listing = True
    at = at.on().on().on()
    for site in at.parties.sites.values():
        site.listing = False
    at.parties.sites[1].finish(replace(at.request().last, rows=True), at.beside)
    at.parties.sites[2].trunk = b"x" * 32
    at.parties.sites[2].finish(replace(at.request().last, rows=True), at.beside)
    refuses(at.parties.sites[3], replace(at.request().last, rows=True, number=1), at.beside)
    refuses(at.parties.sites[4], at.request().last, at.beside)


@pytest.mark.parametrize("times", [1, 3])
def test_a_tag_that_is_written_in_another_way_changes_no_name(times: int) -> None:
    """Modulo 2^61 - 1 it is the same tag, and nothing follows from how it was written."""
    at = before(Step.FINISH)
    at.send(1)
    width = limb_bits(32, len(ALL))
    assert (2 << 2 * width) - 1 == PRIME
    at.beside[-1] += np.uint32(2 * times)  # in three words of 30 bits: 2^61 more, and 1 less
    at.beside[-3] -= np.uint32(times)
    at.send(2)
    one, other = at.parties.sites[1], at.parties.sites[2]
    assert np.array_equal(one.decoded, other.decoded)
    assert one.trunk == other.trunk != TRUNK


def test_two_rounds_sums_in_one() -> None:
    earlier = before(Step.FINISH)
    at = earlier.copy().another_round().on().on().on()
    refuses(at.parties.sites[1], at.request().last, at.beside + earlier.beside)


def test_a_sum_of_another_session() -> None:
    at = before(Step.FINISH)
    with refused(OldSessionError, by=at.partner(1)):
        at.send(1, session=b"x" * 32)


def test_a_sum_before_there_is_a_session() -> None:
    site = before(Step.ADVERTISE_KEYS).parties.sites[1]
    refuses(site, LastRound(0, ALL, False), before(Step.FINISH).beside, OldSessionError)
    assert site.participant.state == State()
    assert site.version == VERSION
