"""The contract of networks that evaluate T tasks side by side.

Legend of shape suffixes: E members of an ensemble, T tasks, B samples of a task, I inputs, O
outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class Shape(NamedTuple):
    """What a policy or a critic asks of its network.

    Args:
        inputs: I, numbers that a sample has.
        outputs: O.
        members: E, networks of the same inputs; twin critics are two.
        output_bound: the last layer's weights begin within this of zero.
        separate: whether every task has parameters of its own, and shares none.
        observation: numbers of an observation, which come first; the rest of I are actions.
        critics: for a policy, the network of the critics, with which it may share parameters.
    """

    inputs: int
    outputs: int
    members: int = 1
    output_bound: float = 1e-3
    separate: bool = False
    observation: int = 0
    critics: ControlNetwork | None = None


class ControlNetwork(nn.Module):
    """E networks of T tasks.

    A subclass is built with ``tasks``, the names of the tasks, ``shape`` and its own fields. Shared
    parameters have E rows, or one; parameters of the tasks' own have (E, T), and task t's loss
    reaches [:, t] alone. ``forward`` takes shared parameters with a further dimension T behind E as
    well, one copy for each task, which is how their gradients come apart: see
    ``copies_for_tasks``.
    """

    separable: ClassVar[bool] = False
    """Whether it can give every task parameters of its own alone."""

    @abstractmethod
    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""

    @abstractmethod
    def task_specific(self, name: str) -> bool:
        """Tell whether a parameter has a row for each task, by its name."""

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """Return name -> parameter of those that all tasks share, (E, ...)."""
        return {n: p for n, p in self.named_parameters() if not self.task_specific(n)}

    def last_shared_weight(self) -> nn.Parameter | None:
        """Return the shared weight that was made last, (..., I, O); None where there is none."""
        weights = [p for p in self.shared_parameters().values() if p.dim() > 2 and p.shape[-2] > 1]
        return weights[-1] if weights else None

    def stacked_parameters(self) -> dict[str, nn.Parameter]:
        """Return name -> parameter of the tasks' own, (E, T, ...)."""
        return {n: p for n, p in self.named_parameters() if self.task_specific(n)}


class TaskIds(nn.Module):
    """Puts the one-hot vector of the task behind the inputs.

    Args:
        tasks: T; 0 leaves the inputs as they are.
    """

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.size = tasks
        self.ids_TT: Tensor
        self.register_buffer("ids_TT", torch.eye(tasks), persistent=False)

    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return (T, B, I + T)."""
        if self.size == 0:
            return inputs_TBI
        ids_TBT = self.ids_TT[:, None].expand(-1, inputs_TBI.shape[1], -1)
        return torch.cat((inputs_TBI, ids_TBT), dim=2)
