"""The network: a trunk that partners share and heads that stay at home."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from fedapp.errors import RunError
from fedapp.model.dropout import Dropout, rectified
from fedapp.model.sparse import Pattern, WeightGradient, pair_logits, row_sums
from fedapp.seeds import derived_seed


class Trunk(nn.Module):
    """Fingerprint bits to hidden features: a sparse first layer, further dense layers, ReLU after each.

    Args:
        bits: Fingerprint length.
        hidden: Width of each layer, at least one.
        seed: Initial weights derive from it; None leaves them unset, where arrays are to follow.
    """

    def __init__(self, bits: int, hidden: list[int], seed: int | None = 0) -> None:
        super().__init__()
        generator = None if seed is None else torch.Generator().manual_seed(derived_seed(seed, "trunk"))
        self.weight = nn.Parameter(uniform((bits, hidden[0]), bits, generator))
        self.bias = nn.Parameter(uniform((hidden[0],), bits, generator))
        self.layers = nn.ModuleList()
        for before, after in pairwise(hidden):
            layer = nn.Linear(before, after)
            layer.weight.data = uniform((after, before), before, generator)
            layer.bias.data = uniform((after,), before, generator)
            self.layers.append(layer)

    def forward(self, bits: Pattern, dropout: Dropout | None = None, kept: list[WeightGradient] | None = None) -> Tensor:
        """Features (compounds, hidden[-1]), float32, some dropped; `kept` takes up the first layer's gradient (see `row_sums`)."""
        return self.activations(bits, dropout, kept)[0][-1]

    def activations(
        self, bits: Pattern, dropout: Dropout | None = None, kept: list[WeightGradient] | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What each layer gives, features last, and its sums before the ReLU: float32 (compounds, width) each."""
        sums, outputs = [row_sums(self.weight, bits, kept).add_(self.bias)], list[Tensor]()
        for layer in self.layers:
            outputs.append(rectified(sums[-1]))
            sums.append(layer(outputs[-1]))
        return [*outputs, rectified(sums[-1], dropout)], sums


class Heads(nn.Module):
    """One logistic regression per task on the trunk's features.

    Args:
        width: Features.
        tasks: Number of tasks.
        seed: Initial weights derive from it and the partner's name.
        partner: The partner's name.
        shared: Further heads, behind those of the tasks, which start at zero (`fedapp.model.shared_heads`).
    """

    def __init__(self, width: int, tasks: int, seed: int = 0, partner: str = "", shared: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(derived_seed(seed, "heads", partner))
        weight, bias = uniform((tasks, width), width, generator), uniform((tasks,), width, generator)
        self.weight = nn.Parameter(torch.cat([weight, torch.zeros(shared, width)]))
        self.bias = nn.Parameter(torch.cat([bias, torch.zeros(shared)]))

    def forward(self, features: Tensor, pairs: Pattern) -> Tensor:
        """Logits of the observed (compound, task) pairs alone, compound after compound: (n,), float32."""
        return pair_logits(features, self.weight, self.bias, pairs)


def uniform(shape: tuple[int, ...], inputs: int, generator: torch.Generator | None) -> Tensor:
    """Uniform within ±1/sqrt(inputs), as torch's own linear layer; unset without a generator."""
    values, bound = torch.empty(shape), inputs**-0.5
    return values if generator is None else values.uniform_(-bound, bound, generator=generator)


def trunk_arrays(trunk: Trunk) -> list[np.ndarray]:
    """The trunk's parameters, float32 copies: weight (bits, hidden[0]), bias, then (after, before) weight and bias per further layer."""
    return [parameter.detach().cpu().numpy().copy() for parameter in trunk.parameters()]


def set_trunk_arrays(trunk: Trunk, arrays: list[np.ndarray]) -> None:
    """Copy arrays of the form of `trunk_arrays` into the trunk.

    Raises:
        RunError: Another number of arrays, another shape, or a value that is not finite.
    """
    parameters = list(trunk.parameters())
    expected, received = [tuple(p.shape) for p in parameters], [tuple(a.shape) for a in arrays]
    if expected != received:
        raise RunError(
            f"trunk of shapes {received} received, {expected} expected", "all partners need the same chemistry.bits and model.hidden"
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise RunError("the trunk received has values that are not finite", "lower training.learning_rate")
    with torch.no_grad():
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.copy_(torch.from_numpy(array if array.flags.writeable else array.copy()))
