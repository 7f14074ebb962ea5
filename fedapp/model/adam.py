"""Adam with decay by an L2 term, as `torch.optim.Adam`, whose first step imports a compiler that nothing here needs: seconds a process.

Kingma and Ba, arXiv 1412.6980, algorithm 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedapp.model.sparse import BLOCK, WeightGradient

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Moments of some parameters, and the step that changes both.

    Args:
        parameters: float32, on one device.
        learning_rate: Of the next step; may be set anew before any.
        weight_decay: Of the L2 term.
        held: Rows of the first parameter that take part, int64 ascending, on its device; None for all. The others have no moments: a
            partner trains no row of a bit that no compound of it holds. While a step is taken the parameter has these rows alone.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float, weight_decay: float, held: Tensor | None = None) -> None:
        self.parameters, self.learning_rate, self.weight_decay = list(parameters), learning_rate, weight_decay
        self.held = held
        shapes = [parameter.shape for parameter in self.parameters]
        if held is not None:
            shapes[0] = torch.Size([len(held), *shapes[0][1:]])
        self.means, self.squares = ([torch.zeros(shape, device=self.parameters[0].device) for shape in shapes] for _ in range(2))
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
            self._step_by_blocks(first)
        whole = zip(self.parameters, self.means, self.squares, strict=True)
        given = [(parameter, parameter.grad, mean, square) for parameter, mean, square in whole if parameter.grad is not None]
        if given:
            self._move(*map(list, zip(*given, strict=True)))

    def _step_by_blocks(self, first: WeightGradient) -> None:
        """The first parameter's step: on the processor by so few rows at a time that their gradient stays in its cache."""
        weight = self.parameters[0].detach()
        size = max(1, BLOCK // weight.shape[1] if weight.device.type == "cpu" else len(weight))
        parts = zip(weight.split(size), first.blocks(size), self.means[0].split(size), self.squares[0].split(size), strict=True)
        for part in parts:
            self._move(*([tensor] for tensor in part))

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
