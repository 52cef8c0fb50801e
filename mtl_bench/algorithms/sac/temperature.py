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
Owner = Literal["task", "shared"]


class Temperatures:
    """One α for each task, or one for all, learned through log α by an optimiser of their own.

    With the entropy H = -mean log π, the loss is log α (H - target), as in metaworld-algorithms and
    Soft-Modularization, or α (H - target), as in mtrl. Either lowers α while the policy is more
    random than the target. A shared α learns from the mean over tasks.

    Args:
        tasks: T.
        owner: whose an α is.
        initial: the first α.
        greatest: α is lowered to it after a step; None for no limit.
        target: entropy that is aimed at.
        loss: which of the two.
        optimizer: makes the optimiser.
        lr: its learning rate, if not that of the networks.
        device: where they live.
    """

    def __init__(
        self,
        tasks: int,
        owner: Owner,
        initial: float,
        greatest: float | None,
        target: float,
        loss: TemperatureLoss,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        lr: float | None,
        device: torch.device,
    ) -> None:
        self.target, self.loss = target, loss
        self.log_greatest = math.inf if greatest is None else math.log(greatest)
        count = tasks if owner == "task" else 1
        self.log_alpha = nn.Parameter(torch.full((count,), math.log(initial), device=device))
        self.optimizer = optimizer([self.log_alpha])
        if lr is not None:
            self.optimizer.param_groups[0]["lr"] = lr

    @property
    def alpha_T1(self) -> Tensor:
        """α as a column, of one number if it is shared, without a graph."""
        return self.log_alpha.detach().exp()[:, None]

    def update(self, log_probs_TB: Tensor, present: list[int] | None = None) -> None:
        """Make one step from log π of the actions of an update.

        Args:
            log_probs_TB: of all tasks.
            present: numbers of those that take part; None for all.
        """
        slope_T = -log_probs_TB.mean(dim=1) - self.target
        if len(self.log_alpha) == 1:
            slope_T = (slope_T if present is None else slope_T[present]).mean(dim=0, keepdim=True)
        elif present is not None:
            slope_T = torch.zeros_like(slope_T).index_copy(
                0, torch.tensor(present, device=slope_T.device), slope_T[present]
            )
        scale = self.alpha_T1[:, 0] if self.loss == "alpha" else 1.0
        self.log_alpha.grad = slope_T * scale
        self.optimizer.step()
        self.log_alpha.data.clamp_(max=self.log_greatest)

    def state_dict(self) -> dict[str, Any]:
        """Return log α and the optimiser's state."""
        return {"log_alpha": self.log_alpha.detach(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.log_alpha.data.copy_(state["log_alpha"])
        self.optimizer.load_state_dict(state["optimizer"])
