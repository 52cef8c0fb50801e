"""What the networks for dense prediction have in common.

Legend of shape suffixes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import ConfigError


class DenseOutput(NamedTuple):
    """How one task leaves its head."""

    channels: int
    activate: Callable[[Tensor], Tensor]


def dense_outputs(tasks: Sequence[str], classes: int) -> dict[str, DenseOutput]:
    """Return task -> output channels and activation.

    Args:
        tasks: names of the tasks.
        classes: channels of the segmentation.

    Raises:
        ConfigError: a task that has no dense output.
    """
    known = {
        "segmentation": DenseOutput(classes, log_probabilities),
        "depth": DenseOutput(1, as_it_is),
        "normal": DenseOutput(3, unit_vectors),
        "instance": DenseOutput(2, as_it_is),
        "disparity": DenseOutput(1, as_it_is),
    }
    for task in tasks:
        if task not in known:
            raise ConfigError(
                f"task {task}: the networks for images have no output of that name; they have "
                + ", ".join(known)
            )
    return {task: known[task] for task in tasks}


def log_probabilities(logits_BCHW: Tensor) -> Tensor:
    """Return the log-softmax over channels."""
    return functional.log_softmax(logits_BCHW, dim=1)


def unit_vectors(vectors_BCHW: Tensor) -> Tensor:
    """Return every pixel's vector divided by its Euclidean norm.

    A vector of norm zero has no direction: it stays zero and gets a zero gradient, where the plain
    quotient would make both NaN. Every other pixel is exactly the quotient.
    """
    norms_B1HW = torch.linalg.vector_norm(vectors_BCHW, dim=1, keepdim=True)
    return vectors_BCHW / norms_B1HW.masked_fill(norms_B1HW == 0, torch.inf)


def as_it_is(values_BCHW: Tensor) -> Tensor:
    """Return the argument."""
    return values_BCHW


def scaled_channels(channels: int, width: float) -> int:
    """Return ``width`` times the paper's channels, as a multiple of 8 and at least 8."""
    return max(8, 8 * round(channels * width / 8))


def network_input(batch: ImageBatch) -> Tensor:
    """Return the images in the memory layout that convolutions are fastest in.

    Convolutions hand the layout on. On a CPU channels-last takes a fifth off the time of MTAN's
    training step at the paper's size; on other devices the images are left as they are.

    A network with a strided 1x1 convolution of fewer than 16 input channels must not do this: the
    oneDNN of torch 2.14 writes past its memory in the backward pass (its issue 6035), and what
    follows are crashes or wrong gradients.
    """
    if batch.images_BCHW.device.type == "cpu":
        return batch.images_BCHW.contiguous(memory_format=torch.channels_last)
    return batch.images_BCHW


class DenseNetwork(HeadedNetwork):
    """A network whose prediction heads are the modules ``heads[task]``; all else is shared.

    Args:
        tasks: names of the tasks; only their parts are built.
        classes: channels of the segmentation.

    Raises:
        ConfigError: a task that has no dense output.
    """

    compiled_parts: ClassVar[tuple[str, ...]] = ("representation", "branch")

    def __init__(self, tasks: Sequence[str], classes: int) -> None:
        super().__init__()
        self.outputs = dense_outputs(tasks, classes)
        self.heads = nn.ModuleDict()

    def branch(self, task: str, features: Any) -> Tensor:  # noqa: ANN401 - the network's own
        """Return a task's prediction, (B, channels, H, W)."""
        return self.outputs[task].activate(self.heads[task](features))

    def branches(self, features: Any) -> dict[str, Tensor]:  # noqa: ANN401 - likewise
        """Return task -> prediction, (B, channels, H, W)."""
        return {task: self.branch(task, features) for task in self.outputs}

    def predict(self, representation: Tensor, batch: ImageBatch) -> dict[str, Tensor]:
        """Return task -> prediction, (B, channels, H, W)."""
        return self.branches(representation)
