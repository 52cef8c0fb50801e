"""Numbers that a method learns by gradient descent next to the network."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

LOG_RESOLUTION = 2 * math.log(torch.finfo(torch.float32).eps)
"""-31.9, the logarithm of the squared rounding error of float32: no squared error of predictions
of order 1 is known to be smaller, so that no learned variance has to be."""


class LearnedVector(nn.Module):
    """One float64 number per task with an Adam optimiser of its own.

    The optimiser's state is extra state, so that a loaded vector goes on as if it never stopped.

    Args:
        num_tasks: T.
        initial: where every number starts.
        learning_rate: of Adam.
        lowest: bound of every number.
        highest: the other one.
        weight_decay: of Adam.
    """

    def __init__(
        self,
        num_tasks: int,
        initial: float,
        learning_rate: float,
        lowest: float = -math.inf,
        highest: float = math.inf,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.lowest, self.highest = lowest, highest
        self.values_T = nn.Parameter(torch.full((num_tasks,), initial, dtype=torch.float64))
        self._optimizer = torch.optim.Adam(
            [self.values_T], lr=learning_rate, weight_decay=weight_decay, fused=True
        )

    def now(self) -> Tensor:
        """Return a copy of the numbers, (T,), without a graph."""
        return self.values_T.detach().clone()

    def descend(self, gradient_S: Tensor, present: Tensor | None = None) -> None:
        """Take one step of Adam along a gradient that the method has worked out itself.

        Args:
            gradient_S: of the numbers in ``present``.
            present: which numbers move, by default all.
        """
        before_T = self.now()
        gradient_T = torch.zeros_like(before_T)
        moving = slice(None) if present is None else present
        gradient_T[moving] = gradient_S
        self.values_T.grad = gradient_T
        self._optimizer.step()
        self.values_T.detach().clamp_(self.lowest, self.highest)
        self.values_T.grad = None
        if present is not None:  # Adam's momentum would move the others too
            before_T[present] = self.values_T.detach()[present]
            self.values_T.detach().copy_(before_T)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the optimiser."""
        return self._optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        (group,) = self._optimizer.param_groups
        group["params"] = [self.values_T]  # another one after load_state_dict(assign=True)
        self._optimizer.load_state_dict(deepcopy(state))
