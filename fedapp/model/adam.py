"""Adam with decay by an L2 term, as `torch.optim.Adam`, whose first step imports a compiler that nothing here needs: seconds a process.

Kingma and Ba, arXiv 1412.6980, algorithm 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedapp.model.sparse import WeightGradient

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Moments of some parameters, and the step that changes both.

    Args:
        parameters: float32, on one device.
        learning_rate: Of the next step; may be set anew before any.
        weight_decay: Of the L2 term.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float, weight_decay: float) -> None:
        self.parameters, self.learning_rate, self.weight_decay = list(parameters), learning_rate, weight_decay
        self.means = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter, requires_grad=False) for parameter in self.parameters]
        self.steps = torch.zeros((), device=self.parameters[0].device)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, first: WeightGradient | None = None) -> None:
        """Take one step along every `grad`; a parameter without one stays as it is.

        Args:
            first: Gradient of the first parameter, instead of its `grad`. Sums and step go over the memory once, together.
        """
        self.steps += 1
        if first is not None:
            for rows, gradient in first.blocks():
                self._move([self.parameters[0][rows]], [gradient], [self.means[0][rows]], [self.squares[0][rows]])
        whole = zip(self.parameters, self.means, self.squares, strict=True)
        moved = [(parameter, parameter.grad, mean, square) for parameter, mean, square in whole if parameter.grad is not None]
        if moved:
            self._move(*map(list, zip(*moved, strict=True)))

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], means: list[Tensor], squares: list[Tensor]) -> None:
        """One pass over the memory instead of ten."""
        torch._fused_adam_(
            parameters,
            gradients,
            means,
            squares,
            [],
            [self.steps] * len(parameters),
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
