"""Rows of the first layer that stay at home, as heads do: those of bits that several of a partner's training compounds hold, but too few.

What such a row learns would tell of single compounds if it left (`strategies.update.row_guard`), and is worth having at home. So a partner
keeps it as a difference from the trunk that all share, adds it when the trunk comes in, and takes it off before anything goes out.

Of what a training gives such a row, an eighth is kept, as much as is left of it in the mean of eight partners of whom one trains it.
With whole steps private rows learn their few compounds by heart and cost more than they bring. On 8 partners with ChEMBL data mean
AUC-PR was 0.687, 0.690 and 0.693 with shares of 0.03, 0.06 and 1/8 and a guard of 20, and 0.694 and 0.682 with 1/8 and 1 and a guard of 10.
A bit of one compound alone teaches nothing about any other: it has no row, which changed nothing in quality.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedapp.model.network import Trunk

ROWS, DIFFERENCE = "private.rows", "private.difference"
SHARE = 1 / 8
LEAST = 2  # training compounds that hold the bit of a private row


def private_bits(counts: NDArray[np.integer], sent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bits with private rows: bool [bits].

    Args:
        counts: Training compounds that hold each bit, [bits].
        sent: Bits whose rows may leave.
    """
    return ~sent & (counts >= LEAST)


@dataclass(frozen=True)
class PrivateRows:
    """Which rows, and by how much they differ from the shared trunk's.

    Attributes:
        rows: int64 [P], ascending.
        difference: float32 [P, width].
    """

    rows: Tensor
    difference: Tensor

    @classmethod
    def resumed(cls, rows: Tensor, trunk: Trunk, state: dict[str, Tensor]) -> "PrivateRows":
        """These rows as an earlier training left them; 0 for those that were not private then.

        Args:
            state: That `tensors` are in; empty before the first training.
        """
        earlier = state.get(ROWS, rows[:0]).to(rows.device)
        if torch.equal(earlier, rows) and len(rows):
            return cls(rows, state[DIFFERENCE].to(rows.device))
        difference = torch.zeros((len(rows), trunk.weight.shape[1]), device=rows.device)
        if len(earlier):
            kept = torch.isin(rows, earlier)
            difference[kept] = state[DIFFERENCE].to(rows.device)[torch.searchsorted(earlier, rows[kept])]
        return cls(rows, difference)

    def tensors(self) -> dict[str, Tensor]:
        """For a partner's private state."""
        return {ROWS: self.rows, DIFFERENCE: self.difference}

    def add_to(self, trunk: Trunk) -> Tensor:
        """Turn the shared trunk into this partner's, in place; its private rows, a copy."""
        weight = trunk.weight.detach()
        rows = weight[self.rows].add_(self.difference)
        weight[self.rows] = rows
        return rows

    def trained(self, before: Tensor, trunk: Trunk) -> "PrivateRows":
        """After a training that began from the rows `before`, float32 [P, width]."""
        change = trunk.weight.detach()[self.rows].sub_(before)
        return replace(self, difference=change.mul_(SHARE).add_(self.difference))
