"""The dilated ResNet-50 that PSPNet reads images with.

Legend of shape suffixes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from mtl_bench.architectures.dense import scaled_channels

EXPANSION = 4
"""A block's output channels over those of its 3x3 convolution."""


class Stage(NamedTuple):
    """Blocks between two changes of resolution or dilation."""

    channels: int
    blocks: int
    stride: int
    first_dilation: int
    dilation: int


STAGES = (
    Stage(64, 3, 1, 1, 1),
    Stage(128, 4, 2, 1, 1),
    Stage(256, 6, 1, 1, 2),
    Stage(512, 3, 1, 2, 4),
)
"""ResNet-50 with the strides of its last two stages replaced by dilation: output stride 8. The
first block of such a stage keeps the dilation before it, since its input has that spacing."""


class Bottleneck(nn.Module):
    """Residual block of a 1x1, a 3x3 and a 1x1 convolution (He et al., CVPR 2016).

    The stride stands in the 3x3 convolution. Names of parameters are those of torchvision's
    checkpoints.

    Args:
        inputs: channels that come in.
        channels: of the 3x3 convolution; four times as many go out.
        stride: of the 3x3 convolution.
        dilation: of the 3x3 convolution.
    """

    def __init__(self, inputs: int, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = EXPANSION * channels
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's output, (B, 4 channels, H / stride, W / stride)."""
        y_BCHW = self.bn1(self.conv1(x_BCHW)).relu_()
        y_BCHW = self.bn2(self.conv2(y_BCHW)).relu_()
        y_BCHW = self.bn3(self.conv3(y_BCHW))
        y_BCHW += x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return y_BCHW.relu_()


class ResNetEncoder(nn.Module):
    """ResNet-50 without its classifier, at output stride 8; 23,508,032 parameters.

    Args:
        width: multiplier of the numbers of channels.

    Attributes:
        channels: of the output, 2048 at width 1.

    Initial weights are torchvision's: Kaiming's normal distribution by fan-out.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        self.channels = scaled_channels(64, width)
        self.conv1 = nn.Conv2d(3, self.channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(self.channels)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            self._stage(stage, scaled_channels(stage.channels, width)) for stage in STAGES
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, stage: Stage, channels: int) -> nn.Sequential:
        blocks = []
        for number in range(stage.blocks):
            stride, dilation = (
                (stage.stride, stage.first_dilation) if number == 0 else (1, stage.dilation)
            )
            blocks.append(Bottleneck(self.channels, channels, stride, dilation))
            self.channels = EXPANSION * channels
        return nn.Sequential(*blocks)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return features, (B, channels, H / 8, W / 8)."""
        x_BCHW = self.maxpool(self.bn1(self.conv1(images_BCHW)).relu_())
        return self.layer4(self.layer3(self.layer2(self.layer1(x_BCHW))))
