"""From the losses of a policy or of critics to their task gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from mtl_bench.architectures.control.base import ControlNetwork
from mtl_bench.gradients import StackedGradients, copies_for_tasks
from mtl_bench.methods.base import Method

Network = Callable[[Tensor], Tensor]
Losses = Callable[[Network, Any], tuple[Tensor, Tensor]]
"""(network, data of an update) -> (T,) losses, and what else the algorithm learns from computing
them, without a graph; the same data give the same losses."""


class ControlGradients:
    """Task gradients of one network's losses, each task's apart if the method asks for them.

    Args:
        network: whose parameters they are of.
        losses: of the network.
        look: shown what else the losses of an update tell, once.
        method: what will be done with the gradients.
        present: numbers of the tasks that take part, asked once the losses are known; None for all.
    """

    def __init__(
        self,
        network: ControlNetwork,
        losses: Losses,
        look: Callable[[Tensor], None],
        method: Method,
        present: Callable[[], list[int] | None],
    ) -> None:
        self.network, self.losses, self.look = network, losses, look
        self.method = method
        self.present = present
        self.shared = network.shared_parameters()
        self.stacked = list(network.stacked_parameters().values())

    def __call__(self, data: Any) -> StackedGradients:  # noqa: ANN401 - of the losses
        """Return the gradients of the losses on the data of an update."""
        return self._of(data, self.look)

    def _of(self, data: Any, look: Callable[[Tensor], None]) -> StackedGradients:  # noqa: ANN401
        apart = self.method.needs != "losses" or self.method.differentiates_twice
        copies, losses_T, seen = self._losses_on(data, apart)
        look(seen)
        present = self.present()
        spreads = not apart and present is not None and not losses_T.isfinite().all()
        if spreads:
            copies, losses_T, _ = self._losses_on(data, apart=True)
        gradients = StackedGradients(
            losses_T,
            list(self.shared.values()),
            self.stacked,
            list(copies.values()),
            present,
            self.network.last_shared_weight(),
        )
        if spreads:
            gradients.jacobian()  # 0 * inf of a task that is left out stays in its own copies
        return gradients

    def _losses_on(
        self,
        data: Any,  # noqa: ANN401
        apart: bool,
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the parameters' copies for the tasks, if these are kept apart, and the losses."""
        if not apart:
            return {}, *self.losses(self.network, data)
        copies = copies_for_tasks(self.shared, self.method.num_tasks)

        def network(inputs_TBI: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self.network, copies, (inputs_TBI,))
            return outputs

        return copies, *self.losses(network, data)

    @contextmanager
    def reevaluate(self, data: Any) -> Iterator[StackedGradients]:  # noqa: ANN401 - of the losses
        """Show the gradients on the latest data at the parameters as they are now.

        They are of the tasks that took part; the algorithm decides nothing by the second losses.
        """
        yield self._of(data, look=lambda seen: None)

    def task_losses(self, network: nn.Module, data: Any) -> dict[int, Tensor]:  # noqa: ANN401
        """Return task's number -> loss of a copy of the network, in the copy's precision."""
        return dict(enumerate(self.losses(network, data)[0]))
