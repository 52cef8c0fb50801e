"""Inner products of very long rows.

Legend of shape suffixes: S rows, B columns, b columns of a block, N blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

GRAM_BLOCK = 1 << 15
"""Columns that one product covers."""


def gram_matrix(rows_SB: Tensor) -> Tensor:
    """Return the (S, S) inner products of the rows, float64 on their device.

    Blocks of columns are multiplied in the rows' own precision and added in float64. Matrix
    products sum along columns one after the other: in float32, squares that are summed over
    millions of columns lose up to a thousandth.

    Example:
        >>> import torch
        >>> gram_matrix(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        tensor([[5., 3.],
                [3., 9.]], dtype=torch.float64)
    """
    blocks = rows_SB.shape[1] // GRAM_BLOCK
    whole_SB, rest_Sb = rows_SB.tensor_split([blocks * GRAM_BLOCK], dim=1)
    whole_NSb = whole_SB.unflatten(1, (blocks, GRAM_BLOCK)).transpose(0, 1)
    return (whole_NSb @ whole_NSb.mT).sum(0, dtype=torch.float64) + rest_Sb @ rest_Sb.T
