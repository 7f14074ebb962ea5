"""A 0/1 matrix by rows and by columns, and the two products with it that training needs.

Both products run on `embedding_bag`, forwards over the rows and backwards over the columns: nothing is densified, and each sum
is taken in a fixed order, so that a repeated step gives the same bits (scatter-adds on a GPU do not).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag


@dataclass(frozen=True)
class Pattern:
    """Which entries of a matrix are set. `n` entries in all, row after row.

    Attributes:
        indices: int32 (n,), the column of each entry.
        offsets: int32 (rows,), where each row begins.
        columns: int64 (c,), the columns that have an entry, ascending.
        column_rows: int32 (n,), the row of each entry, column after column.
        column_offsets: int32 (c,), where each of `columns` begins.
        order: int64 (n,), the place of each entry of `column_rows` in `indices`.
    """

    indices: Tensor
    offsets: Tensor
    columns: Tensor
    column_rows: Tensor
    column_offsets: Tensor
    order: Tensor


def pattern(indptr: np.ndarray, indices: np.ndarray, columns: int, device: torch.device) -> Pattern:
    """The pattern of a CSR matrix without values, with `columns` columns; `indptr[0]` is 0."""
    rows = len(indptr) - 1
    matrix = scipy.sparse.csr_array((np.arange(len(indices), dtype=np.int64), indices, indptr), shape=(rows, columns)).tocsc()
    present = np.flatnonzero(np.diff(matrix.indptr))

    def tensor(values: np.ndarray, dtype: type) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=dtype)).to(device)

    return Pattern(
        indices=tensor(indices, np.int32),
        offsets=tensor(indptr[:-1], np.int32),
        columns=tensor(present, np.int64),
        column_rows=tensor(matrix.indices, np.int32),
        column_offsets=tensor(matrix.indptr[present], np.int32),
        order=tensor(matrix.data, np.int64),
    )


class GradientBuffer:
    """A dense gradient, zero but for some rows, that lives as long as its parameter.

    A fresh 32,768 × 400 tensor a step costs more in page faults than the product that fills it.
    """

    def __init__(self, like: Tensor) -> None:
        self.tensor = torch.zeros_like(like, requires_grad=False)
        self.filled = torch.zeros(len(like), dtype=torch.bool, device=like.device)

    def fill(self, rows: Tensor, values: Tensor) -> Tensor:
        """Set `rows` (distinct) to `values` and all others to 0; overwrites what an earlier call returned."""
        stale = self.filled.index_fill_(0, rows, False).nonzero().squeeze(1)
        self.tensor.index_fill_(0, stale, 0.0)
        self.tensor.index_copy_(0, rows, values)
        self.filled.index_fill_(0, stale, False).index_fill_(0, rows, True)
        return self.tensor.detach()


class _RowSums(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bits: Pattern, buffer: GradientBuffer) -> Tensor:
        ctx.bits, ctx.buffer = bits, buffer
        # Detached, because embedding_bag takes its slow way, made for its own gradient, when the weight requires one.
        return embedding_bag(bits.indices, weight.detach(), bits.offsets, mode="sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        sums = embedding_bag(ctx.bits.column_rows, gradient.contiguous(), ctx.bits.column_offsets, mode="sum")
        return ctx.buffer.fill(ctx.bits.columns, sums), None, None


def row_sums(weight: Tensor, bits: Pattern, buffer: GradientBuffer) -> Tensor:
    """`bits @ weight`, (rows, width). The gradient lies in `buffer`: take the optimiser's step before the next backward pass."""
    sums: Tensor = _RowSums.apply(weight, bits, buffer)
    return sums


class _PairLogits(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, pairs: Pattern) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(hidden, weight)
        counts = torch.diff(pairs.offsets, append=pairs.offsets.new_tensor([len(pairs.indices)]))
        left, right = hidden.repeat_interleave(counts, dim=0), weight.index_select(0, pairs.indices)
        return (left * right).sum(1) + bias.index_select(0, pairs.indices)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (hidden, weight), pairs = (tensor.detach() for tensor in ctx.saved_tensors), ctx.pairs
        gradient = gradient.contiguous()
        to_hidden = embedding_bag(pairs.indices, weight, pairs.offsets, mode="sum", per_sample_weights=gradient)
        values = gradient.index_select(0, pairs.order)
        rows = embedding_bag(pairs.column_rows, hidden, pairs.column_offsets, mode="sum", per_sample_weights=values)
        sums = embedding_bag(pairs.order.int(), gradient[:, None], pairs.column_offsets, mode="sum").squeeze(1)
        to_weight = torch.zeros_like(weight).index_copy_(0, pairs.columns, rows)
        return to_hidden, to_weight, weight.new_zeros(len(weight)).index_copy_(0, pairs.columns, sums), None


def pair_logits(hidden: Tensor, weight: Tensor, bias: Tensor, pairs: Pattern) -> Tensor:
    """`hidden @ weight.T + bias` at the set entries of `pairs` alone, row after row: (n,)."""
    logits: Tensor = _PairLogits.apply(hidden, weight, bias, pairs)
    return logits
