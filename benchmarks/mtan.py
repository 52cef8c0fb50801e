"""A training step of MTAN at the paper's size, on random images."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.libmtl import libmtl_steps
from benchmarks.random_images import Size, describe_size, random_batches
from benchmarks.steps import MethodVariant, Problem, count_parameters
from benchmarks.torchjd import torchjd_step
from mtl_bench.architectures.mtan import MTAN
from mtl_bench.architectures.segnet import SegNet
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.datasets.nyuv2.tasks import CLASSES, nyuv2_tasks

SIZE, TINY = (2, 288, 384), (2, 32, 64)
"""Images, rows, columns of a batch."""

VARIANTS = {
    "taskforce batched": MethodVariant("taskforce", {"backend": "batched"}),
    "taskforce streamed": MethodVariant("taskforce", {"backend": "streamed"}),
    "taskforce same_batch": MethodVariant("taskforce", fields={"transition": "same_batch"}),
    "ls bf16": MethodVariant("ls", {"precision": "bf16"}),
    "taskforce bf16": MethodVariant("taskforce", {"precision": "bf16"}),
}


def problem(data: Path, profile: str = "paper") -> Problem:
    """Return batch 2 of random images and labels on the paper's MTAN; TorchJD is the peer.

    Args:
        data: not used.
        profile: ``paper``, or ``smoke``: small images and few channels, for tests.
    """
    tasks = nyuv2_tasks("batch")
    names = [task.name for task in tasks]
    torch.manual_seed(0)
    size, width = (TINY, 1 / 64) if profile == "smoke" else (SIZE, 1.0)
    network = MTAN(names, width=width)
    return Problem(
        name="mtan",
        dataset="nyuv2",
        title=f"MTAN with {count_parameters(network)} parameters, 3 tasks, {describe_size(size)}",
        network=network,
        build_separate=lambda: SingleTask(names, partial(SegNet, width=width)),
        tasks=tasks,
        batches=random_batches(size, partial(targets, size)),
        variants=VARIANTS,
        peers={
            "TorchJD UPGrad": partial(torchjd_step, network, tasks, "UPGrad", 1),
            **libmtl_steps(network, tasks),
        },
    )


def targets(size: Size, generator: torch.Generator) -> dict[str, Tensor]:
    """Return labels without meaning for a batch."""
    images, rows, columns = size
    normals = torch.randn(images, 3, rows, columns, generator=generator)
    return {
        "segmentation": torch.randint(-1, CLASSES, size, generator=generator),
        "depth": 10 * torch.rand(images, 1, rows, columns, generator=generator),
        "normal": normals / normals.norm(dim=1, keepdim=True),
    }
