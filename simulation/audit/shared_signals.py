"""What a partner computes of each compound that it suspects behind a shared head.

It holds the shared heads of all rounds, and the trunk to put a compound through. A compound that was trained on pulls the head of its
endpoint towards its label, round after round; and in the end the head is surer of that label than it would be without it. Whoever
knows no label has how far the head is from undecided. The adversary is given the labels, which a real one seldom has.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag, linear

from fedapp.data.csr import csr_positions
from fedapp.data.dataset import Dataset
from fedapp.evaluation.arms import BCE
from simulation.audit.signals import Named, Rounds, SuspectModel, bags, layers, standardised

SHARED = ("shared_confidence", "shared_size", "shared_pull")
ASKED = "shared_labels"


@dataclass(frozen=True)
class SharedLabels:
    """The classes that shared heads learn, or could have learned, of some compounds; L in all.

    Attributes:
        compounds: int64 [L], numbers of the compounds, ascending.
        slots: int64 [L].
        signs: float32 [L], 1 for active and -1 for inactive.
    """

    compounds: NDArray[np.int64]
    slots: NDArray[np.int64]
    signs: NDArray[np.float32]

    @classmethod
    def of(cls, datasets: list[Dataset], slots: list[NDArray[np.int32]]) -> "SharedLabels":
        """Of several datasets, whose compounds are numbered one dataset after another.

        Args:
            slots: Of each dataset's tasks, -1 without: int32 [tasks].
        """
        parts, before = [], 0
        for dataset, of_tasks in zip(datasets, slots, strict=True):
            classes = np.zeros(len(dataset.tasks), dtype=np.bool_)
            for kind, own in dataset.kinds.items():
                classes |= own & (kind.loss == BCE)
            labels = dataset.labels
            chosen = ((of_tasks >= 0) & classes)[labels.tasks]
            signs = 2 * labels.values[chosen].astype(np.float32) - 1
            parts.append((before + labels.owners[chosen], of_tasks[labels.tasks[chosen]].astype(np.int64), signs))
            before += len(dataset.folds)
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def of_compounds(self, values: NDArray[np.floating], count: int) -> NDArray[np.float32]:
        """Means of values, [L], over each compound's labels; 0 for a compound without any: float32 [count]."""
        number = np.bincount(self.compounds, minlength=count)
        return (np.bincount(self.compounds, values, minlength=count) / np.maximum(number, 1)).astype(np.float32)


def shared_signals(datasets: list[Dataset], models: list[SuspectModel], rounds: Rounds) -> Named:
    """`SHARED` of all compounds of all partners, one after another, and `ASKED`, how many labels of shared heads each has.

    shared_confidence: Mean over a compound's labels y of (2y - 1) * output of the last shared head.
    shared_size: The same of the output's magnitude.
    shared_pull: Mean of (2y - 1) * how far each round's mean update of the head moves the output; standardised, added up over rounds.

    Args:
        datasets, rounds: As in `signals`.
        models: Whose slots say in which shared heads a task has a part.
    Returns:
        Each float32 [compounds]; none where there are no shared heads.
    """
    slots = [model.slots for model in models if model.slots is not None and len(layers(rounds.trunks[0])) < len(rounds.trunks[0])]
    if not slots:
        return {}
    labels, count = SharedLabels.of(datasets, slots), sum(len(dataset.folds) for dataset in datasets)
    asked, place = np.unique(labels.compounds, return_inverse=True)
    indptr, indices = fingerprints_of(datasets, asked)
    last = labels.signs * outputs(rounds.trunks[-1], rounds.trunks[-1][-1], indptr, indices, place, labels.slots)
    pull = np.zeros(count, dtype=np.float32)
    for before, mean in zip(rounds.trunks[:-1], rounds.means, strict=True):
        moved = labels.signs * outputs(before, mean[-1], indptr, indices, place, labels.slots)
        pull += standardised(labels.of_compounds(moved, count))
    return {
        "shared_confidence": labels.of_compounds(last, count),
        "shared_size": labels.of_compounds(np.abs(last), count),
        "shared_pull": pull,
        ASKED: np.bincount(labels.compounds, minlength=count).astype(np.float32),
    }


def fingerprints_of(datasets: list[Dataset], compounds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Fingerprints of some compounds of several datasets, numbered one after another: CSR."""
    lengths = np.concatenate([[0], *(np.diff(dataset.x_indptr) for dataset in datasets)])
    indices = np.concatenate([dataset.x_indices for dataset in datasets])
    indptr, positions = csr_positions(np.cumsum(lengths), compounds)
    return indptr, indices[positions]


def outputs(
    trunk: list[np.ndarray],
    heads: NDArray[np.float32],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    compounds: NDArray[np.integer],
    slots: NDArray[np.int64],
) -> NDArray[np.float32]:
    """What shared heads say of compounds: float32, one for each of `compounds` and `slots`.

    Args:
        trunk: Whose features the compounds have.
        heads: float32 [slots, width + 1], bias last.
        indptr, indices: Fingerprints that `compounds` are numbers of, CSR.
    """
    seen = features(trunk, indptr, indices).numpy()
    weights, biases = heads[:, :-1], heads[:, -1]
    return np.einsum("lw,lw->l", seen[compounds], weights[slots]) + biases[slots]


def features(trunk: list[np.ndarray], indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> Tensor:
    """What a trunk's last layer gives, without dropout: float32 [compounds, width].

    Args:
        trunk: Its arrays; those of shared heads are not used.
        indptr, indices: Fingerprints, CSR; a bit is a row of the first array.
    """
    weight, bias, *others = map(torch.from_numpy, layers(trunk))
    sums = torch.cat([embedding_bag(bits, weight, offsets, mode="sum") for bits, offsets in bags(indptr, indices)])
    hidden = torch.relu(sums + bias)
    for matrix, shift in zip(others[::2], others[1::2], strict=True):
        hidden = torch.relu(linear(hidden, matrix, shift))
    return hidden
