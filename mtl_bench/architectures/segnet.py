"""SegNet with a head per task, and the trunk that MTAN attends to.

Legend of shape suffixes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.dense import DenseNetwork, network_input, scaled_channels
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import DataError
from mtl_bench.values import Positive, PositiveInt

CHANNELS = (64, 128, 256, 512, 512)
"""Features of the five levels, finest first."""

SECOND_CONVOLUTIONS = (1, 1, 2, 2, 2)
"""Convolutions of a level after the one that changes the number of channels."""


def convolution_block(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 3x3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def prediction_head(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 3x3 and a 1x1 convolution with nothing between them."""
    return nn.Sequential(nn.Conv2d(inputs, inputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1))


def initialize(network: nn.Module) -> None:
    """Draw every convolution's weights from Glorot's normal distribution; biases are zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Level(NamedTuple):
    """The two feature maps of one level, before and after its second convolutions."""

    first: Tensor
    second: Tensor


class Encoded(NamedTuple):
    """One level of the encoder, what it hands down, and where that stood in it."""

    level: Level
    pooled: Tensor
    places: Tensor


class SegNetTrunk(nn.Module):
    """Encoder of five poolings and its mirror, which unpools to the places of the maxima.

    Args:
        width: multiplier of the numbers of channels.

    Attributes:
        encoded: channels of an encoder level's two feature maps.
        decoded: channels of a decoder level's second feature map; its first has ``encoded``.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        self.encoded = [scaled_channels(channels, width) for channels in CHANNELS]
        self.decoded = [self.encoded[0], *self.encoded[:-1]]
        self.encoder_first = nn.ModuleList(
            map(convolution_block, [3, *self.encoded[:-1]], self.encoded)
        )
        self.encoder_second = second_convolutions(self.encoded)
        self.decoder_first = nn.ModuleList(map(convolution_block, self.encoded, self.decoded))
        self.decoder_second = second_convolutions(self.decoded)

    def forward(self, images_BCHW: Tensor) -> tuple[list[Level], list[Level]]:
        """Return the levels of the encoder and of the decoder, finest first.

        An encoder level has the outputs of its first and of its second convolutions, a decoder
        level the unpooled input and the output of its second convolutions.

        Raises:
            DataError: the images can't be halved five times.
        """
        require_halvable(images_BCHW)
        encoder, decoder, places = [], [], []
        x = images_BCHW
        for number in range(len(CHANNELS)):
            level, x, indices = self.encode(number, x)
            encoder.append(level)
            places.append(indices)
        for number in reversed(range(len(CHANNELS))):
            decoder.append(self.decode(number, x, places.pop()))
            x = decoder[-1].second
        return encoder, decoder[::-1]

    def last_weight(self) -> nn.Parameter:
        """Return the kernel of the convolution that runs last, of the finest decoder level."""
        kernels = (p for p in self.decoder_second[0].parameters() if p.dim() > 1)
        return [*kernels][-1]

    def encode(self, number: int, x_BCHW: Tensor) -> Encoded:
        """Return a level of the encoder, counted from the finest."""
        before = self.encoder_first[number](x_BCHW)
        after = self.encoder_second[number](before)
        pooled, places = functional.max_pool2d(after, 2, return_indices=True)
        return Encoded(Level(before, after), pooled, places)

    def decode(self, number: int, x_BCHW: Tensor, places_BCHW: Tensor) -> Level:
        """Return a level of the decoder, which unpools to the encoder's places."""
        unpooled = unpool(x_BCHW, places_BCHW)
        return Level(unpooled, self.decoder_second[number](self.decoder_first[number](unpooled)))


def require_halvable(images_BCHW: Tensor) -> None:
    """Raise unless images can be halved five times.

    Raises:
        DataError: they can't.
    """
    height, width = images_BCHW.shape[2:]
    if height % 32 or width % 32:
        raise DataError(
            f"images of {height} x {width} pixels: the SegNet trunk needs multiples of 32"
        )


def second_convolutions(channels: Sequence[int]) -> nn.ModuleList:
    """Return each level's convolutions that keep the number of channels."""
    return nn.ModuleList(
        nn.Sequential(*(convolution_block(c, c) for _ in range(repeats)))
        for c, repeats in zip(channels, SECOND_CONVOLUTIONS, strict=True)
    )


class SegNet(DenseNetwork):
    """SegNet whose tasks share everything but a head of two convolutions.

    SegNet (Badrinarayanan et al., TPAMI 2017) in the form that MTAN (Liu et al., CVPR 2019) calls
    "split": 25,055,185 parameters with NYU-v2's three tasks, 24,943,296 of them shared. With one
    task it is the single-task network of the NYU-v2 benchmark, of 24,981,069 parameters for
    segmentation.

    Args:
        tasks: names of the tasks, see `dense.dense_outputs`.
        width: multiplier of the numbers of channels, which stay multiples of 8; 1 is the paper's.
        classes: classes of the segmentation.

    Images may have any size divisible by 32; predictions have the images' size.

    Raises:
        ConfigError: an unknown task.
    """

    has_representation: ClassVar[bool] = True

    def __init__(
        self, tasks: Sequence[str], *, width: Positive = 1.0, classes: PositiveInt = 13
    ) -> None:
        super().__init__(tasks, classes)
        self.trunk = SegNetTrunk(width)
        for task, output in self.outputs.items():
            self.heads[task] = prediction_head(self.trunk.decoded[0], output.channels)
        initialize(self)

    def representation(self, batch: ImageBatch) -> Tensor:
        """Return the decoder's last feature map, (B, C, H, W)."""
        _, decoder = self.trunk(network_input(batch))
        return decoder[0].second

    def last_shared_weight(self) -> nn.Parameter:
        """Return the kernel of the trunk's last convolution."""
        return self.trunk.last_weight()


def unpool(x_BCHW: Tensor, places_BCHW: Tensor) -> Tensor:
    """Put values back where a pooling over windows of 2 x 2 took them from; zeros elsewhere.

    torch counts this among the operations that don't repeat themselves, because windows could
    overlap. These don't: every place gets one value, whatever the order.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        return functional.max_unpool2d(x_BCHW, places_BCHW, [2, 2])
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
