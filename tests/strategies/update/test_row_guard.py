"""The row guard: bits that few compounds hold, or few partners, stay at home."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strategies.update.row_guard import listed, support

BITS = 12


def csr(compounds: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.cumsum([0, *map(len, compounds)], dtype=np.int64)
    return indptr, np.array([bit for bits in compounds for bit in sorted(bits)], dtype=np.int32)


@given(compounds=st.lists(st.sets(st.integers(0, BITS - 1)), min_size=1, max_size=30), least=st.integers(2, 5), data=st.data())
def test_a_bit_is_supported_if_enough_of_the_chosen_compounds_hold_it(compounds: list[set[int]], least: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(compounds) - 1), max_size=40))
    mask = support(*csr(compounds), np.array(rows, dtype=np.int64), BITS, least)
    holders = [sum(bit in compounds[row] for row in set(rows)) for bit in range(BITS)]
    assert mask.dtype == np.bool_
    assert mask.tolist() == [count >= least for count in holders]


def test_compounds_outside_the_rows_do_not_count() -> None:
    indptr, indices = csr([{1, 2}, {1}, {1, 3}])
    assert np.flatnonzero(support(indptr, indices, np.array([0, 2]), BITS, 2)).tolist() == [1]
    assert np.flatnonzero(support(indptr, indices, np.array([0]), BITS, 2)).tolist() == []


def test_a_guard_of_one_lets_every_bit_pass() -> None:
    for least in (1, 0):
        assert support(*csr([{1}, set()]), np.array([0]), BITS, least).tolist() == [True] * BITS


def test_no_two_bits_of_one_compound_alone_get_through() -> None:
    """What the guard is for: the bits of a compound that no other one shares."""
    indptr, indices = csr([{0, 1, 2}, {0, 3, 4}, {0, 3, 5}])
    assert np.flatnonzero(support(indptr, indices, np.arange(3), BITS, 2)).tolist() == [0, 3]


@given(masks=st.lists(st.lists(st.booleans(), min_size=BITS + 3, max_size=BITS + 3), min_size=1, max_size=6), least=st.integers(2, 5))
def test_a_row_is_listed_with_as_many_supporters_as_agreed_and_a_shared_head_never_with_fewer_than_three(
    masks: list[list[bool]], least: int
) -> None:
    may_leave = listed(np.sum(np.array(masks, dtype=np.int32), axis=0), BITS, least)
    assert may_leave.dtype == np.bool_
    held = [sum(mask[place] for mask in masks) for place in range(BITS + 3)]
    assert may_leave.tolist() == [count >= least for count in held[:BITS]] + [count >= max(3, least) for count in held[BITS:]]


def test_what_two_partners_have_is_not_listed_nor_is_a_shared_head_of_two_where_rows_of_two_are() -> None:
    counts = np.array([0, 1, 2, 3, 10, 0, 1, 2, 3])
    assert listed(counts, 5, 3).tolist() == [False, False, False, True, True, False, False, False, True]
    assert listed(counts, 5, 2).tolist() == [False, False, True, True, True, False, False, False, True]
