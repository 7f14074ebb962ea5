"""Training with each compound's influence bounded, and Gaussian noise on every sum: DP-SGD (Abadi et al., CCS 2016), over Adam.

One record is one compound with all its labels. In each step every training compound takes part with the same probability, on its own
(Poisson sampling); its gradient is scaled down to `clipping_norm`; the sum over the sample gets noise of `noise_multiplier` times that
norm, also where no compound adds anything and when the sample is empty; and the result is divided by a number fixed in advance. Adam, its
moments, weight decay and every later round work on that alone.

Heads are trained in the same way, under one norm together with the trunk. Heads fitted without noise would carry what they know of one
compound into the trunk's gradients of all others, and the sum could move by more than the clipping norm. So what a partner keeps between
two rounds is itself covered; only `fitted_heads`, with which it predicts, is not: those neither leave nor come back into training.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from fedapp.config import Training
from fedapp.data.dataset import Dataset
from fedapp.errors import DataError, RunError
from fedapp.model.adam import Adam
from fedapp.model.batches import Batch, assemble
from fedapp.model.dropout import Dropout
from fedapp.model.losses import label_losses
from fedapp.model.network import Heads, Trunk
from fedapp.model.training import TrainingOutcome, train
from fedapp.privacy.noise import Noise

HEAD_EPOCHS = 5  # passes over the compounds in which the heads that predict are fitted to a finished trunk


@dataclass(frozen=True)
class Steps:
    """The steps of one local training, fixed before it begins. The number of training compounds counts as public.

    Attributes:
        sample_rate: Probability of each compound in each step.
        expected: Compounds in a step on average.
        count: Steps.
    """

    sample_rate: float
    expected: float
    count: int


def plan(compounds: int, settings: Training) -> Steps:
    """As many steps as shuffled passes would take, of as many compounds on average."""
    rate = min(1.0, settings.batch_size / compounds)
    return Steps(rate, rate * compounds, -(-compounds // settings.batch_size) * settings.local_epochs)


def train_noisily(  # noqa: PLR0913 - as `train`, and what the noise needs
    trunk: Trunk,
    heads: Heads,
    adam: Adam,
    dataset: Dataset,
    rows: np.ndarray,
    *,
    trained: np.ndarray,
    settings: Training,
    dropout: float,
    clipping_norm: float,
    noise_multiplier: float,
    noise: Noise,
) -> TrainingOutcome:
    """Train trunk and heads in place for the steps of `plan`.

    Args:
        rows: Compounds to learn from, int64.
        trained: Rows of the trunk's first layer that are trained, int64 ascending; which they are must not depend on the compounds,
            unless privately. All of them get noise; the others' gradient is 0.
        noise: For samples, dropout and noise.
    Returns:
        The outcome; its loss is exact, and so for this partner's eyes alone.
    Raises:
        DataError: `rows` is empty.
        RunError: The parameters are no longer finite.
    """
    if not len(rows):
        raise DataError(f"{dataset.name} has no compounds to train on", "all of them lie in the validation and test folds")
    started, device, steps = perf_counter(), heads.weight.device, plan(len(rows), settings)
    drops = Dropout(dropout, torch.Generator(device=device).manual_seed(int(noise.words(1)[0] >> np.uint64(1))))
    task_weights = torch.from_numpy(np.array(dataset.task_weights, dtype=np.float32)).to(device)
    listed = torch.from_numpy(trained).to(device)
    loss, weight = 0.0, 0.0
    for _ in range(steps.count):
        sample = rows[noise.uniform(len(rows)) < steps.sample_rate]
        adam.zero_grad()
        if len(sample):
            batch = assemble(dataset, sample, task_weights)
            loss += clipped_gradients(trunk, heads, batch, clipping_norm=clipping_norm, dropout=drops)
            weight += float(batch.weights.sum())
        add_noise(trunk, heads, listed, noise_multiplier * clipping_norm, steps.expected, noise)
        adam.step()
    if not all(torch.isfinite(parameter).all() for parameter in (*trunk.parameters(), *heads.parameters())):
        raise RunError(f"training of {dataset.name} diverged: a parameter is not finite", "lower training.learning_rate")
    return TrainingOutcome(loss / weight if weight else 0.0, perf_counter() - started, len(rows), steps.count)


def clipped_gradients(trunk: Trunk, heads: Heads, batch: Batch, *, clipping_norm: float, dropout: Dropout) -> float:
    """Leave in every parameter's `grad` the sum over compounds of their gradients, each scaled down to `clipping_norm` at most.

    Two backward passes and no gradient per compound: the first, down to the layers' inputs, gives what the norms need; the second
    takes each compound with its factor.

    Returns:
        The weighted loss summed over the batch's labels, unclipped.
    """
    inputs, sums, logits = activations(trunk, heads, batch, dropout)
    loss = label_losses(logits, batch).sum()
    to_logits, *to_sums = torch.autograd.grad(loss, [logits, *sums], retain_graph=True)
    factors = (clipping_norm / squared_norms(batch, inputs, to_logits, to_sums).sqrt()).clamp(max=1.0)
    logits.backward(to_logits * factors[owners(batch)])
    return loss.item()


def activations(trunk: Trunk, heads: Heads, batch: Batch, dropout: Dropout) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Inputs of each dense layer and of the heads, sums before each ReLU, and logits."""
    inputs, sums = trunk.activations(batch.bits, dropout)
    return inputs, sums, heads(inputs[-1], batch.pairs)


