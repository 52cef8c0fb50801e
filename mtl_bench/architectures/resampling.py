"""Enlarging and pooling of feature maps, with gradients that repeat bit for bit on a GPU too.

On a CPU torch's own operations do, and do it fastest. On a GPU the gradient of its adaptive pooling
adds numbers up in any order, and that of its bilinear interpolation, where deterministic algorithms
are asked for, is put together by indexed additions, the slow way. Both operations are linear in the
rows and in the columns, so there they are two products with small matrices instead. That is how
torch 2.14's sources read; it is not measured on a GPU yet.

Legend of shape suffixes: B images, C channels, H rows, W columns; P rows, Q columns of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def enlarge(features_BCHW: Tensor) -> Tensor:
    """Return maps twice as high and wide, interpolated bilinearly with aligned corners."""
    if _torch_repeats(features_BCHW):
        return functional.interpolate(
            features_BCHW, scale_factor=2, mode="bilinear", align_corners=True
        )
    height, width = features_BCHW.shape[2:]
    return resample(
        features_BCHW,
        interpolation_shares(features_BCHW, height, 2 * height, align_corners=True),
        interpolation_shares(features_BCHW, width, 2 * width, align_corners=True),
    )


def pool(features_BCHW: Tensor, cells: int) -> Tensor:
    """Return the means of a grid of ``cells`` x ``cells``, as ``adaptive_avg_pool2d`` cuts it."""
    if _torch_repeats(features_BCHW):
        return functional.adaptive_avg_pool2d(features_BCHW, cells)
    height, width = features_BCHW.shape[2:]
    return resample(
        features_BCHW,
        pooling_shares(features_BCHW, height, cells),
        pooling_shares(features_BCHW, width, cells),
    )


def resample(features_BCHW: Tensor, rows_PH: Tensor, columns_QW: Tensor) -> Tensor:
    """Return the maps with rows and columns mixed by their shares, (B, C, P, Q)."""
    return rows_PH @ (features_BCHW @ columns_QW.T)


def interpolation_shares(like: Tensor, count: int, length: int, *, align_corners: bool) -> Tensor:
    """Return the share of each of ``count`` values in their linear interpolation.

    Args:
        like: a tensor of the device and type that are wanted.
        count: values that there are.
        length: values that are drawn from them.
        align_corners: whether the first and last values stay; else pixels keep their borders.

    Returns:
        (length, count), rows of sum 1.
    """
    drawn = functional.interpolate(
        _identity(like, count), size=length, mode="linear", align_corners=align_corners
    )
    return drawn[0].T


def pooling_shares(like: Tensor, length: int, cells: int) -> Tensor:
    """Return the share of each of ``length`` values in the means of ``cells``, (cells, length)."""
    return functional.adaptive_avg_pool1d(_identity(like, length), cells)[0].T


def _identity(like: Tensor, size: int) -> Tensor:
    return torch.eye(size, device=like.device, dtype=like.dtype)[None]


def _torch_repeats(features_BCHW: Tensor) -> bool:
    """Return whether torch's own operations will do: they repeat themselves, or need not."""
    return features_BCHW.is_cpu or not torch.are_deterministic_algorithms_enabled()
