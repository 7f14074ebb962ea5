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
        held: Rows of the first parameter that take part, int64 ascending, on its device; None for all. The others have no moments, and
            stay as they are: a partner trains no row of a bit that no compound of it holds.
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
            first: Gradient of the first parameter, instead of its `grad`. Sums and step go over the memory once, together. Where only
                some of its rows take part it must be given so.
        """
        self.steps += 1
        if first is not None:
            weight = self.parameters[0]
            for rows, gradient in first.blocks(self.held):
                moved = weight[rows] if self.held is None else weight.index_select(0, self.held[rows])
                self._move([moved], [gradient], [self.means[0][rows]], [self.squares[0][rows]])
                if self.held is not None:
                    weight.index_copy_(0, self.held[rows], moved)
        whole = zip(self.parameters, self.means, self.squares, strict=True)
        given = [(parameter, parameter.grad, mean, square) for parameter, mean, square in whole if parameter.grad is not None]
        if given:
            self._move(*map(list, zip(*given, strict=True)))

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
