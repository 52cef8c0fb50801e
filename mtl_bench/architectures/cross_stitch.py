"""A SegNet for every task, with cross-stitch units between them.

Legend of shape suffixes: T tasks, B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import ClassVar

import torch
from torch import Tensor, nn

from mtl_bench.architectures.dense import DenseNetwork, network_input
from mtl_bench.architectures.segnet import (
    SegNetTrunk,
    initialize,
    prediction_head,
    require_halvable,
)
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.values import Fraction, Positive, PositiveInt


class StitchUnit(nn.Module):
    """Mixes one feature map of T networks: y_t = sum_s A[t, s, c] x_s in every channel c.

    Args:
        tasks: T.
        channels: C.
        own: A[t, t, c] at first; the rest of 1 is split evenly. A single network keeps all.
    """

    def __init__(self, tasks: int, channels: int, own: float) -> None:
        super().__init__()
        mix_TT = torch.full((tasks, tasks), (1 - own) / max(1, tasks - 1))
        mix_TT.fill_diagonal_(own if tasks > 1 else 1.0)
        self.mix_TTC = nn.Parameter(mix_TT[:, :, None].repeat(1, 1, channels))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the mixtures of T feature maps, (B, C, H, W) each."""
        return [
            reduce(add, (a_C[:, None, None] * x for a_C, x in zip(row_TC, features, strict=True)))
            for row_TC in self.mix_TTC
        ]


class CrossStitch(DenseNetwork):
    """One SegNet for every task; after each level but the last they mix their features.

    Misra et al., Cross-Stitch Networks for Multi-Task Learning, CVPR 2016, on the SegNet of Liu et
    al. (CVPR 2019) for NYU-v2: nine units, after each of the five poolings of the encoder and each
    level of the decoder but the last, have a T x T matrix for every channel, with 0.9 on the
    diagonal at first as Misra et al. recommend. Every network unpools to its own maxima. With three
    tasks it has 74,963,665 parameters, about three times SegNet's. Liu et al. have one number for
    each unit and network instead, 1 at first, so that all networks get the same mixture.

    The losses of all tasks reach every network: all is shared but the head of a task and the last
    level of its decoder, which are above all units; 74,629,440 parameters with three tasks.

    Args:
        tasks: names of the tasks, see `dense.dense_outputs`.
        width: multiplier of the numbers of channels, which stay multiples of 8; 1 is the paper's.
        classes: classes of the segmentation.
        own: share that each network keeps of its features at first.

    Images may have any size divisible by 32; predictions have the images' size.

    Raises:
        ConfigError: an unknown task.
    """

    compiled_parts: ClassVar[tuple[str, ...]] = ("stitched", "branch")

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        width: Positive = 1.0,
        classes: PositiveInt = 13,
        own: Fraction = 0.9,
    ) -> None:
        super().__init__(tasks, classes)
        trunks = {task: SegNetTrunk(width) for task in tasks}
        self.trunks = nn.ModuleDict(trunks)
        encoded, decoded = trunks[tasks[0]].encoded, trunks[tasks[0]].decoded
        self.encoder_units, self.decoder_units = (
            nn.ModuleList(StitchUnit(len(tasks), channels, own) for channels in levels)
            for levels in (encoded, decoded[1:])
        )
        for task, output in self.outputs.items():
            self.heads[task] = prediction_head(decoded[0], output.channels)
        initialize(self)

    def stitched(self, batch: ImageBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what the last level of each task's decoder takes, and the places it unpools to.

        Raises:
            DataError: the images can't be halved five times.
        """
        images_BCHW = network_input(batch)
        require_halvable(images_BCHW)
        trunks = [self._trunk(task) for task in self.outputs]
        features = [images_BCHW] * len(trunks)
        places: list[list[Tensor]] = []
        for number, unit in enumerate(self.encoder_units):
            levels = [trunk.encode(number, x) for trunk, x in zip(trunks, features, strict=True)]
            places.append([level.places for level in levels])
            features = unit([level.pooled for level in levels])
        for number in reversed(range(1, len(places))):
            features = self.decoder_units[number - 1](
                [
                    trunk.decode(number, x, at).second
                    for trunk, x, at in zip(trunks, features, places.pop(), strict=True)
                ]
            )
        return dict(zip(self.outputs, zip(features, places[0], strict=True), strict=True))

    def forward(self, batch: ImageBatch) -> dict[str, Tensor]:
        """Return task -> prediction, (B, channels, H, W)."""
        return self.branches(self.stitched(batch))

    def branch(self, task: str, features: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Return a task's prediction, (B, channels, H, W)."""
        return super().branch(task, self._trunk(task).decode(0, *features[task]).second)

    def last_shared_weight(self) -> nn.Parameter:
        """Return the mixing matrices of the unit that runs last."""
        unit = self.decoder_units[0]
        assert isinstance(unit, StitchUnit)
        return unit.mix_TTC

    def _trunk(self, task: str) -> SegNetTrunk:
        trunk = self.trunks[task]
        assert isinstance(trunk, SegNetTrunk)
        return trunk

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return every parameter below a unit, and the units'."""
        own = {p for task in self.outputs for p in self.task_parameters(task)}
        return [p for p in self.parameters() if p not in own]

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters of the last level of a task's decoder, and of its head."""
        trunk = self._trunk(task)
        last = (trunk.decoder_first[0], trunk.decoder_second[0], self.heads[task])
        return [p for module in last for p in module.parameters()]
