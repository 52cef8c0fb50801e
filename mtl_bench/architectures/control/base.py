"""The contract of networks that evaluate T tasks side by side.

Legend of shape suffixes: E members of an ensemble, T tasks, B samples of a task, I inputs, O
outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Shape(NamedTuple):
    """What a policy or a critic asks of its network.

    Args:
        inputs: I, numbers that a sample has.
        outputs: O.
        members: E, networks of the same inputs; twin critics are two.
        output_bound: the last layer's weights begin within this of zero.
        separate: whether every task has parameters of its own, and shares none.
    """

    inputs: int
    outputs: int
    members: int = 1
    output_bound: float = 1e-3
    separate: bool = False


class ControlNetwork(nn.Module):
    """E networks of T tasks.

    A subclass is built with ``tasks``, the names of the tasks, ``shape`` and its own fields. Shared
    parameters have E rows; parameters of the tasks' own have (E, T), and task t's loss reaches
    [:, t] alone. ``forward`` takes shared parameters with a further dimension T behind E as well,
    one copy for each task, which is how their gradients come apart: see ``copies_for_tasks``.
    """

    @abstractmethod
    def forward(self, inputs_TBI: Tensor) -> Tensor:
        """Return the outputs, (E, T, B, O)."""

    @abstractmethod
    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """Return name -> parameter of those that all tasks share, (E, ...)."""

    @abstractmethod
    def stacked_parameters(self) -> dict[str, nn.Parameter]:
        """Return name -> parameter of the tasks' own, (E, T, ...)."""
