"""PSPNet: a dilated ResNet-50 with a pyramid-pooling head per task.

Legend of shape suffixes: B images, C channels in, O channels out, H rows, W columns, P rows of a
pooled grid, Q its columns, Y and X rows and columns of a 3x3 kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.dense import DenseNetwork, network_input, scaled_channels
from mtl_bench.architectures.pretrained import (
    fetch_weights,
    load_encoder,
    warn_of_random_encoder,
)
from mtl_bench.architectures.resampling import interpolation_shares, pool
from mtl_bench.architectures.resnet import ResNetEncoder
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import ConfigError
from mtl_bench.values import Name, Positive, PositiveInt

GRIDS = (1, 2, 3, 6)
"""Rows, and columns, of the pooled grids."""


class Grid(NamedTuple):
    """Features of a grid of P x P cells, and the way back to full size.

    Args:
        cells_BCPQ: the features.
        rows_HYP: the share of the grid's row p in the interpolated row h + y - 1, zero outside.
        columns_WXQ: likewise for columns.
    """

    cells_BCPQ: Tensor
    rows_HYP: Tensor
    columns_WXQ: Tensor


def interpolation(like: Tensor, cells: int, length: int) -> Tensor:
    """Return what the three taps of a convolution see of ``cells`` values drawn out to ``length``.

    Entry (h, y, p) is the share of value p in the linear interpolation (half-pixel centres, torch's
    ``align_corners=False``) at position h + y - 1, zero outside, as zero padding of 1 has it.
    """
    drawn_HP = interpolation_shares(like, cells, length, align_corners=False)
    return functional.pad(drawn_HP.T, (1, 1)).unfold(1, 3, 1).permute(1, 2, 0)


def convolve_interpolated(grids: Sequence[Grid], weights: Sequence[Tensor]) -> Tensor:
    """Return the sum over grids of a 3x3 convolution of the bilinearly interpolated grid.

    Convolution and interpolation are both linear, so they are re-ordered: the kernel meets the at
    most 36 cells, then rows and columns are drawn out. The function is the same up to rounding; the
    work is a small fraction of a convolution at full size.

    Args:
        grids: G grids of (B, C, P, P).
        weights: G kernels, (O, C, 3, 3).
    """
    narrow, rows = [], []
    for (cells_BCPQ, rows_HYP, columns_WXQ), weight_OCYX in zip(grids, weights, strict=True):
        taps = torch.einsum("ocyx,bcpq->boypxq", weight_OCYX, cells_BCPQ)
        narrow.append(torch.einsum("boypxq,wxq->boypw", taps, columns_WXQ).flatten(2, 3))
        rows.append(rows_HYP.flatten(1))
    return torch.einsum("hk,bokw->bohw", torch.cat(rows, dim=1), torch.cat(narrow, dim=2))


class PyramidHead(nn.Module):
    """Pyramid pooling and two convolutions (Zhao et al., CVPR 2017) for one task.

    Every grid passes a 1x1 convolution with batch normalisation and ReLU and is drawn out to full
    size; with the features it meets a 3x3 convolution, batch normalisation, ReLU and a 1x1
    convolution. The concatenation is never made, see `convolve_interpolated`.

    Args:
        inputs: channels of the features.
        hidden: channels of each branch and of the 3x3 convolution's output.
        outputs: channels of the prediction.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, hidden, 1, bias=False),
                nn.BatchNorm2d(hidden),
                nn.ReLU(inplace=True),
            )
            for _ in GRIDS
        )
        self.join = nn.Conv2d(inputs + len(GRIDS) * hidden, hidden, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(hidden)
        self.output = nn.Conv2d(hidden, outputs, 1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return the prediction, (B, outputs, H, W)."""
        inputs, height, width = features_BCHW.shape[1:]
        grids = [
            Grid(
                branch(pool(features_BCHW, cells)),
                interpolation(features_BCHW, cells, height),
                interpolation(features_BCHW, cells, width),
            )
            for branch, cells in zip(self.branches, GRIDS, strict=True)
        ]
        shares = self.join.weight.split(
            [inputs, *(grid.cells_BCPQ.shape[1] for grid in grids)], dim=1
        )
        joined_BOHW = functional.conv2d(features_BCHW, shares[0], padding=1)
        joined_BOHW += convolve_interpolated(grids, shares[1:])
        prediction: Tensor = self.output(self.norm(joined_BOHW).relu_())
        return prediction


class PSPNet(DenseNetwork):
    """A shared dilated ResNet-50 and one pyramid-pooling head per task.

    The network of the Cityscapes benchmark of Sener and Koltun (NeurIPS 2018) and Aligned-MTL
    (CVPR 2023): 92,740,694 parameters with three tasks and 19 classes, of which the encoder's
    23,508,032 are shared. All batch normalisation is trained.

    Args:
        tasks: names of the tasks, see `dense.dense_outputs`.
        width: multiplier of the numbers of channels, which stay multiples of 8; 1 is the paper's.
        classes: classes of the segmentation.
        pretrained: ImageNet weights of the encoder: ``auto`` takes torchvision's first ones from
            torch hub's cache and downloads them to there if needed, a path names a file of the same
            layout, None starts from random weights and says so.

    Predictions have an eighth of the images' size, rounded up, and are not enlarged.

    Raises:
        ConfigError: an unknown task, or ``pretrained`` at another width than 1.
        DataError: the weights are missing, damaged or of another network.
    """

    has_representation: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        width: Positive = 1.0,
        classes: PositiveInt = 19,
        pretrained: Name | None = "auto",
    ) -> None:
        super().__init__(tasks, classes)
        if pretrained is not None and width != 1:
            raise ConfigError(
                f"architecture.pretrained={pretrained} with architecture.width={width}: the "
                "weights are those of width 1; give architecture.width=1 or "
                "architecture.pretrained=null"
            )
        self.encoder = ResNetEncoder(width)
        if pretrained is None:
            warn_of_random_encoder()
        else:
            load_encoder(
                self.encoder, fetch_weights() if pretrained == "auto" else Path(pretrained)
            )
        for task, output in self.outputs.items():
            self.heads[task] = PyramidHead(
                self.encoder.channels, scaled_channels(512, width), output.channels
            )

    def representation(self, batch: ImageBatch) -> Tensor:
        """Return the encoder's output, (B, C, H / 8, W / 8)."""
        features_BCHW: Tensor = self.encoder(network_input(batch))
        return features_BCHW

    def predict(self, representation: Tensor, batch: ImageBatch) -> dict[str, Tensor]:
        """Return task -> prediction, (B, channels, H / 8, W / 8).

        Raises:
            ConfigError: a training batch of one image.
        """
        if self.training and len(representation) == 1:
            raise ConfigError(
                "PSPNet can't train on a batch of one image, since the batch normalisation of its "
                "1x1 grid sees one value per channel: give dataset.batch_size=2 or more and drop "
                "an incomplete last batch"
            )
        return super().predict(representation, batch)
