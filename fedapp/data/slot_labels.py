"""How much a partner has measured of each shared head that it declared tasks to, and whether that is enough to have a part in it."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedapp.data.dataset import Dataset
from fedapp.evaluation.arms import BCE


@dataclass(frozen=True)
class SlotLabels:
    """Training compounds with a label in a partner's declared tasks, all tasks of a slot together.

    A head says less of each compound the more of them it has seen, so a compound counts once, in however many groups it was measured.

    Attributes:
        number: Compounds, int64 [slots].
        one_class: Whether the labels are classes, and all the same: bool [slots].
    """

    number: NDArray[np.int64]
    one_class: NDArray[np.bool_]

    @classmethod
    def of(cls, dataset: Dataset, slots: NDArray[np.integer], count: int, folds: Collection[int]) -> "SlotLabels":
        """Of the compounds of these folds.

        Args:
            slots: Of each task, as `fedapp.data.catalogue.slots_of` has them.
            count: How many slots there are.
        """
        labels = dataset.labels.of(dataset.rows_in(folds))
        of_labels = slots[labels.tasks]
        declared = of_labels >= 0
        pairs = labels.owners[declared] * count + of_labels[declared]
        active = labels.values[declared] > 0
        number, positives, negatives = (_compounds(each, count) for each in (pairs, pairs[active], pairs[~active]))
        classes = np.zeros(count, dtype=np.bool_)
        for kind, own in dataset.kinds.items():
            classes[slots[own & (slots >= 0)]] = kind.loss == BCE
        return cls(number, classes & ((positives == 0) | (negatives == 0)))

    def enough(self, least: int) -> NDArray[np.bool_]:
        """Shared heads that the partner may train and send: bool [slots].

        They have labels of `least` compounds, and of classes both: a head that has seen one class alone would tell which.
        """
        return (self.number >= least) & ~self.one_class


def _compounds(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """How many different compounds there are of each slot, among pairs of compound and slot as one number each: int64 [slots]."""
    return np.bincount(np.unique(pairs) % count, minlength=count)
