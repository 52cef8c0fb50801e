"""Temperatures of the tasks, which keep the entropy of their policies near a target.

Legend of shape suffixes: T tasks, B samples of a task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

TemperatureLoss = Literal["log_alpha", "alpha"]


class Temperatures:
    """One α for each task, learned through log α by an optimiser of their own.

    With the entropy H = -mean log π, the loss is log α (H - target), as in metaworld-algorithms and
    Soft-Modularization, or α (H - target), as in mtrl. Either lowers α while the policy is more
    random than the target.

    Args:
        tasks: T.
        initial: the first α.
        target: entropy that is aimed at.
        loss: which of the two.
        optimizer: makes the optimiser.
        lr: its learning rate, if not that of the networks.
        device: where they live.
    """

    def __init__(
        self,
        tasks: int,
        initial: float,
        target: float,
        loss: TemperatureLoss,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        lr: float | None,
        device: torch.device,
    ) -> None:
        self.target, self.loss = target, loss
        self.log_alpha_T = nn.Parameter(torch.full((tasks,), math.log(initial), device=device))
        self.optimizer = optimizer([self.log_alpha_T])
        if lr is not None:
            self.optimizer.param_groups[0]["lr"] = lr

    @property
    def alpha_T1(self) -> Tensor:
        """α as a column, without a graph."""
        return self.log_alpha_T.detach().exp()[:, None]

    def update(self, log_probs_TB: Tensor) -> None:
        """Make one step from log π of the actions of an update."""
        slope_T = -log_probs_TB.mean(dim=1) - self.target
        scale_T = self.alpha_T1[:, 0] if self.loss == "alpha" else 1.0
        self.log_alpha_T.grad = slope_T * scale_T
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return log α and the optimiser's state."""
        return {"log_alpha": self.log_alpha_T.detach(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.log_alpha_T.data.copy_(state["log_alpha"])
        self.optimizer.load_state_dict(state["optimizer"])
