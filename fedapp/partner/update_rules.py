"""What goes into a partner's update, by the configuration: rows and shared heads that it supports, its weight, the dice of its rounding.

A federation in one process is, bit for bit, the one that the same partners make under masks, since both ask here.
"""

from pathlib import Path

import numpy as np

from fedapp.config import RECORD_DP, Config
from fedapp.data.dataset import Dataset
from fedapp.data.slot_labels import SlotLabels
from fedapp.model.trunk_shape import slot_count
from fedapp.partner.record_privacy import private_support
from fedapp.seeds import derived_seed
from strategies.update.row_guard import support
from strategies.update.weight import weight_of


def supported_rows(directory: Path, dataset: Dataset, config: Config, slots: np.ndarray | None = None) -> np.ndarray:
    """What a partner may train and send: rows of the trunk's first layer, then shared heads; bool [bits + slots].

    Args:
        directory: The partner's own; under record-level privacy, rows are chosen with noise and paid for there.
        slots: Of each task, as `fedapp.data.catalogue.slots_of` has them; None declares none.
    Raises:
        BudgetError: Under record-level privacy, choosing them does not fit the budget.
    """
    if config.privacy.profile == RECORD_DP:
        return private_support(directory, dataset, config)
    rows = dataset.rows_in(config.training_folds())
    supported = support(dataset.x_indptr, dataset.x_indices, rows, config.chemistry.bits, config.privacy.row_guard)
    return np.concatenate([supported, supported_slots(dataset, config, slots)])


def supported_slots(dataset: Dataset, config: Config, slots: np.ndarray | None) -> np.ndarray:
    """Shared heads that a partner may train and send: bool [slots]; see `fedapp.data.slot_labels`."""
    count = slot_count(config)
    if slots is None or not count:
        return np.zeros(count, dtype=np.bool_)
    return SlotLabels.of(dataset, slots, count, config.training_folds()).enough(config.privacy.endpoint_labels)


def weight(dataset: Dataset, config: Config) -> int:
    """A partner's weight in the mean, 1 to `federation.largest_weight`."""
    return weight_of(len(dataset.labels), config.federation.largest_weight)


def rounding_seed(config: Config, name: str, number: int, attempt: int) -> int:
    """Seed of the rounding of partner `name` in a round and attempt."""
    return derived_seed(config.seed, "rounding", name, number, attempt)