def squared_norms(batch: Batch, inputs: list[Tensor], to_logits: Tensor, to_sums: list[Tensor]) -> Tensor:
    """Squared L2 norm of each compound's gradient over trunk and heads, (compounds,), in closed form.

    A layer's gradient for one compound is the outer product of what comes back to its sums and its input, 1 for the bias included, so
    its norm is the product of the two norms (Goodfellow, arXiv 1510.01799). The first layer's input has one 1 per bit.

    Args:
        inputs: Of the further layers, then of the heads: (compounds, width) each.
        to_logits: Gradient of the loss at each pair's logit.
        to_sums: And at each layer's sums, (compounds, width) each.
    """
    bits = torch.diff(batch.bits.offsets, append=batch.bits.offsets.new_tensor([len(batch.bits.indices)]))
    sizes = [bits.float(), *(given.detach().square().sum(1) for given in inputs)]
    of_heads = torch.zeros_like(sizes[0]).index_add_(0, owners(batch), to_logits.square())
    squares = [*(gradient.square().sum(1) for gradient in to_sums), of_heads]
    return torch.stack([square * (size + 1) for square, size in zip(squares, sizes, strict=True)]).sum(0)


def owners(batch: Batch) -> Tensor:
    """The compound of each pair: int64 (pairs,)."""
    offsets = batch.pairs.offsets
    counts = torch.diff(offsets, append=offsets.new_tensor([len(batch.pairs.indices)]))
    return torch.arange(len(offsets), device=offsets.device).repeat_interleave(counts)


def add_noise(trunk: Trunk, heads: Heads, listed: Tensor, deviation: float, expected: float, noise: Noise) -> None:
    """Turn every `grad`, None for an empty sample, into (sum + noise) / expected; of the first layer, the rows `listed` alone."""

    def noisy(gradient: Tensor | None, like: Tensor) -> Tensor:
        drawn = torch.from_numpy(noise.normal(like.numel())).to(like.device).view(like.shape).mul_(deviation)
        return (drawn if gradient is None else drawn.add_(gradient)).div_(expected)

    weight = trunk.weight
    rows = noisy(None if weight.grad is None else weight.grad[listed], weight[listed])
    weight.grad = torch.zeros_like(weight).index_copy_(0, listed, rows)
    for parameter in (*trunk.parameters(), *heads.parameters()):
        if parameter is not weight:
            parameter.grad = noisy(parameter.grad, parameter)


def fitted_heads(trunk: Trunk, heads: Heads, dataset: Dataset, rows: np.ndarray, *, settings: Training, dropout: float, seed: int) -> Heads:
    """Heads fitted to this trunk without noise, from `heads` on; trunk and `heads` stay as they are.

    They tell of this partner's compounds as any model does: they stay with it.
    """
    frozen, fitted = deepcopy(trunk).requires_grad_(False), deepcopy(heads)
    adam = Adam([*fitted.parameters()], settings.learning_rate, settings.weight_decay)
    longer = replace(settings, local_epochs=HEAD_EPOCHS)
    train(frozen, fitted, adam, dataset, rows, settings=longer, dropout=dropout, seed=seed)
    return fitted
