"""A decoded sum is pending until it passed every check; a refusal leaves words and trunk as they were."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg.errors import SumOutOfRangeError, SupportOutOfRangeError
from strategies.update import verdict
from strategies.update.shared_trunk import SharedTrunk, no_trunk
from strategies.update.verdict import PendingSum, judge, judge_supports
from tests.strategies.update.test_shared_trunk import SHAPES, form_of, signed, trunk_of, words_of

LARGEST = (1 << 23) - 1  # of the values in 32-bit words that three partners of weight 1 add, below 2^23
UPDATE = [np.full(shape, 0.2, dtype=np.float32) for shape in SHAPES]


def honest(survivors: int = 2, word_bits: int = 32) -> tuple[SharedTrunk, PendingSum]:
    """A trunk, and the sum of equal updates to it."""
    form, trunk = form_of([0, 3], word_bits), trunk_of([0, 3])
    words = words_of(form, trunk, UPDATE)
    return trunk, trunk.pending(form, signed(words * words.dtype.type(survivors)), survivors)


def altered(pending: PendingSum, place: int, value: int) -> PendingSum:
    words = pending.words.view(np.uint32).copy()
    words[place] = value
    return replace(pending, words=signed(words))


def test_the_checks_stand_in_the_order_in_which_they_rely_on_each_other() -> None:
    assert [check.__name__ for check in verdict.CHECKS] == ["_words", "_weight", "_range", "_slots"]


@pytest.mark.parametrize(
    ("survivors", "place", "value"),
    [
        pytest.param(2, "weight", 0, id="a weight of none"),
        pytest.param(2, "weight", 1, id="a weight below one for each partner"),
        pytest.param(2, "weight", 3, id="a weight above all partners'"),
        pytest.param(0, "weight", 0, id="a sum of nobody"),
        pytest.param(2, 0, 2 * LARGEST + 1, id="a value that two partners cannot reach"),
        pytest.param(2, 0, (1 << 32) - 2 * LARGEST - 1, id="a value that two partners cannot reach, below zero"),
        pytest.param(2, -1 - 4, 2 * LARGEST + 1, id="the last of the values"),
        pytest.param(2, 5, 1 << 31, id="the value whose negative there is not"),
    ],
)
def test_a_sum_that_no_allowed_words_have_is_refused_and_changes_nothing(survivors: int, place: int | str, value: int) -> None:
    trunk, pending = honest()
    wrong = replace(altered(pending, pending.codec.coordinates if isinstance(place, str) else place, value), survivors=survivors)
    trunk_before, words_before = trunk.to_bytes(), wrong.words.tobytes()
    with pytest.raises(SumOutOfRangeError, match=rf"a sum over {survivors} partners with weight \d+ .*: a partner left the range"):
        judge(wrong)
    assert (trunk.to_bytes(), wrong.words.tobytes()) == (trunk_before, words_before)


@pytest.mark.parametrize("value", [2 * LARGEST, (1 << 32) - 2 * LARGEST])
def test_the_outermost_values_that_two_partners_reach_are_accepted(value: int) -> None:
    _, pending = honest()
    judge(altered(pending, 0, value))


@pytest.mark.parametrize("words", [-1, 1, -9, None])
def test_a_sum_of_another_number_of_words_is_refused_before_anything_is_read_of_it(words: int | None) -> None:
    """Also one without a single word: what a counter would be is never asked."""
    _, pending = honest()
    whole = pending.words
    other = whole[:0] if words is None else np.append(whole, whole[:1]) if words > 0 else whole[:words]
    with pytest.raises(SumOutOfRangeError, match=f"^{len(other)} words, not {len(whole)}$"):
        judge(replace(pending, words=other))


def test_what_is_pending_or_accepted_has_changed_nothing_yet_and_adding_changes_in_place() -> None:
    trunk, pending = honest()
    before, arrays = trunk.to_bytes(), list(trunk.arrays)
    accepted = judge(pending)
    assert accepted is pending, "no second copy of a large sum"
    assert accepted.largest > 0
    assert trunk.to_bytes() == before
    following = trunk.adding(accepted, 1.0, 0.0)
    assert all(old is new for old, new in zip(arrays, following.arrays, strict=True)), "a large trunk is never there twice"
    assert following.to_bytes() != before


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 7, 11]), st.sampled_from([16, 32]))
def test_the_largest_magnitude_is_that_of_the_whole_mean_update_bit_for_bit(seed: int, weight: int, word_bits: int) -> None:
    """From the extremes alone, against the mean of every value."""
    form, random = form_of([0, 3], word_bits, partners=3, largest_weight=4), np.random.default_rng(seed)
    kind = np.int32 if word_bits == 32 else np.int16
    words = np.zeros(form.words, dtype=kind)
    bound = weight * form.quantiser(0.25).largest
    words[: form.coordinates] = random.integers(-bound, bound, size=form.coordinates, endpoint=True)
    words[form.coordinates] = weight
    accepted = judge(PendingSum(form, words, survivors=min(weight, 3), value_range=0.25))
    assert accepted.weight == weight
    assert accepted.largest == float(np.abs(form.quantiser(0.25).mean(accepted.dense, weight)).max())


def test_a_sum_is_judged_by_the_range_of_the_trunk_that_it_is_for() -> None:
    trunk = no_trunk(2.0).with_rows(np.ones(6, dtype=np.bool_), b"s" * 32)
    assert trunk.pending(form_of([0]), np.zeros(3, dtype=np.int32), 1).value_range == 2.0


# A row list


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=5))
def test_a_sum_of_row_lists_of_that_many_partners_is_accepted(lists: list[list[bool]]) -> None:
    judge_supports(np.sum(lists, axis=0, dtype=np.int32), bits=4, survivors=len(lists))


@pytest.mark.parametrize(("place", "named"), [(0, "row 0"), (3, "row 3"), (4, "slot 0"), (5, "slot 1")])
@given(survivors=st.integers(1, 100), beyond=st.integers(1, 1 << 31))
def test_more_supporters_of_a_row_or_slot_than_partners_prove_a_lie(place: int, named: str, survivors: int, beyond: int) -> None:
    """Also one so large that it looks negative."""
    supports = np.zeros(6, dtype=np.uint32)
    supports[place] = (survivors + beyond) & 0xFFFFFFFF
    for seen in (supports, supports.view(np.int32)):
        with pytest.raises(SupportOutOfRangeError, match=rf"^{named} has -?\d+ supporters among {survivors} partners"):
            judge_supports(seen, bits=4, survivors=survivors)
