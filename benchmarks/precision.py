"""What bf16 does to the Gram matrix of the paper's MPNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.steps import CPU
from mtl_bench import build_architecture, build_dataset, build_method
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients


def measure(data: Path) -> dict[str, float]:
    """Return the largest changes on the untrained network and one batch.

    ``squared_norm`` is relative to float32, ``cosine`` absolute.
    """
    dataset: Any = build_dataset("qm9", data=str(data))
    network = build_architecture("qm9")
    method = build_method("mgda", len(dataset.tasks))
    batch = next(iter(dataset.train_batches(1)))
    full_TT, half_TT = (
        BatchGradients(network, dataset.tasks, method, CPU, precision=name)([batch]).gram()
        for name in ("float32", "bf16")
    )
    change_T = (half_TT.diagonal() - full_TT.diagonal()).abs() / full_TT.diagonal()
    return {
        "squared_norm": change_T.max().item(),
        "cosine": (_cosines(half_TT) - _cosines(full_TT)).abs().max().item(),
    }


def render(result: dict[str, float]) -> str:
    """Return the changes in words."""
    return (
        f"squared gradient norms change by up to {result['squared_norm']:.1%}, "
        f"cosines by up to {result['cosine']:.3f}"
    )


def _cosines(gram_TT: Tensor) -> Tensor:
    inverse_T = torch.rsqrt(gram_TT.diagonal())
    return gram_TT * inverse_T[:, None] * inverse_T
