"""What partners that work together find of another's rows: they take their own words off the sum, which every partner has."""

from collections.abc import Collection
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.update.codec import UpdateCodec
from strategies.update.row_guard import listed
from strategies.update.shared_trunk import no_trunk

BITS, WIDTH, PARTNERS = 6, 2, 5
SHAPES = ((BITS, WIDTH), (WIDTH,))
EVERYBODY = frozenset(range(PARTNERS))
supports = st.lists(st.lists(st.booleans(), min_size=BITS, max_size=BITS), min_size=PARTNERS, max_size=PARTNERS).map(np.array)


def words_of_all(support: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What each partner adds to the sum of one round: [partners, listed rows, width]; its own training in rows that it supports, else 0."""
    form = UpdateCodec(SHAPES, rows, 32, PARTNERS, 1)
    arrays = [np.zeros(shape, dtype=np.float32) for shape in SHAPES]
    trunk, random = no_trunk(0.25).with_rows(rows, b"s" * 32).starting_with(arrays), np.random.default_rng(0)
    words = np.zeros((PARTNERS, form.words), dtype="<u4")
    for partner, own in enumerate(support):
        trained = [np.where(own[:, None], random.uniform(0.01, 0.2, SHAPES[0]), 0).astype(np.float32), arrays[1]]
        trunk.encode(form, trained, rows.copy(), words[partner], partner)
    return words[:, : rows.sum() * WIDTH].reshape(PARTNERS, -1, WIDTH)


def found_by(colluders: Collection[int], support: np.ndarray, least: int, there: Collection[int] = EVERYBODY) -> set[tuple[int, int]]:
    """Whose words of which row are what is left of the sum over `there` when these partners have taken their own off: (partner, row)."""
    rows = listed(support.sum(axis=0), BITS, least)
    words, numbers = words_of_all(support, rows), np.flatnonzero(rows)
    left = words[list(there)].sum(axis=0, dtype=words.dtype) - words[[each for each in colluders if each in there]].sum(
        axis=0, dtype=words.dtype
    )
    others = [each for each in there if each not in colluders]
    return {
        (other, int(row))
        for other in others
        for place, row in enumerate(numbers)
        if left[place].any() and (left[place] == words[other, place]).all()
    }


@given(support=supports, least=st.integers(2, PARTNERS), data=st.data())
def test_partners_that_are_two_fewer_than_a_row_needs_find_no_single_others_words(
    support: np.ndarray, least: int, data: st.DataObject
) -> None:
    colluders = data.draw(st.sets(st.integers(0, PARTNERS - 1), max_size=least - 2))
    assert found_by(colluders, support, least) == set()


@pytest.mark.parametrize("least", [2, 3, 4])
def test_partners_that_are_one_fewer_find_the_last_ones_words(least: int) -> None:
    """So with two supporters every partner finds the other's, and with three two find the third's: the number says how many may not."""
    support = np.zeros((PARTNERS, BITS), dtype=np.bool_)
    support[:least, 4] = True
    for colluders in combinations(range(least), least - 1):
        (last,) = set(range(least)) - set(colluders)
        assert found_by(colluders, support, least) == {(last, 4)}


def test_where_a_supporter_drops_out_of_a_round_one_partner_finds_another_ones_words() -> None:
    """The list counts who supports a row when a session begins, not who is left in a sum. What is not promised, shown."""
    support = np.zeros((PARTNERS, BITS), dtype=np.bool_)
    support[:3, 4] = True
    assert found_by({0}, support, 3) == set()
    assert found_by({0}, support, 3, there=EVERYBODY - {2}) == {(1, 4)}
    support[3, 4] = True  # one supporter more than is asked for makes up for one that drops out
    assert found_by({0}, support, 4, there=EVERYBODY - {2}) == set()
