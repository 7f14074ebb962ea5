"""Heads that partners share: a task that is declared to be a common endpoint has one beside its private head.

A label of such a task is learned by both heads, half of its weight by each. The task is predicted by the mean of their outputs or by the
shared head alone, as the partner's validation fold says; either is one linear head. (The loss of that mean, instead of the mean of both
losses, was worse: 0.669 against 0.674 mean AUC-PR on the validation fold, where the targets of ChEMBL assays were spread over 8 partners;
the sum of both was as good, at a higher log loss.)

Shared heads are rows of the trunk's last array, a slot of the catalogue each (`fedapp.model.trunk_shape`); a partner trains those that it
may send, as further rows of its own heads, and the others are as if they were not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedapp.data.catalogue import Catalogue
from fedapp.data.dataset import Dataset
from fedapp.data.labels import Labels
from fedapp.data.normalisation import with_common_units
from fedapp.model.network import Heads

SLOTS = "shared.slots"  # in a state: which slots its last rows of heads are of
HALF = np.float32(0.5)
OF_HEADS = ("heads.", "adam.heads.")


@dataclass(frozen=True)
class SharedHeads:
    """The shared heads that one partner trains.

    Attributes:
        slots: Their slots, ascending, int64 [k].
        places: Where in `slots` the one of each task is, -1 without: int64 [tasks].
    """

    slots: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, slots: NDArray[np.integer], sent: NDArray[np.bool_]) -> "SharedHeads":
        """Those of slots that some task has and that may be sent.

        Args:
            slots: Of each task, -1 without: [tasks].
            sent: Which may leave: [slots].
        """
        declared = np.isin(np.arange(len(sent)), slots)
        trained = np.flatnonzero(declared & sent)
        places = np.full(len(sent) + 1, -1)  # the last is that of tasks without a slot
        places[trained] = np.arange(len(trained))
        return cls(trained, places[slots])

    def __len__(self) -> int:
        """How many."""
        return len(self.slots)

    def labelled(self, dataset: Dataset) -> Dataset:
        """The dataset with a task more for each shared head, behind its own: the labels of all tasks that are declared to it.

        Each such label has half of its weight in either place. A compound measured in several tasks of a slot has that many labels there.
        The weight of a label's task goes into the shared head's label, since tasks of one slot may have several.
        """
        if not len(self):
            return dataset
        firsts = [int(np.flatnonzero(self.places == place)[0]) for place in range(len(self))]
        numbers = len(dataset.tasks) + np.arange(len(self))
        heads = dataset.tasks[firsts].with_columns(
            pl.Series("task", numbers, dtype=dataset.tasks["task"].dtype), pl.lit(1.0, dataset.tasks["weight"].dtype).alias("weight")
        )
        return replace(dataset, tasks=pl.concat([dataset.tasks, heads]), labels=self._with_labels(dataset.labels, dataset.task_weights))

    def _with_labels(self, labels: Labels, task_weights: NDArray[np.float32]) -> Labels:
        """Behind a compound's own labels those of its shared heads, by ascending head."""
        places = self.places[labels.tasks]
        common, owners = np.flatnonzero(places >= 0), labels.owners
        common = common[np.argsort(owners[common] * len(self) + places[common], kind="stable")]
        counts = np.bincount(owners[common], minlength=len(labels.indptr) - 1)
        indptr = labels.indptr + np.concatenate([[0], np.cumsum(counts)])
        order = np.empty(indptr[-1], dtype=np.int64)  # of all labels: which of the old ones each is
        behind = np.arange(len(common)) + np.repeat(labels.indptr[1:], counts)
        own = np.ones(len(order), dtype=np.bool_)
        own[behind] = False
        order[own], order[behind] = np.arange(len(labels)), common
        tasks, weights = labels.tasks[order], labels.weights[order].astype(np.float32)
        weights[self.places[tasks] >= 0] *= HALF
        weights[behind] *= task_weights[tasks[behind]]
        tasks[behind] = len(self.places) + places[common]
        return Labels(indptr, tasks, labels.values[order], labels.censors[order], weights)

    def fill(self, heads: Heads, array: NDArray[np.float32]) -> None:
        """Put what came in into the last rows of a partner's heads.

        Args:
            array: Weight and bias of each slot's head, float32 [slots, width + 1].
        """
        rows = torch.from_numpy(array[self.slots]).to(heads.weight.device)
        with torch.no_grad():
            heads.weight[len(self.places) :] = rows[:, :-1]
            heads.bias[len(self.places) :] = rows[:, -1]

    def trained(self, heads: Heads, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """What goes out: a copy of what came in, with the heads that were trained."""
        out, own = array.copy(), len(self.places)
        out[self.slots] = torch.cat([heads.weight[own:], heads.bias[own:, None]], dim=1).detach().cpu().numpy()
        return out

    def predicting(self, heads: Heads, alone: NDArray[np.bool_] | None = None) -> Heads:
        """One head a task: the mean of its private and its shared one, or one of them alone; a copy.

        Args:
            alone: Tasks that their shared head predicts by itself, where they have one, bool [tasks]; None for none.
        """
        own, device = len(self.places), heads.weight.device
        one = Heads(heads.weight.shape[1], own).to(device)
        tasks = np.flatnonzero(self.places >= 0)
        places, shared = torch.from_numpy(tasks).to(device), torch.from_numpy(own + self.places[tasks]).to(device)
        shares = np.full((len(tasks), 1), HALF) if alone is None else np.where(alone[tasks, None], np.float32(1), HALF)
        share = torch.from_numpy(shares).to(device)
        for into, both in ((one.weight.data, heads.weight.detach()), (one.bias.data[:, None], heads.bias.detach()[:, None])):
            into.copy_(both[:own])
            into[places] = both[places].lerp(both[shared], share)
        return one

    def tensors(self) -> dict[str, Tensor]:
        """For a partner's private state."""
        return {SLOTS: torch.from_numpy(self.slots)} if len(self) else {}

    def resumed(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state whose heads and their moments have the rows of these shared heads, whichever an earlier session shared.

        A head that was not trained before has moments of zero.
        """
        earlier = state.get(SLOTS, torch.empty(0, dtype=torch.int64)).numpy()
        if not state or np.array_equal(earlier, self.slots):
            return state
        before, now = np.flatnonzero(np.isin(earlier, self.slots)), np.flatnonzero(np.isin(self.slots, earlier))
        return state | {name: self._moved(state[name], len(earlier), before, now) for name in _rows_of_heads(state)}

    def _moved(self, rows: Tensor, earlier: int, before: NDArray[np.int64], now: NDArray[np.int64]) -> Tensor:
        own = len(rows) - earlier
        shared = rows.new_zeros((len(self), *rows.shape[1:]))
        shared[torch.from_numpy(now)] = rows[own:][torch.from_numpy(before)]
        return torch.cat([rows[:own], shared])


def in_common_units(dataset: Dataset, slots: NDArray[np.integer], catalogue: Catalogue) -> Dataset:
    """The dataset with the catalogue's centre and scale for tasks of values that have a slot: so a shared head means the same at all."""
    ids = {str(dataset.tasks["group"][int(task)]): catalogue.slots[slots[task]][0] for task in np.flatnonzero(slots >= 0)}
    endpoints = {group: catalogue.by_id[each] for group, each in ids.items()}
    units = {group: (each.centre, each.scale) for group, each in endpoints.items() if each.centre is not None and each.scale is not None}
    return replace(dataset, tasks=with_common_units(dataset.tasks, units)) if units else dataset


def _rows_of_heads(state: dict[str, Tensor]) -> Iterator[str]:
    """Names of the tensors of a state that have a row for each head."""
    return (name for name, tensor in state.items() if name.startswith(OF_HEADS) and tensor.ndim)
