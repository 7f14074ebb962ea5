"""What an adversary computes of each compound that it suspects to be in the training data.

Somebody with a partner's model looks at how sure the model is of the compound's labels. A partner has the trunks of all rounds, and
neither heads nor labels of the others; it looks at how the trunk changed in the rows of the compound's bits. A compound that was
trained on moves all of them its own way, so that their changes point alike; and a bit whose row did not move is in no compound that
was trained on. Of some twenty such statistics these three say most, without the row guard and with it. The least one says all
without the guard and nothing with it: only listed rows are in the trunk, and those all move.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from fedapp.data.dataset import Dataset
from fedapp.data.labels import ABOVE, BELOW
from fedapp.evaluation.arms import BCE
from fedapp.model.evaluation import CHUNK, score
from fedapp.model.network import Heads, Trunk, set_trunk_arrays

Named = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SuspectModel:
    """What a partner predicts with.

    Attributes:
        dataset: Its compounds, with those bits that the trunk has rows for, and values in the units of heads.
        arrays: The trunk's layers, private rows included.
        heads: One a task.
        slots: The shared head that each task has a part in, -1 without: int32 [tasks]. None without shared heads.
    """

    dataset: Dataset
    arrays: list[np.ndarray]
    heads: Heads
    slots: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Rounds:
    """What everybody who takes part in a federation holds of its R rounds.

    Attributes:
        trunks: The trunk before the first round and after each: R + 1 lists of arrays, float32.
        means: The mean update of each round, decoded from its sum: R lists of arrays of the same form, exactly 0 where nobody sent
            anything. It is what a round tells: with momentum a trunk also moves as it did before, which tells nothing new.
    """

    trunks: list[list[np.ndarray]]
    means: list[list[np.ndarray]]


OUTSIDER = ("confidence", "loss")
TRUNK = ("movement", "coherence", "quietest")
ROUNDS = tuple(f"{name}_rounds" for name in TRUNK)


def signals(datasets: list[Dataset], models: list[SuspectModel], rounds: Rounds) -> Named:
    """All statistics of all compounds of all partners, one after another: `OUTSIDER`, `TRUNK` and `ROUNDS`, float32 [compounds] each.

    Args:
        datasets: The partners' pools, with those bits whose rows are in the trunk: rows that are in no sum say nothing.
        models: The partners', after the last round.
        rounds: Trunks with those rows alone.
    """
    judged = [model_signals(model) for model in models]
    outside = {name: np.concatenate([each[name] for each in judged]) for name in OUTSIDER}
    return outside | trunk_signals(*fingerprints(datasets), rounds)


def fingerprints(datasets: list[Dataset]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Fingerprints of the compounds of several datasets, one dataset after another: CSR."""
    lengths = np.concatenate([[0], *(np.diff(dataset.x_indptr) for dataset in datasets)])
    return np.cumsum(lengths), np.concatenate([dataset.x_indices for dataset in datasets])


def model_signals(model: SuspectModel) -> Named:
    """`OUTSIDER`: mean over a compound's labels y of (2y - 1) * logit, and mean loss; 0 and log 2 for one without labels.

    Of a value the first is minus its distance from what is predicted, in units of the head, and the second the square of that.

    Source of the first: Carlini et al., S&P 2022, arXiv 2112.03570, section V, of a binary classifier.
    """
    dataset, trunk = model.dataset, Trunk(model.dataset.bits, [array.shape[0] for array in model.arrays[1::2]], seed=None)
    set_trunk_arrays(trunk, model.arrays)
    scores = score(trunk, model.heads, dataset, np.arange(len(dataset.folds)))
    labels, counts = dataset.labels, np.diff(dataset.labels.indptr)
    owner, classes = labels.owners, class_labels(dataset)
    said, values = (dataset.normalisation.normalised(labels.tasks, each) for each in (scores.outputs, scores.values))
    short = shortfall(said, values, labels.censors)
    sure = np.where(classes, (2 * values - 1) * said, -np.abs(short))

    def mean(values: NDArray[np.floating], otherwise: float) -> NDArray[np.float32]:
        sums = np.bincount(owner, values, minlength=len(counts))
        return np.where(counts > 0, sums / np.maximum(counts, 1), otherwise).astype(np.float32)

    cost = np.where(classes, np.logaddexp(0.0, -sure), short**2)
    return {"confidence": mean(sure, 0.0), "loss": mean(cost, float(np.log(2.0)))}


