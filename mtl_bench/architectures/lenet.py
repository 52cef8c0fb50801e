"""LeNet for two digits in one image.

Legend of shape suffixes: B images, C channels, H rows, W columns, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.values import Fraction, PositiveInt

FEATURES = 50
"""Of the representation, and of the hidden layer of a head."""


class LeNet(HeadedNetwork):
    """Two convolutions and a linear layer that the tasks share, and two linear layers for each.

    The network of Sener and Koltun (NeurIPS 2018) for MultiMNIST: convolutions of 5x5 to 10 and to
    20 channels, each followed by a max-pooling by 2 and a ReLU, and Linear(320 -> 50) + ReLU are
    shared; Linear(50 -> 50) + ReLU and Linear(50 -> 10) belong to one task. With two tasks it has
    27,450 parameters, 21,330 of them shared.

    Dropout is as in their code: whole channels after the second convolution, the same ones in every
    image of a batch and so for every task, and single features in the head's hidden layer. What is
    kept is scaled by 1 / (1 - p) while training; their code leaves that out, so that its evaluation
    sees larger activations than its training.

    Args:
        tasks: names of the tasks.
        classes: of every task.
        dropout: p, the share of channels and of features that is left out while training.
    """

    has_representation: ClassVar[bool] = True
    compiled_parts: ClassVar[tuple[str, ...]] = ("representation",)

    def __init__(
        self, tasks: Sequence[str], *, classes: PositiveInt = 10, dropout: Fraction = 0.5
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.linear = nn.Linear(320, FEATURES)
        self.heads = nn.ModuleDict(
            {
                task: nn.Sequential(
                    nn.Linear(FEATURES, FEATURES),
                    nn.ReLU(),
                    nn.Dropout(dropout),
                    nn.Linear(FEATURES, classes),
                )
                for task in tasks
            }
        )

    def representation(self, batch: ImageBatch) -> Tensor:
        """Return what the heads share, (B, 50), of images (B, 1, 28, 28)."""
        x_BCHW = functional.max_pool2d(self.conv1(batch.images_BCHW), 2).relu()
        x_BCHW = self.conv2(x_BCHW)
        kept_C11 = functional.dropout(
            x_BCHW.new_ones(x_BCHW.shape[1], 1, 1), self.dropout, self.training
        )
        x_BCHW = functional.max_pool2d(kept_C11 * x_BCHW, 2).relu()
        return self.linear(x_BCHW.flatten(1)).relu()
