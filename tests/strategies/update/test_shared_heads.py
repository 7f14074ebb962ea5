"""Slots of shared heads in the words of an update, and the momentum of what comes back: against whole numbers, value by value."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg.errors import SumOutOfRangeError
from strategies.update.codec import UpdateCodec
from strategies.update.quantise import next_range
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError, no_trunk
from strategies.update.velocity import Velocity
from strategies.update.verdict import PendingSum, judge

BITS, SLOTS, WIDTH = 5, 4, 3
SHAPES = ((BITS, 2), (2,), (SLOTS, WIDTH))
RANGE = 0.25
DIGEST = b"d" * 32
lists = st.lists(st.booleans(), min_size=BITS + SLOTS, max_size=BITS + SLOTS).map(np.array)


def form_of(listed: np.ndarray, word_bits: int = 32, partners: int = 5, largest_weight: int = 4) -> UpdateCodec:
    return UpdateCodec(SHAPES, listed, word_bits, partners, largest_weight)


def trunk_of(listed: np.ndarray) -> SharedTrunk:
    arrays = [np.ones(SHAPES[0], dtype=np.float32), np.ones(SHAPES[1], dtype=np.float32), np.zeros(SHAPES[2], dtype=np.float32)]
    return no_trunk(RANGE).with_rows(listed, b"s" * 32).starting_with(arrays)


def everything() -> np.ndarray:
    return np.ones(BITS + SLOTS, dtype=np.bool_)


def words_of(
    trunk: SharedTrunk, form: UpdateCodec, trained: list[np.ndarray], sent: np.ndarray, weight: int = 1, seed: int = 0
) -> np.ndarray:
    words = np.full(form.words, 9, dtype=f"<u{form.word_bits // 8}")
    trunk.encode(form, trained, sent, words, seed, weight)
    return words


def signed(words: np.ndarray) -> np.ndarray:
    return words.view(f"<i{words.itemsize}")


def updates(random: np.random.Generator, unit: float, largest: int) -> list[np.ndarray]:
    """So many units each, so that rounding leaves them as they are."""
    return [(random.integers(-largest, largest, shape, endpoint=True) * unit).astype(np.float32) for shape in SHAPES]


class Party:
    """One partner of a made-up consortium: its weight, and what of it may leave."""

    def __init__(self, weight: int, support: np.ndarray) -> None:
        self.weight, self.support = weight, support


parties = st.lists(st.builds(Party, st.sampled_from([1, 2, 4]), lists), min_size=1, max_size=5)


def means(
    trunk: SharedTrunk, form: UpdateCodec, learned: list[list[np.ndarray]], who: list[Party]
) -> list[dict[tuple[int, ...], Fraction]]:
    """The mean of each value that is listed, over those who have a part in it, as it should be; none of a head that too few have."""
    unit = Fraction(form.quantiser(trunk.value_range).step)
    found: list[dict[tuple[int, ...], Fraction]] = []
    for place, shape in enumerate(SHAPES):
        exact: dict[tuple[int, ...], Fraction] = {}
        for at in np.ndindex(*shape):
            slot = BITS + at[0] if place == 2 else at[0]
            if place != 1 and not trunk.rows[slot]:
                continue
            present = [
                (each.weight, update[place][at]) for each, update in zip(who, learned, strict=True) if place != 2 or each.support[slot]
            ]
            if sum(weight for weight, _ in present) >= (3 if place == 2 else 1):
                total = sum(weight * Fraction(float(value)) / unit for weight, value in present)
                assert total.denominator == 1
                exact[at] = Fraction(float(np.float32(int(total)) * np.float32(float(unit) / sum(weight for weight, _ in present))))
        found.append(exact)
    return found


@given(lists, parties, st.sampled_from([16, 32]), st.sampled_from([0.0, 0.5, 0.75]), st.integers(0, 99))
def test_a_slot_is_averaged_over_those_who_have_a_part_in_it_and_moves_with_momentum(
    listed: np.ndarray, who: list[Party], word_bits: int, momentum: float, seed: int
) -> None:
    """Two rounds, bit for bit."""
    form, trunk, random = form_of(listed, word_bits), trunk_of(listed), np.random.default_rng(seed)
    speed: list[dict[tuple[int, ...], np.float32]] = [{} for _ in SHAPES]
    for _ in range(2):
        # A new trunk is taken for each round, of values so large that every difference is exact.
        quantiser = form.quantiser(trunk.value_range)
        learned = [updates(random, quantiser.step, 7) for _ in who]
        base = [np.zeros_like(array) for array in trunk.arrays]
        trunk = replace(trunk, arrays=base)
        words = [
            words_of(trunk, form, update, each.support & listed, each.weight, seed)
            for seed, (update, each) in enumerate(zip(learned, who, strict=True))
        ]
        sums = signed(np.sum(words, axis=0).astype(f"<u{word_bits // 8}"))
        accepted = judge(trunk.pending(form, sums, len(who)))
        wanted = means(trunk, form, learned, who)
        largest = max(abs(float(mean)) for exact in wanted for mean in exact.values())
        assert (accepted.largest, accepted.clipped, accepted.weight) == (largest, 0, sum(each.weight for each in who))
        before = trunk.value_range
        trunk = trunk.adding(accepted, 1.0, momentum)
        assert trunk.value_range == next_range(before, largest, 0, form.coordinates, len(who))
        for array, exact, moved in zip(trunk.arrays, wanted, speed, strict=True):
            for at in np.ndindex(*array.shape):
                if at in exact:
                    moved[at] = np.float32(momentum) * moved.get(at, np.float32(0)) + np.float32(exact[at])
                assert array[at] == (moved[at] if at in exact else 0)


@given(lists, lists, st.integers(0, 99))
def test_of_slots_in_which_a_partner_has_no_part_nothing_leaves_whatever_it_trained(
    listed: np.ndarray, support: np.ndarray, seed: int
) -> None:
    form, trunk, random, sent = form_of(listed), trunk_of(listed), np.random.default_rng(seed), support & listed
    trained = [array + random.normal(size=array.shape).astype(np.float32) / 16 for array in trunk.arrays]
    words = words_of(trunk, form, trained, sent, weight=2)
    elsewhere = [array.copy() for array in trained]
    elsewhere[2][~sent[BITS:]] = np.nan
    assert np.array_equal(words, words_of(trunk, form, elsewhere, sent, weight=2))
    blocks = form.blocks(words)
    assert blocks[:, -1].tolist() == (2 * sent[BITS:][form.slots]).tolist()
    assert not blocks[~sent[BITS:][form.slots]].any()


def test_the_words_of_slots_lie_between_the_arrays_and_the_counters_each_with_its_presence_behind() -> None:
    listed = np.array([True, False, True, False, False, False, True, False, True])
    form, trunk = form_of(listed, partners=3, largest_weight=1), trunk_of(listed)
    trained = [array.copy() for array in trunk.arrays]
    unit = form.quantiser(RANGE).step
    trained[2][:] = np.arange(12, dtype=np.float32).reshape(4, 3) * np.float32(unit)
    sent = listed & np.array([True] * (BITS + 3) + [False])
    words = words_of(trunk, form, trained, sent)
    assert words.tolist() == [0] * (2 * 2 + 2) + [3, 4, 5, 1] + [0, 0, 0, 0] + [1, 0, 0, 0]
    assert (form.dense, form.coordinates, form.words) == (6, 12, 18)


def test_without_slots_words_are_what_they_were() -> None:
    """Digits that an earlier version computed."""
    form = UpdateCodec(((3, 2), (2,)), np.array([True, False, True]), 32, partners=3)
    trunk = no_trunk(RANGE).with_rows(form.listed, b"s" * 32)
    trunk = trunk.starting_with([np.ones((3, 2), dtype=np.float32), np.ones(2, dtype=np.float32)])
    words = np.zeros(form.words, dtype=np.uint32)
    trained = [array + np.float32(0.01) * (1 + np.arange(array.size, dtype=np.float32).reshape(array.shape)) for array in trunk.arrays]
    trunk.encode(form, trained, form.listed, words, seed=5)
    assert signed(words).tolist() == [335544, 671088, 1677720, 2013264, 335544, 671088, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "slot"),
    [
        pytest.param((0, 3, 3), 0, id="a weight that the partners do not have"),
        pytest.param((0, 3, -1), 0, id="a weight below none"),
        pytest.param((1, 0, 1), 2, id="a value in a slot in which nobody has a part"),
        pytest.param((2, 1, 2 * ((1 << 23) - 1)), 3, id="a value that the one who has a part cannot reach"),
        pytest.param((2, 2, -(1 << 31)), 3, id="the value whose negative there is not"),
    ],
)
def test_a_slot_that_no_allowed_words_have_is_refused(change: tuple[int, int, int], slot: int) -> None:
    listed = np.array([True] * BITS + [True, False, True, True])
    form, trunk = form_of(listed, partners=2, largest_weight=1), trunk_of(listed)
    both = np.array([True] * BITS + [True, False, False, True]), np.array([True] * BITS + [True, False, False, False])
    sums = sum(words_of(trunk, form, [array + np.float32(0.1) for array in trunk.arrays], sent) for sent in both)
    pending = trunk.pending(form, signed(np.asarray(sums)), 2)
    judge(pending)
    row, column, value = change
    form.blocks(pending.words)[row, column] = value
    with pytest.raises(SumOutOfRangeError, match=rf"^slot {slot} of a sum over 2 partners .*: a partner left the range$"):
        judge(pending)


def test_what_is_sent_says_so_for_every_row_and_slot() -> None:
    form, trunk = form_of(everything()), trunk_of(everything())
    with pytest.raises(ValueError, match=r"a list of \(5,\), not of \(9,\)"):
        words_of(trunk, form, trunk.arrays, everything()[:BITS])


# Momentum


def summed(trunk: SharedTrunk, change: float, momentum: float = 0.5, without: int = 0, slot: int = -1) -> SharedTrunk:
    """After a sum of four partners who moved every value by so much, as many of them `without` a part in one slot."""
    form = form_of(trunk.rows, partners=4, largest_weight=1)
    trained, others = [array + np.float32(change) for array in trunk.arrays], trunk.rows.copy()
    others[slot] = False
    words = [words_of(trunk, form, trained, others if seed < without else trunk.rows, seed=seed) for seed in range(4)]
    return trunk.adding(judge(trunk.pending(form, signed(np.sum(words, axis=0, dtype=words[0].dtype)), 4)), 1.0, momentum).named(b"b" * 32)


@given(lists, lists, lists)
def test_a_list_under_which_nothing_was_added_leaves_no_trace(first: np.ndarray, between: np.ndarray, last: np.ndarray) -> None:
    """Partners that were away while the others agreed on it hold the same trunk, and must go on with the same velocity."""
    one, other = (summed(trunk_of(first), 0.125) for _ in range(2))
    one = summed(one.with_rows(between, b"a" * 32).with_rows(last, b"b" * 32), 0.125)
    other = summed(SharedTrunk.from_bytes(other.to_bytes()).with_rows(last, b"b" * 32), 0.125)
    assert one.to_bytes() == other.to_bytes()


@given(lists, lists)
def test_what_was_not_listed_in_the_last_sum_begins_anew(first: np.ndarray, then: np.ndarray) -> None:
    moved = summed(summed(trunk_of(first), 0.125).with_rows(then, b"b" * 32), 0.125)
    form = form_of(then)
    expected = np.concatenate(
        [
            np.repeat(np.where(first[:BITS], 0.1875, 0.125)[form.rows], 2),
            [0.1875] * 2,
            np.repeat(np.where(first[BITS:], 0.1875, 0.125)[form.slots], 3),
        ]
    )
    assert moved.velocity.values.tolist() == expected.tolist()
    assert moved.velocity.rows.tolist() == then.tolist()


def test_without_momentum_there_is_no_velocity_in_memory_or_in_a_file(tmp_path: Path) -> None:
    trunk = summed(trunk_of(everything()), 0.125, momentum=0.0)
    assert len(trunk.velocity.values) == 0
    assert b"velocity" not in trunk.to_bytes()
    trunk.check(SHAPES, SLOTS, 0.0)


@pytest.mark.parametrize(
    ("holders", "moved", "velocity"), [(4, 0.1875, 0.1875), (3, 0.1875, 0.1875), (2, 0, 0.125), (1, 0, 0.125), (0, 0, 0.125)]
)
def test_a_shared_head_of_which_fewer_than_three_holders_are_left_stays_where_it_is_and_keeps_its_velocity(
    holders: int, moved: float, velocity: float
) -> None:
    trunk = summed(trunk_of(everything()), 0.125)
    before = trunk.arrays[2].copy()
    following = summed(trunk, 0.125, without=4 - holders)
    assert (following.arrays[2] - before).tolist() == [[0.1875] * WIDTH] * 3 + [[moved] * WIDTH]
    assert following.velocity.values[-WIDTH:].tolist() == [velocity] * WIDTH


def test_a_shared_head_of_which_too_few_holders_are_left_says_nothing_of_the_next_range() -> None:
    form, trunk = form_of(everything(), partners=4, largest_weight=1), trunk_of(everything())
    trained = [array.copy() for array in trunk.arrays]
    trained[2][1] = 0.2
    alone = trunk.rows & (np.arange(BITS + SLOTS) != BITS + 1)
    words = sum(words_of(trunk, form, trained, trunk.rows if partner < 2 else alone) for partner in range(4))
    pending = trunk.pending(form, signed(np.asarray(words)), 4)
    assert (judge(pending).largest, pending.few) == (0.0, {1: 2})
    assert judge(trunk.pending(form, pending.words, 4, holders=2)).largest == pytest.approx(0.2, abs=1e-6), "who looks can read it"


def test_the_velocity_reads_back_as_it_was_written_and_can_be_added_to(tmp_path: Path) -> None:
    trunk = summed(trunk_of(everything()), 0.125)
    trunk.write(tmp_path / "shared.safetensors")
    for copied in (SharedTrunk.read(tmp_path / "shared.safetensors"), SharedTrunk.from_bytes(trunk.to_bytes())):
        copied.check(SHAPES, SLOTS, 0.5)
        assert copied.to_bytes() == trunk.to_bytes()
        assert summed(copied, 0.125).version == 2


@pytest.mark.parametrize(
    ("velocity", "momentum"),
    [
        pytest.param(Velocity(), 0.5, id="none where there is momentum"),
        pytest.param(Velocity(everything(), np.zeros(24, dtype=np.float32)), 0.0, id="one where there is no momentum"),
        pytest.param(Velocity(everything(), np.zeros(23, dtype=np.float32)), 0.5, id="of another length"),
        pytest.param(Velocity(everything()[:BITS], np.zeros(12, dtype=np.float32)), 0.5, id="of a list without slots"),
        pytest.param(Velocity(everything(), np.zeros(24)), 0.5, id="of another type"),
        pytest.param(Velocity(everything(), np.full(24, np.nan, dtype=np.float32)), 0.5, id="not finite"),
    ],
)
def test_a_handed_over_velocity_that_this_experiment_cannot_have_is_refused(velocity: Velocity, momentum: float) -> None:
    trunk = replace(summed(trunk_of(everything()), 0.125), velocity=velocity)
    with pytest.raises(TrunkFileError):
        trunk.check(SHAPES, SLOTS, momentum)


def test_a_list_without_the_experiments_slots_is_refused() -> None:
    trunk = replace(trunk_of(everything()), rows=np.ones(BITS, dtype=np.bool_))
    with pytest.raises(TrunkFileError, match="not of 9 rows"):
        trunk.check(SHAPES, SLOTS, 0.5)


def test_sums_of_the_largest_weights_and_values_of_all_partners_do_not_wrap() -> None:
    for word_bits, partners, weight in ((32, 5, 4), (16, 5, 4), (16, 1000, 4), (32, 1000, 256)):
        form = form_of(everything(), word_bits, partners, weight)
        quantiser = form.quantiser(RANGE, weight)
        sums = np.zeros(form.words, dtype=quantiser.sum_type)
        form.blocks(sums)[:, :-1] = partners * quantiser.largest
        form.blocks(sums)[:, -1] = partners * weight
        assert form.blocks(sums)[0].tolist() == [partners * quantiser.largest] * WIDTH + [partners * weight]
        pending = PendingSum(form, sums, partners, RANGE)
        assert pending.presences.tolist() == [partners * weight] * SLOTS
