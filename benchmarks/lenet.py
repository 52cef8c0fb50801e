"""A training step of LeNet at the paper's size, plain and compiled, on random images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.steps import CPU, MethodVariant, Problem
from mtl_bench.algorithms.supervised.compiler import Compiler
from mtl_bench.architectures.lenet import LeNet
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.datasets.classification import classify
from mtl_bench.datasets.images import ImageBatch

NAMES = ("left", "right")

BATCH = 256


def problem(data: Path) -> Problem:
    """Return batches of random images of 28 x 28; no data are read."""
    torch.manual_seed(0)
    options = {"compiler": Compiler("default", CPU)}
    return Problem(
        name="lenet",
        dataset="multimnist",
        title=f"LeNet with 27,450 parameters, 2 tasks, batch {BATCH} of 28 x 28",
        network=LeNet(NAMES),
        build_separate=lambda: SingleTask(NAMES, LeNet),
        tasks=[classify(name, name) for name in NAMES],
        batches=batches(),
        variants={f"{name} compiled": MethodVariant(name, options) for name in ("ls", "mgda")},
    )


def batches() -> Iterator[ImageBatch]:
    """Yield random images with labels, without end."""
    generator = torch.Generator().manual_seed(0)
    while True:
        yield ImageBatch(
            torch.rand(BATCH, 1, 28, 28, generator=generator),
            {name: torch.randint(10, (BATCH,), generator=generator) for name in NAMES},
        )
