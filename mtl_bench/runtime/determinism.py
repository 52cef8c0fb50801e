"""How much torch has to promise that a run can be repeated bit for bit."""

from __future__ import annotations

import os
from typing import Literal

import torch

Determinism = Literal["off", "warn", "strict"]


def set_determinism(mode: Determinism) -> None:
    """Choose the algorithms of this process; call it before the GPU is used.

    On a CPU, with the same number of threads, runs repeat themselves in every mode. On a GPU some
    operations have no deterministic algorithm: ``warn`` uses one where there is one and warns
    where there is none, ``strict`` stops there, and ``off`` takes the fastest.

    Args:
        mode: ``off``, ``warn`` or ``strict``.
    """
    torch.use_deterministic_algorithms(mode != "off", warn_only=mode == "warn")
    # else torch fills every new tensor with NaN, for mistakes that are not ours, and slowly
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = mode != "off"
    torch.backends.cudnn.benchmark = mode == "off"  # what it finds fastest varies from run to run
    if mode != "off":  # cuBLAS reads it when its first handle is made
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
