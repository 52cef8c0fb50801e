"""Fully connected layers for each task, with cross-stitch units between them.

Legend of shape suffixes: T tasks, B images, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mtl_bench.architectures.all_fc import connected_layers, convolutional_trunk
from mtl_bench.architectures.base import predicted_rows
from mtl_bench.architectures.cross_stitch import StitchUnit
from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.values import Fraction, PositiveInt


class CrossStitchFC(HeadedNetwork):
    """The network of ``AllFC``, whose tasks mix the features of their fully connected layers.

    Cross-stitch units (Misra et al., CVPR 2016) as the baseline "cross stitch, all-fc" of routing
    networks (Rosenbaum et al., ICLR 2018) for CIFAR-100: each image of a batch goes through the
    layers of all T tasks, and a unit after each of the first two has a T x T matrix for every
    feature. With twenty tasks of five classes it has 242,884 parameters; all but the last layers
    of the tasks are shared, 237,984.

    Args:
        tasks: names of the tasks.
        classes: of every task.
        own: share that each task keeps of its features at first.
    """

    has_representation: ClassVar[bool] = True
    compiled_parts: ClassVar[tuple[str, ...]] = ("representation",)

    def __init__(
        self, tasks: Sequence[str], *, classes: PositiveInt = 5, own: Fraction = 0.9
    ) -> None:
        super().__init__()
        self.trunk = convolutional_trunk()
        *layers, last = zip(*(connected_layers(classes) for _ in tasks), strict=True)
        self.layers = nn.ModuleList(map(nn.ModuleList, layers))
        self.units = nn.ModuleList(
            StitchUnit(len(tasks), of_tasks[0][0].out_features, own) for of_tasks in layers
        )
        self.heads = nn.ModuleDict(dict(zip(tasks, last, strict=True)))

    def representation(self, batch: ImageBatch) -> Tensor:
        """Return each task's mixture of the second layers, (B, T, 48), of images (B, 3, 32, 32)."""
        features = [self.trunk(batch.images_BCHW)] * len(self.heads)
        for layer, unit in zip(self.layers, self.units, strict=True):
            assert isinstance(layer, nn.ModuleList)
            own_TBF = torch.stack([own(x) for own, x in zip(layer, features, strict=True)])
            features = list(torch.einsum("tsf,sbf->tbf", unit.mix_TTC, own_TBF))
        return torch.stack(features, dim=1)

    def predict(self, representation: Tensor, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """Return task -> scores, (B, classes)."""
        rows = predicted_rows(batch, list(self.heads))
        return {
            task: head(representation[rows[task], number])
            for number, (task, head) in enumerate(self.heads.items())
            if task in rows
        }
