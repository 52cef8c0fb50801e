"""The multi-task attention network on SegNet.

Legend of shape suffixes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.dense import DenseNetwork, network_input
from mtl_bench.architectures.resampling import enlarge
from mtl_bench.architectures.segnet import (
    Level,
    SegNetTrunk,
    convolution_block,
    initialize,
    prediction_head,
)
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.values import Positive, PositiveInt


class Attention(nn.Module):
    """A mask in (0, 1) over a trunk's features, from two 1x1 convolutions.

    Args:
        inputs: channels of what the mask is computed from.
        features: channels of the mask, and of the layer between.
    """

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(inputs, features, 1)
        self.reduce_norm = nn.BatchNorm2d(features)
        self.mask = nn.Conv2d(features, features, 1)
        self.mask_norm = nn.BatchNorm2d(features)

    def forward(self, features_BCHW: Tensor, source_BCHW: Tensor) -> Tensor:
        """Return the features times the mask that the source gives."""
        hidden_BCHW = self.reduce_norm(self.reduce(source_BCHW)).relu_()
        return self.mask_norm(self.mask(hidden_BCHW)).sigmoid_() * features_BCHW


class TaskAttention(nn.Module):
    """One task's attention to every level of the trunk.

    Args:
        encoded: channels of the trunk's encoder levels.
        decoded: channels of the trunk's decoder levels.
    """

    def __init__(self, encoded: Sequence[int], decoded: Sequence[int]) -> None:
        super().__init__()
        finer = [0, *encoded[1:]]  # what the level above hands down; nothing to the first
        self.encoder = nn.ModuleList(
            Attention(own + from_above, own) for own, from_above in zip(encoded, finer, strict=True)
        )
        self.decoder = nn.ModuleList(
            Attention(own + from_below, from_below)
            for own, from_below in zip(encoded, decoded, strict=True)
        )

    def forward(
        self,
        encoder: Sequence[Level],
        decoder: Sequence[Level],
        encoder_mix: nn.ModuleList,
        decoder_mix: nn.ModuleList,
    ) -> Tensor:
        """Return the task's features at full resolution, (B, C, H, W).

        Args:
            encoder: the trunk's encoder levels, finest first.
            decoder: its decoder levels, finest first.
            encoder_mix: for each level, the convolutions that all tasks pass on with.
            decoder_mix: likewise on the way up.
        """
        x: Tensor | None = None
        for attention, mix, level in zip(self.encoder, encoder_mix, encoder, strict=True):
            source = level.first if x is None else torch.cat([level.first, x], dim=1)
            x = functional.max_pool2d(mix(attention(level.second, source)), 2)
        assert x is not None
        for attention, mix, level in zip(
            reversed(self.decoder), reversed(decoder_mix), reversed(decoder), strict=True
        ):
            x = attention(level.second, torch.cat([level.first, mix(enlarge(x))], dim=1))
        return x


class MTAN(DenseNetwork):
    """SegNet shared by all tasks, with soft attention of every task to every level of it.

    Liu et al. (CVPR 2019), in the form that the NYU-v2 benchmark of CAGrad, Nash-MTL and
    Aligned-MTL trains: 44,229,073 parameters with three tasks. As in Nash-MTL's and Aligned-MTL's
    code all but the heads counts as shared, 44,117,184 parameters, although the attention modules
    of a task are reached by its loss alone; the tasks meet in no single tensor.

    Args:
        tasks: names of the tasks, see `dense.dense_outputs`.
        width: multiplier of the numbers of channels, which stay multiples of 8; 1 is the paper's.
        classes: classes of the segmentation.

    Images may have any size divisible by 32; predictions have the images' size. A normal of length
    zero is predicted as zero, where the official code divides by it.

    Raises:
        ConfigError: an unknown task.
    """

    compiled_parts: ClassVar[tuple[str, ...]] = ("levels", "branch")

    def __init__(
        self, tasks: Sequence[str], *, width: Positive = 1.0, classes: PositiveInt = 13
    ) -> None:
        super().__init__(tasks, classes)
        self.trunk = SegNetTrunk(width)
        encoded, decoded = self.trunk.encoded, self.trunk.decoded
        self.encoder_mix = nn.ModuleList(
            map(convolution_block, encoded, [*encoded[1:], encoded[-1]])
        )
        self.decoder_mix = nn.ModuleList(map(convolution_block, encoded, decoded))
        self.attention = nn.ModuleDict()
        for task, output in self.outputs.items():
            self.attention[task] = TaskAttention(encoded, decoded)
            self.heads[task] = prediction_head(decoded[0], output.channels)
        initialize(self)

    def levels(self, batch: ImageBatch) -> tuple[list[Level], list[Level]]:
        """Return the levels of the trunk's encoder and decoder."""
        levels: tuple[list[Level], list[Level]] = self.trunk(network_input(batch))
        return levels

    def forward(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Return task -> prediction, (B, channels, H, W)."""
        return self.branches(self.levels(batch))

    def branch(self, task: str, features: tuple[list[Level], list[Level]]) -> Tensor:
        """Return a task's prediction, (B, channels, H, W)."""
        encoder, decoder = features
        attended_BCHW = self.attention[task](encoder, decoder, self.encoder_mix, self.decoder_mix)
        return super().branch(task, attended_BCHW)

    def last_shared_weight(self) -> nn.Parameter:
        """Return the kernel of the trunk's last convolution, the last that every task reaches."""
        return self.trunk.last_weight()
