"""A training step of PSPNet at the paper's size, on random images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.random_images import Size, describe_size, random_batches
from benchmarks.steps import MethodVariant, Problem, count_parameters
from mtl_bench.architectures.pspnet import PSPNet
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.datasets.cityscapes.tasks import cityscapes_tasks

SIZE, TINY = (8, 256, 512), (2, 64, 128)
"""Images, rows, columns of a batch; targets are at an eighth of it."""

CLASSES = 19

VARIANTS = {
    "taskforce representation": MethodVariant("taskforce", {"level": "representation"}),
    "taskforce same_batch": MethodVariant("taskforce", fields={"transition": "same_batch"}),
}


def problem(data: Path, profile: str = "paper") -> Problem:
    """Return batch 8 of random images and labels on the paper's PSPNet, from random weights.

    Args:
        data: not used.
        profile: ``paper``, or ``smoke``: small images and few channels, for tests.
    """
    size, width = (TINY, 1 / 64) if profile == "smoke" else (SIZE, 1.0)
    tasks = cityscapes_tasks(CLASSES)
    names = [task.name for task in tasks]
    torch.manual_seed(0)

    def build(own: Sequence[str]) -> PSPNet:
        return PSPNet(own, classes=CLASSES, width=width, pretrained=None)

    network = build(names)
    return Problem(
        name="pspnet",
        dataset="cityscapes",
        title=f"PSPNet with {count_parameters(network)} parameters, 3 tasks, {describe_size(size)}",
        network=network,
        build_separate=lambda: SingleTask(names, build),
        tasks=tasks,
        batches=random_batches(size, partial(targets, size)),
        variants=VARIANTS,
    )


def targets(size: Size, generator: torch.Generator) -> dict[str, Tensor]:
    """Return labels without meaning for a batch."""
    images, rows, columns = size[0], size[1] // 8, size[2] // 8
    return {
        "segmentation": torch.randint(0, CLASSES, (images, rows, columns), generator=generator),
        "instance": 50 * torch.randn(images, 2, rows, columns, generator=generator),
        "disparity": 10 * torch.rand(images, 1, rows, columns, generator=generator),
    }
