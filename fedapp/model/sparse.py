"""A 0/1 matrix by rows and by columns, and the two products with it that training needs.

Both products run on `embedding_bag`, forwards over the rows and backwards over the columns: nothing is densified, and each sum
is taken in a fixed order, so that a repeated step gives the same bits (scatter-adds on a GPU do not).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import embedding_bag

with catch_warnings():  # the first tensor of this layout in a process says that it is in beta
    simplefilter("ignore")
    torch.sparse_csr_tensor([0], [], [], (0, 0))

BLOCK = 1 << 18  # values that are worked on at a time: with what goes along with them, they fit the processor's cache


@dataclass(frozen=True)
class Pattern:
    """Which entries of a matrix are set. `n` entries in all, row after row.

    Attributes:
        indices: int32 (n,), the column of each entry.
        offsets: int32 (rows,), where each row begins.
        column_rows: int32 (n,), the row of each entry, column after column.
        column_offsets: int32 (columns,), where each column begins.
        order: int64 (n,), the place of each entry of `column_rows` in `indices`.
    """

    indices: Tensor
    offsets: Tensor
    column_rows: Tensor
    column_offsets: Tensor
    order: Tensor


def pattern(indptr: np.ndarray, indices: np.ndarray, columns: int, device: torch.device) -> Pattern:
    """The pattern of a CSR matrix without values, with `columns` columns; `indptr[0]` is 0."""
    rows = len(indptr) - 1
    matrix = scipy.sparse.csr_array((np.arange(len(indices), dtype=np.int64), indices, indptr), shape=(rows, columns)).tocsc()

    def tensor(values: np.ndarray, dtype: type) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=dtype)).to(device)

    return Pattern(
        indices=tensor(indices, np.int32),
        offsets=tensor(indptr[:-1], np.int32),
        column_rows=tensor(matrix.indices, np.int32),
        column_offsets=tensor(matrix.indptr[:-1], np.int32),
        order=tensor(matrix.data, np.int64),
    )


@dataclass(frozen=True)
class WeightGradient:
    """The gradient of `row_sums` with regard to its weight, which is computed a few rows at a time, where and when it is used.

    A dense 32,768 × 400 tensor a step costs more in memory traffic than the product that fills it.

    Attributes:
        bits: Of the batch.
        of_sums: Gradient with regard to the sums, float32 (compounds, width).
    """

    bits: Pattern
    of_sums: Tensor

    def blocks(self, size: int) -> Iterator[Tensor]:
        """The gradients of `size` consecutive rows of the weight after the other, float32 (size, width), and of those that are left."""
        offsets = self.bits.column_offsets
        begins = offsets[::size]
        within = offsets - begins.repeat_interleave(size)[: len(offsets)]
        bounds = pairwise([*begins.tolist(), len(self.bits.column_rows)])
        for (begin, end), own in zip(bounds, within.split(size), strict=True):
            yield embedding_bag(self.bits.column_rows[begin:end], self.of_sums, own, mode="sum")

    def dense(self) -> Tensor:
        """Of all rows: float32 (bits, width)."""
        return embedding_bag(self.bits.column_rows, self.of_sums, self.bits.column_offsets, mode="sum")


class _RowSums(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bits: Pattern, kept: list[WeightGradient] | None) -> Tensor:
        ctx.bits, ctx.kept = bits, kept
        # Detached, because embedding_bag takes its slow way, made for its own gradient, when the weight requires one.
        return embedding_bag(bits.indices, weight.detach(), bits.offsets, mode="sum")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        found = WeightGradient(ctx.bits, gradient.contiguous())
        if ctx.kept is None:
            return found.dense(), None, None
        ctx.kept.append(found)
        return None, None, None


def row_sums(weight: Tensor, bits: Pattern, kept: list[WeightGradient] | None = None) -> Tensor:
    """`bits @ weight`, (rows, width).

    Args:
        kept: Takes up the weight's gradient in a backward pass, instead of `weight.grad`.
    """
    sums: Tensor = _RowSums.apply(weight, bits, kept)
    return sums


class _PairLogits(Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, pairs: Pattern) -> Tensor:
        ctx.pairs = pairs
        ctx.save_for_backward(hidden, weight)
        ends = torch.cat([pairs.offsets, pairs.offsets.new_tensor([len(pairs.indices)])])
        zeros = torch.sparse_csr_tensor(
            ends, pairs.indices, hidden.new_zeros(len(pairs.indices)), (len(hidden), len(weight)), check_invariants=False
        )
        products: Tensor = torch.sparse.sampled_addmm(zeros, hidden.detach(), weight.detach().T).values()
        return products.add_(bias.index_select(0, pairs.indices))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (hidden, weight), pairs = (tensor.detach() for tensor in ctx.saved_tensors), ctx.pairs
        gradient = gradient.contiguous()
        to_hidden = embedding_bag(pairs.indices, weight, pairs.offsets, mode="sum", per_sample_weights=gradient)
        values = gradient.index_select(0, pairs.order)
        to_weight = embedding_bag(pairs.column_rows, hidden, pairs.column_offsets, mode="sum", per_sample_weights=values)
        to_bias = embedding_bag(pairs.order.int(), gradient[:, None], pairs.column_offsets, mode="sum").squeeze(1)
        return to_hidden, to_weight, to_bias, None


def pair_logits(hidden: Tensor, weight: Tensor, bias: Tensor, pairs: Pattern) -> Tensor:
    """`hidden @ weight.T + bias` at the set entries of `pairs` alone, row after row: (n,)."""
    logits: Tensor = _PairLogits.apply(hidden, weight, bias, pairs)
    return logits
