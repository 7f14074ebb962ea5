"""Group masks: every partner's own, and yet their sum is little more than one stream."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import keys
from strategies.secagg.masking import group_masks
from strategies.secagg.session import Session
from tests.strategies.secagg.parties import parameters_for, roster_of

GROUP, NUMBER = b"g" * 32, 7
CHOICES = st.lists(st.integers(1, 50), min_size=3, max_size=12, unique=True).map(sorted).map(tuple)


def session_of(members: tuple[int, ...]) -> Session:
    return Session(parameters_for(roster_of(3)), b"s" * 32, members[0], members, (b"",) * len(members), GROUP, b"c" * 32, 0, b"t" * 32)


def times(members: tuple[int, ...], partners: tuple[int, ...]) -> list[int]:
    """How often the stream of each member is in the sum of the group masks of these partners."""
    plus, minus = group_masks(session_of(members), NUMBER, partners)
    seeds = [keys.group_seed(GROUP, NUMBER, member) for member in members]
    assert set(plus) | set(minus) <= set(seeds)
    return [plus.count(seed) - minus.count(seed) for seed in seeds]


@given(CHOICES, st.data())
def test_the_masks_of_several_partners_are_the_sum_of_their_own(members: tuple[int, ...], data: st.DataObject) -> None:
    partners = tuple(data.draw(st.lists(st.sampled_from(members), unique=True)))
    each = [times(members, (partner,)) for partner in partners]
    assert times(members, partners) == [sum(counts) for counts in zip([0] * len(members), *each, strict=True)]


@given(CHOICES, st.data())
def test_a_sum_over_all_takes_one_stream_and_each_gap_two_more_at_most(members: tuple[int, ...], data: st.DataObject) -> None:
    assert [abs(count) for count in times(members, members)] == [0] * (len(members) - 1) + [1]
    dropped = set(data.draw(st.lists(st.sampled_from(members), unique=True, max_size=len(members) - 1)))
    survivors = tuple(member for member in members if member not in dropped)
    gaps = sum(member in dropped and (place == 0 or members[place - 1] not in dropped) for place, member in enumerate(members))
    assert 1 <= sum(map(abs, times(members, survivors))) <= 1 + 2 * gaps


def test_masks_of_all_partners_together_are_as_random_as_their_streams() -> None:
    """Over words of two bits: every choice of masks of four partners comes from exactly one choice of streams."""
    members = (1, 3, 4, 9)
    rows = [times(members, (member,)) for member in members]
    masks = {
        tuple(sum(count * word for count, word in zip(row, words, strict=True)) % 4 for row in rows)
        for words in product(range(4), repeat=len(members))
    }
    assert len(masks) == 4 ** len(members)


@given(CHOICES, st.data())
def test_no_sum_over_partners_is_left_without_a_stream(members: tuple[int, ...], data: st.DataObject) -> None:
    partners = tuple(data.draw(st.lists(st.sampled_from(members), unique=True, min_size=1)))
    assert any(times(members, partners))
