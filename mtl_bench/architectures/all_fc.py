"""A convolutional trunk with fully connected layers for each task.

Legend of shape suffixes: B images, C channels, H rows, W columns, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.values import PositiveInt

CHANNELS = 32
"""Of every convolution."""

CONVOLUTIONS = 4

FEATURES = 128
"""Of the trunk: its channels at 2 x 2 places of an image of 32 x 32."""

HIDDEN = 48
"""Features between fully connected layers."""


def convolutional_trunk() -> nn.Sequential:
    """Return four 3x3 convolutions with ReLU and max-pooling, a batch norm and 128 features.

    It has 28,704 parameters and takes images (B, 3, 32, 32) to (B, 128).
    """
    layers: list[nn.Module] = []
    for number in range(CONVOLUTIONS):
        convolution = nn.Conv2d(CHANNELS if number else 3, CHANNELS, 3, padding=1)
        layers += [convolution, nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.BatchNorm2d(CHANNELS), nn.Flatten())


def connected_layers(classes: int) -> list[nn.Sequential]:
    """Return three fully connected layers, two of them with ReLU; 8,789 parameters of 5 classes."""
    return [
        nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU()),
        nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU()),
        nn.Sequential(nn.Linear(HIDDEN, classes)),
    ]


class AllFC(HeadedNetwork):
    """A convolutional trunk that the tasks share, and fully connected layers, some for each task.

    The baselines of routing networks (Rosenbaum et al., ICLR 2018) for CIFAR-100 as twenty tasks,
    in the sizes of the released code: layers of 48, 48 and 5 features. With twenty tasks of five
    classes and ``own_layers=3``, "task specific, all-fc", it has 204,484 parameters, 28,704 of them
    shared; with 1, "task specific, 1-fc", 42,148, of which 37,248 are shared.

    The batch norm after the convolutions sees all images of a batch, whichever task they are of.

    Args:
        tasks: names of the tasks.
        classes: of every task.
        own_layers: the last fully connected layers, which each task has for itself.
    """

    has_representation: ClassVar[bool] = True
    compiled_parts: ClassVar[tuple[str, ...]] = ("representation",)

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        classes: PositiveInt = 5,
        own_layers: Literal[1, 2, 3] = 3,
    ) -> None:
        super().__init__()
        shared_layers = connected_layers(classes)[:-own_layers]
        self.trunk = nn.Sequential(*convolutional_trunk(), *shared_layers)
        self.heads = nn.ModuleDict(
            {task: nn.Sequential(*connected_layers(classes)[-own_layers:]) for task in tasks}
        )

    def representation(self, batch: ImageBatch) -> Tensor:
        """Return what the heads share, (B, 128 or 48), of images (B, 3, 32, 32)."""
        features: Tensor = self.trunk(batch.images_BCHW)
        return features
