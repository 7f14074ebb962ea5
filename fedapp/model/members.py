"""The members of a model that predicts: one model, or two whose outputs are averaged; and how each lies in a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedapp.model.network import Heads, Trunk

USED = "used"


@dataclass(frozen=True)
class Member:
    """A model that predicts, or one of two whose outputs are averaged.

    Attributes:
        name: `FEDERATED` or `LOCAL`.
        round: Whose trunk it has.
        trunk, heads: In a file, and read from one, on the processor.
        shared_heads: Kind of task -> `BOTH` or `ALONE`: what predicts those of its tasks that have a shared head. Kinds without are absent.
    """

    name: str
    round: int
    trunk: Trunk
    heads: Heads
    shared_heads: Mapping[str, str] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """By names that say whose they are."""
        parts = {"trunk": self.trunk, "heads": self.heads}
        return {f"{self.name}.{part}.{name}": each for part, module in parts.items() for name, each in module.state_dict().items()}

    def packed(self, used: Tensor | None = None) -> "PackedMember":
        """As it is in a file.

        Args:
            used: Bits of which its first layer has rows, those of all others being zero: bool [bits]; None if it has a row of each, of
                which those that are zero, half of them and more, are left out.
        """
        weight = self.trunk.weight.detach()
        if used is None:
            used = weight.view(torch.int32).any(dim=1)  # minus zero is not zero
            weight = weight[used]
        rows = {f"{self.name}.trunk.weight": weight, f"{self.name}.trunk.{USED}": used}
        return PackedMember(self.name, self.round, self.tensors() | rows, self.shared_heads)


@dataclass(frozen=True)
class PackedMember:
    """A member as it is in a file.

    Attributes:
        name, round: As of a `Member`.
        tensors: As `Member.tensors`, but of the first layer the rows that are not zero, and `used`, bool [bits], which says whose they are.
        shared_heads: As of a `Member`.
    """

    name: str
    round: int
    tensors: Mapping[str, Tensor]
    shared_heads: Mapping[str, str] = field(default_factory=dict)

    def packed(self) -> "PackedMember":
        """It is."""
        return self
