"""A training step of PSPNet at the paper's size, on random images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.random_images import random_batches
from benchmarks.steps import MethodVariant, Problem
from mtl_bench.architectures.pspnet import PSPNet
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.datasets.cityscapes.tasks import cityscapes_tasks

SIZE = (8, 256, 512)
"""Images, rows, columns of a batch; targets are at an eighth of it."""

CLASSES = 19

VARIANTS = {
    "taskforce representation": MethodVariant("taskforce", {"level": "representation"}),
    "taskforce same_batch": MethodVariant("taskforce", fields={"transition": "same_batch"}),
}


def problem(data: Path) -> Problem:
    """Return batch 8 of random images and labels on the paper's PSPNet, from random weights."""
    tasks = cityscapes_tasks(CLASSES)
    names = [task.name for task in tasks]
    torch.manual_seed(0)

    def build(own: Sequence[str]) -> PSPNet:
        return PSPNet(own, classes=CLASSES, pretrained=None)

    return Problem(
        name="pspnet",
        dataset="cityscapes",
        title="PSPNet with 92,740,694 parameters, 3 tasks, batch 8 of 256 x 512",
        network=build(names),
        build_separate=lambda: SingleTask(names, build),
        tasks=tasks,
        batches=random_batches(SIZE, targets),
        variants=VARIANTS,
    )


def targets(generator: torch.Generator) -> dict[str, Tensor]:
    """Return labels without meaning for a batch."""
    images, rows, columns = SIZE[0], SIZE[1] // 8, SIZE[2] // 8
    return {
        "segmentation": torch.randint(0, CLASSES, (images, rows, columns), generator=generator),
        "instance": 50 * torch.randn(images, 2, rows, columns, generator=generator),
        "disparity": 10 * torch.rand(images, 1, rows, columns, generator=generator),
    }
