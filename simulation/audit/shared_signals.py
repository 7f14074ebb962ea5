"""What a partner computes of each compound that it suspects behind a shared head.

It holds the shared heads of all rounds, and the trunk to put a compound through. A compound that was trained on pulls the head of its
endpoint towards its label, round after round; and in the end the head is surer of that label, or nearer to that value, than it would be
without it. Whoever knows no label has how far the head is from undecided. The adversary is given the labels, which a real one seldom has.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import embedding_bag, linear

from fedapp.data.csr import csr_positions
from fedapp.data.dataset import Dataset
from simulation.audit.signals import Named, Rounds, SuspectModel, bags, class_labels, fingerprints, layers, shortfall, standardised

SHARED = ("shared_confidence", "shared_size", "shared_pull")
ASKED = "shared_labels"


@dataclass(frozen=True)
class SharedLabels:
    """The labels that shared heads learn, or could have learned, of some compounds; L in all.

    Attributes:
        compounds: int64 [L], numbers of the compounds, ascending.
        slots: int64 [L].
        targets: float32 [L]: 1 for active and -1 for inactive; a value in the units of its head.
        censors: int8 [L], as in `Labels`.
        classes: bool [L], which are classes, and not values.
    """

    compounds: NDArray[np.int64]
    slots: NDArray[np.int64]
    targets: NDArray[np.float32]
    censors: NDArray[np.int8]
    classes: NDArray[np.bool_]

    @classmethod
    def of(cls, datasets: list[Dataset], slots: list[NDArray[np.int32]]) -> "SharedLabels":
        """Of several datasets, whose compounds are numbered one dataset after another.

        Args:
            datasets: With values in the units of shared heads.
            slots: Of each dataset's tasks, -1 without: int32 [tasks].
        """
        parts, before = [], 0
        for dataset, of_tasks in zip(datasets, slots, strict=True):
            labels, classes = dataset.labels, class_labels(dataset)
            targets = np.where(classes, 2 * labels.values - 1, dataset.normalisation.normalised(labels.tasks, labels.values))
            chosen, of_labels = of_tasks[labels.tasks] >= 0, of_tasks[labels.tasks].astype(np.int64)
            columns = before + labels.owners, of_labels, targets.astype(np.float32), labels.censors, classes
            parts.append([column[chosen] for column in columns])
            before += len(dataset.folds)
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    @property
    def signs(self) -> NDArray[np.float32]:
        """1 for active and for a value above its head's centre, -1 for others; 0 where a censored value may be either: float32 [L]."""
        either = np.sign(self.targets) * self.censors < 0
        return np.where(either, 0, np.sign(self.targets)).astype(np.float32)

    def pulls(self, said: NDArray[np.floating]) -> NDArray[np.float32]:
        """Which way each label pulls its head from what this says: 1 up, -1 down, 0 where a censored value is content."""
        return np.where(self.classes, self.targets, np.sign(shortfall(said, self.targets, self.censors)))

    def fits(self, said: NDArray[np.floating]) -> NDArray[np.floating]:
        """How well what heads say fits each label: the logit towards a class; minus the distance from a value."""
        return np.where(self.classes, self.targets * said, -np.abs(shortfall(said, self.targets, self.censors)))

    def of_compounds(self, values: NDArray[np.floating], count: int) -> NDArray[np.float32]:
        """Means of values, [L], over each compound's labels; 0 for a compound without any: float32 [count]."""
        number = np.bincount(self.compounds, minlength=count)
        return (np.bincount(self.compounds, values, minlength=count) / np.maximum(number, 1)).astype(np.float32)


def shared_signals(datasets: list[Dataset], models: list[SuspectModel], rounds: Rounds) -> Named:
    """`SHARED` of all compounds of all partners, one after another, and `ASKED`, how many labels of shared heads each has.

    Args:
        datasets, rounds: As in `signals`.
        models: Whose slots say in which shared heads a task has a part, and whose datasets have values in their units.
    Returns:
        Each float32 [compounds]; none where there are no shared heads.
    """
    slots = [model.slots for model in models if model.slots is not None and len(layers(rounds.trunks[0])) < len(rounds.trunks[0])]
    if not slots:
        return {}
    labels, count = SharedLabels.of([model.dataset for model in models], slots), sum(len(dataset.folds) for dataset in datasets)
    return {**head_signals(labels, count, datasets, rounds), ASKED: np.bincount(labels.compounds, minlength=count).astype(np.float32)}


def head_signals(labels: SharedLabels, count: int, datasets: list[Dataset], rounds: Rounds) -> Named:
    """`SHARED`, float32 [count] each; 0 for compounds without a label in a shared head.

    shared_confidence: Mean over a compound's labels of how well the last shared head fits it.
    shared_size: The same of the output's magnitude.
    shared_pull: Mean of how far each round's mean update of the head moves the output the label's way; standardised, added up over rounds.

    Args:
        labels: Of the compounds of `datasets`, numbered one dataset after another, `count` in all.
        datasets: With those bits that the trunks have rows for.
    """
    asked, place = np.unique(labels.compounds, return_inverse=True)
    indptr, indices = fingerprints_of(datasets, asked)
    last = outputs(features(rounds.trunks[-1], indptr, indices)[place], rounds.trunks[-1][-1], labels.slots)
    pull = np.zeros(count, dtype=np.float32)
    for before, mean in zip(rounds.trunks[:-1], rounds.means, strict=True):
        seen = features(before, indptr, indices)[place]
        ways = labels.pulls(outputs(seen, before[-1], labels.slots))
        pull += standardised(labels.of_compounds(ways * outputs(seen, mean[-1], labels.slots), count))
    return {
        "shared_confidence": labels.of_compounds(labels.fits(last), count),
        "shared_size": labels.of_compounds(np.abs(last), count),
        "shared_pull": pull,
    }


def fingerprints_of(datasets: list[Dataset], compounds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Fingerprints of some compounds of several datasets, numbered one after another: CSR."""
    whole, indices = fingerprints(datasets)
    indptr, positions = csr_positions(whole, compounds)
    return indptr, indices[positions]


def outputs(seen: NDArray[np.float32], heads: NDArray[np.float32], slots: NDArray[np.int64]) -> NDArray[np.float32]:
    """What shared heads say: float32, one for each row of features and slot.

    Args:
        seen: Features, float32 [L, width].
        heads: float32 [slots, width + 1], bias last.
        slots: int64 [L].
    """
    return np.asarray(np.einsum("lw,lw->l", seen, heads[slots, :-1]) + heads[slots, -1])


def features(trunk: list[np.ndarray], indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> NDArray[np.float32]:
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
    return hidden.numpy()
