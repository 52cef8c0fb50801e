"""Separate networks, one per task, behind the interface of a multi-task network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mtl_bench.architectures.base import Architecture, predicted_rows


class SingleTask(Architecture):
    """T networks that share nothing, trained side by side.

    Args:
        tasks: names of the tasks.
        build: builds the network of the tasks that it is given.

    Every network sees the same batches, or its own samples of them where each sample belongs to one
    task. It has its own optimiser, schedule and selected epoch, so that training them side by side
    equals training them one after another.
    """

    def __init__(
        self, tasks: Sequence[str], build: Callable[[Sequence[str]], Architecture]
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleDict({task: build([task]) for task in tasks})

    def of_tasks(self) -> Iterator[tuple[str, Architecture]]:
        """Yield task and network."""
        for task, network in self.networks.items():
            assert isinstance(network, Architecture)
            yield task, network

    def forward(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401 - the network's own batch
        """Return task -> predictions of that task's network."""
        own = batch.of if hasattr(batch, "rows") else lambda task: batch
        return {
            task: self.networks[task](own(task))[task]
            for task in predicted_rows(batch, list(self.networks))
        }

    @property
    def reads_losses(self) -> bool:
        """Whether one of the networks does."""
        return any(network.reads_losses for _, network in self.of_tasks())

    def after_update(self, losses: Mapping[str, float]) -> None:
        """Let every network take note of its own loss."""
        for task, network in self.of_tasks():
            if task in losses:
                network.after_update({task: losses[task]})

    def network_of(self, tasks: Sequence[str]) -> nn.Module:
        """Return the network of one task."""
        (task,) = tasks
        return self.networks[task]

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return nothing."""
        return []

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """Return every parameter of one task's network."""
        return list(self.networks[task].parameters())
