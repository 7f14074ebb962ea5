"""In which order slots of shared heads leave: another in each round and session, which nobody without the group key can tell."""

import numpy as np

from strategies.secagg import keys
from strategies.secagg.keystream import keystream
from strategies.secagg.slot_order import hide, show, slot_order

KEYS = (b"k" * 32, b"o" * 32)
ROUNDS = range(1, 9)
SLOTS = 12  # in one of 479,001,600 orders


def drawn() -> dict[tuple[bytes, int], list[int]]:
    return {(key, number): slot_order(key, number, SLOTS).tolist() for key in KEYS for number in ROUNDS}


def test_the_order_is_another_one_in_each_round_and_under_each_group_key_and_never_the_one_that_slots_have() -> None:
    orders = drawn()
    assert all(sorted(order) == list(range(SLOTS)) for order in orders.values()), "each slot once"
    assert list(range(SLOTS)) not in orders.values()
    assert len({tuple(order) for order in orders.values()}) == len(KEYS) * len(ROUNDS)


def test_whoever_has_the_group_key_finds_the_same_order_by_sorting_a_keystream() -> None:
    for (key, number), order in drawn().items():
        stream = keystream(keys.derive(key, b"", "slot order", (number,)), 8 * SLOTS)
        words = [int.from_bytes(stream[8 * slot : 8 * slot + 8], "little") for slot in range(SLOTS)]
        assert order == sorted(range(SLOTS), key=words.__getitem__)


def test_a_slot_leaves_at_every_place_as_often_as_at_any_other() -> None:
    """Four slots in 2,000 rounds, within six standard deviations."""
    orders = np.array([slot_order(KEYS[0], number, 4) for number in range(1, 2001)])
    counts = np.array([np.bincount(orders[:, place], minlength=4) for place in range(4)])
    assert np.abs(counts - 500).max() < 6 * np.sqrt(2000 * 3 / 16)


def test_who_shows_slots_has_them_as_they_were_before_they_were_hidden() -> None:
    blocks = np.arange(5 * 3).reshape(5, 3)
    held, order = blocks.copy(), slot_order(KEYS[0], 1, 5)
    hide(held, order)
    assert held.tolist() == [blocks[slot].tolist() for slot in order]
    show(held, order)
    assert held.tolist() == blocks.tolist()
