"""What a partner has measured of a shared head: compounds, each once, however many of its groups are declared to the endpoint."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.dataset import Dataset
from fedapp.data.slot_labels import SlotLabels
from tests.model.synthetic import from_dense, with_values

FOLDS = (2, 3, 4)


def measured(labels: np.ndarray, observed: np.ndarray) -> Dataset:
    """Compounds with labels [compounds, tasks] where they are observed, dealt out to five folds in turn."""
    return from_dense("alpha", np.eye(len(labels), 8, dtype=bool), labels, observed, np.arange(len(labels)) % 5)


def test_fifty_compounds_in_two_groups_of_one_endpoint_are_fifty_and_not_a_hundred() -> None:
    labels = np.arange(50)[:, None].repeat(2, axis=1) % 2 == 0
    counted = SlotLabels.of(measured(labels, np.ones_like(labels)), np.array([0, 0]), 1, range(5))
    assert counted.number.tolist() == [50]
    assert [counted.enough(least).tolist() for least in (50, 51)] == [[True], [False]]


def test_compounds_of_other_groups_of_the_endpoint_count_beside() -> None:
    observed = np.array([[True, False]] * 10 + [[False, True]] * 10 + [[True, True]] * 5)
    labels = np.arange(25)[:, None].repeat(2, axis=1) % 2 == 0
    assert SlotLabels.of(measured(labels, observed), np.array([0, 0]), 1, range(5)).number.tolist() == [25]


def test_values_are_counted_by_compounds_too_and_have_no_classes() -> None:
    labels = np.ones((50, 2), dtype=bool)
    counted = SlotLabels.of(with_values(measured(labels, labels), first=0), np.array([0, 0]), 1, range(5))
    assert counted.number.tolist() == [50] and counted.enough(50).tolist() == [True]


@given(st.integers(0, 2**32 - 1))
def test_what_is_counted_are_the_sets_of_compounds_of_the_training_folds_active_or_inactive_in_any_task_of_a_slot(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, observed = random.random((12, 4)) < random.random(), random.random((12, 4)) < random.random()
    slots = random.integers(-1, 3, 4).astype(np.int32)
    data = replace(measured(labels, observed), folds=random.integers(0, 5, 12).astype(np.uint8))
    counted = SlotLabels.of(data, slots, 3, FOLDS)
    for slot in range(3):
        of_class = {
            active: {
                compound
                for compound in range(12)
                for task in np.flatnonzero(slots == slot)
                if data.folds[compound] in FOLDS and observed[compound, task] and labels[compound, task] == active
            }
            for active in (True, False)
        }
        number = len(of_class[True] | of_class[False])
        assert counted.number[slot] == number
        for least in (1, number, number + 1):
            assert counted.enough(max(1, least))[slot] == (number >= max(1, least) and all(of_class.values()))
