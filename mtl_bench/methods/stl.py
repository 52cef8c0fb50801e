"""Single-task learning."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from mtl_bench.methods.base import Method


class STL(Method):
    """Trains a separate network for every task: the reference S of Δm and Δt.

    Each network is the benchmark's architecture with that task's head alone, with its own
    optimiser and schedule, and its epoch is selected by its own task's validation metric. (The
    official QM9 code compares that metric with a stored average over all tasks, so that its STL
    networks are not selected as described; here like is compared with like.)

    Example:
        >>> import torch
        >>> from mtl_bench import STL
        >>> STL(2).weights(torch.tensor([0.5, 2.0]))
        tensor([1., 1.])
    """

    separate_networks: ClassVar[bool] = True

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: never."""
        return False

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return ones, (T,)."""
        return torch.ones_like(losses_T)