def class_labels(dataset: Dataset) -> NDArray[np.bool_]:
    """Which labels of a dataset are classes, and not values: bool [labels]."""
    classes = np.zeros(len(dataset.tasks), dtype=np.bool_)
    for kind, own in dataset.kinds.items():
        classes |= own & (kind.loss == BCE)
    return classes[dataset.labels.tasks]


def shortfall(said: NDArray[np.floating], values: NDArray[np.floating], censors: NDArray[np.int8]) -> NDArray[np.floating]:
    """By how much outputs fall short of values, below 0 if they are above; 0 on the side of a censored value where the true one may lie."""
    short = values - said
    return np.where((censors == ABOVE) & (short < 0) | (censors == BELOW) & (short > 0), 0, short)


def trunk_signals(indptr: NDArray[np.int64], indices: NDArray[np.int32], rounds: Rounds) -> Named:
    """`TRUNK`, of the change from the first trunk to the last, and `ROUNDS`: of each round's mean update, standardised and added up.

    Args:
        indptr, indices: Fingerprints, CSR, int64 [compounds + 1] and int32; a bit is a row of the trunk's first array.
        rounds: As in `signals`.
    """
    whole = change_signals(indptr, indices, rounds.trunks[-1][0] - rounds.trunks[0][0])
    added = {name: np.zeros(len(indptr) - 1, dtype=np.float32) for name in ROUNDS}
    for mean in rounds.means:
        for name, values in change_signals(indptr, indices, mean[0]).items():
            added[f"{name}_rounds"] += standardised(values)
    return whole | added


def change_signals(indptr: NDArray[np.int64], indices: NDArray[np.int32], change: NDArray[np.float32]) -> Named:
    """`TRUNK`, for a change of the first layer, float32 [bits, hidden[0]]; 0 for a compound without bits.

    movement: Norm of the sum of the rows of a compound's bits: how far its hidden layer moved.
    coherence: The same of the rows' directions, so that rows that move little count as much.
    quietest: Least norm of a row.
    """
    rows = torch.from_numpy(np.ascontiguousarray(change))
    norms = rows.norm(dim=1, keepdim=True)
    directions = rows / norms.clamp_min(torch.finfo(torch.float32).tiny)
    parts: dict[str, list[Tensor]] = {name: [torch.empty(0)] for name in TRUNK}
    for bits, offsets in bags(indptr, indices):
        parts["movement"].append(embedding_bag(bits, rows, offsets, mode="sum").norm(dim=1))
        parts["coherence"].append(embedding_bag(bits, directions, offsets, mode="sum").norm(dim=1))
        parts["quietest"].append(-embedding_bag(bits, -norms, offsets, mode="max").squeeze(1))
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def support_signal(indptr: NDArray[np.int64], indices: NDArray[np.int32], supports: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Partners that support each bit of a compound, summed over its bits: float32 [compounds]. All partners know these counts.

    Args:
        indptr, indices: Full fingerprints, CSR.
        supports: bool [partners, bits].
    """
    counts = supports.sum(axis=0)
    owner = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return np.bincount(owner, counts[indices], minlength=len(indptr) - 1).astype(np.float32)


def layers(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Weights and biases of a trunk's layers: its arrays without the shared heads, which are a single one, last."""
    return arrays[: len(arrays) // 2 * 2]


def standardised(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Minus the mean, by the standard deviation, both over the last axis; 0 where all are equal."""
    centred = values - values.mean(axis=-1, keepdims=True)
    spread = values.std(axis=-1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def bags(indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> Iterator[tuple[Tensor, Tensor]]:
    """Bits and offsets of a few thousand compounds at a time, for `embedding_bag`."""
    for start in range(0, len(indptr) - 1, CHUNK):
        offsets = np.array(indptr[start : start + CHUNK + 1])
        yield torch.from_numpy(np.array(indices[offsets[0] : offsets[-1]])).long(), torch.from_numpy(offsets[:-1] - offsets[0])
