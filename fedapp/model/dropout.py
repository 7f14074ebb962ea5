"""ReLU and dropout in one: what is above 0 behind both came through both, so that the way back needs no mask."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from fedapp.model.sparse import BLOCK

BITS = 16  # of a draw: four come out of one number, and a share is rounded to 1 in 65,536


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout with its own generator: the global one is anybody's.

    Attributes:
        share: Of outputs that are dropped, below 1.
        generator: On the device where outputs are.
    """

    share: float
    generator: torch.Generator

    @property
    def scale(self) -> float:
        """What the outputs kept are multiplied by."""
        return 1 / (1 - self._fate / (1 << BITS))

    @property
    def _fate(self) -> int:
        """Of all values of a draw, how many drop an output."""
        return round(self.share * (1 << BITS))

    def kept(self, count: int) -> Tensor:
        """Drawn anew: 1 for an output that is kept, 0 for one that is dropped; float32 (count,)."""
        numbers = torch.empty(-(-count // 4), dtype=torch.int64, device=self.generator.device)
        draws = numbers.random_(-(1 << 63), None, generator=self.generator).view(torch.int16)[:count]
        return draws.ge_(self._fate - (1 << (BITS - 1))).float()


class _Rectified(Function):
    @staticmethod
    def forward(ctx: Any, sums: Tensor, dropout: Dropout | None) -> Tensor:
        outputs = torch.empty_like(sums)
        size = BLOCK if sums.device.type == "cpu" else max(1, sums.numel())
        for these, into in zip(sums.view(-1).split(size), outputs.view(-1).split(size), strict=True):
            torch.clamp_min(these, 0.0, out=into)
            if dropout and dropout.share:
                into.mul_(dropout.kept(len(into)).mul_(dropout.scale))
        ctx.save_for_backward(outputs)
        ctx.scale = dropout.scale if dropout else 1.0
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (outputs,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradient, outputs, 0.0)
        return passed if ctx.scale == 1.0 else passed.mul_(ctx.scale), None


def rectified(sums: Tensor, dropout: Dropout | None = None) -> Tensor:
    """ReLU of a layer's sums, then dropout: of the shape of `sums`, float32."""
    outputs: Tensor = _Rectified.apply(sums, dropout)
    return outputs
