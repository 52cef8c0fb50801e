"""The residual network for the attributes of faces.

Legend of shape suffixes: B images, C channels, H rows, W columns, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.dense import scaled_channels
from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.values import Positive, PositiveInt

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Channels and stride of the four stages, of two blocks each."""


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions (He et al., CVPR 2016).

    Args:
        inputs: channels that come in.
        channels: that go out.
        stride: of the first convolution.
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's output, (B, channels, H / stride, W / stride)."""
        y_BCHW = self.bn1(self.conv1(x_BCHW)).relu_()
        y_BCHW = self.bn2(self.conv2(y_BCHW))
        y_BCHW += x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return y_BCHW.relu_()


class CelebAResNet(HeadedNetwork):
    """ResNet-18 for images of 64 x 64, shared by the tasks, with one linear head for each.

    The network of Sener and Koltun (NeurIPS 2018) for the forty attributes of CelebA: a 3x3
    convolution of stride 1 in place of the 7x7 one and its max-pooling, four stages of two blocks,
    an average-pooling by 4 that leaves 2 x 2 places, and Linear(2048 -> 2) for every attribute.
    With forty tasks it has 11,332,752 parameters, 11,168,832 of them shared: those of the ResNet-18
    for CIFAR, 11,173,962, without its classifier.

    Args:
        tasks: names of the tasks.
        classes: of every task.
        width: multiplier of the numbers of channels, which stay multiples of 8; 1 is the paper's.
    """

    has_representation: ClassVar[bool] = True
    compiled_parts: ClassVar[tuple[str, ...]] = ("representation",)

    def __init__(
        self, tasks: Sequence[str], *, classes: PositiveInt = 2, width: Positive = 1.0
    ) -> None:
        super().__init__()
        channels = scaled_channels(64, width)
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        stages = []
        for paper, stride in STAGES:
            outputs = scaled_channels(paper, width)
            stages.append(
                nn.Sequential(
                    BasicBlock(channels, outputs, stride), BasicBlock(outputs, outputs, 1)
                )
            )
            channels = outputs
        self.stages = nn.Sequential(*stages)
        self.heads = nn.ModuleDict({task: nn.Linear(4 * channels, classes) for task in tasks})

    def representation(self, batch: ImageBatch) -> Tensor:
        """Return what the heads share, (B, 2048 at width 1), of images (B, 3, 64, 64)."""
        # not channels-last, which narrow ones of the strided 1x1 convolutions can't have: see
        # dense.network_input
        x_BCHW = self.bn1(self.conv1(batch.images_BCHW)).relu_()
        return functional.avg_pool2d(self.stages(x_BCHW), 4).flatten(1)
