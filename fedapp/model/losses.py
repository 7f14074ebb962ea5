"""What a label costs, by the kind of its task, and the one place where censoring, weights and absence apply and the mean is taken."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from fedapp.evaluation.arms import BCE, RMSE
from fedapp.model.batches import Batch


@dataclass(frozen=True)
class Loss:
    """How far the outputs of a kind of task are from labels.

    Attributes:
        of_labels: Outputs, values and weights, float32 (n,) each -> weighted loss of each, (n,). A weight is factored in by the loss
            itself, since a gradient times a weight is rounded otherwise when the weight comes first.
        predicted: Outputs -> what they predict: a probability, or a value in units of its task's own spread.
    """

    of_labels: Callable[[Tensor, Tensor, Tensor], Tensor]
    predicted: Callable[[Tensor], Tensor]


def cross_entropy(logits: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of values 0 (inactive) and 1 (active)."""
    return binary_cross_entropy_with_logits(logits, values, weight=weights, reduction="none")


def squared_error(outputs: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """Squared error of values in units of their task's own spread: 1 on average where nothing is known, whatever the task."""
    return mse_loss(outputs, values, reduction="none") * weights


LOSSES = {BCE: Loss(cross_entropy, torch.sigmoid), RMSE: Loss(squared_error, lambda outputs: outputs)}  # by `TaskKind.loss`


def label_losses(outputs: Tensor, batch: Batch) -> Tensor:
    """Weighted loss of each label of a batch, one kind after the other: float32 (labels,).

    A label that is not there has no output and costs nothing. A censored one costs nothing where the prediction lies on its side of
    the value, as a bounded loss in Chemprop (Heid et al., J. Chem. Inf. Model. 2024, 64, 9).

    Args:
        outputs: Of the heads, one a label: float32 (labels,).
    """
    parts = []
    for kind, places in batch.kinds:
        loss, own, values, weights = LOSSES[kind.loss], chosen(outputs, places), chosen(batch.values, places), chosen(batch.weights, places)
        if batch.censors is not None:
            side = (loss.predicted(own.detach()) - values) * chosen(batch.censors, places)
            weights = weights.masked_fill(side > 0, 0.0)
        parts.append(loss.of_labels(own, values, weights))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def chosen(column: Tensor, places: Tensor | None) -> Tensor:
    """The column at these places; the column itself, which costs nothing, where they are all."""
    return column if places is None else column[places]


def mean_loss(outputs: Tensor, batch: Batch) -> Tensor:
    """Weighted mean over the labels of a batch; a censored label weighs the same whether it costs something or not."""
    return label_losses(outputs, batch).sum() / batch.weights.sum()
