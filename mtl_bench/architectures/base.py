"""The contract of a network that serves several tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn


def predicted_rows(batch: Any, tasks: Sequence[str]) -> dict[str, slice]:  # noqa: ANN401
    """Return task -> the rows of a batch that it is predicted for.

    These are all rows, or, in a ``TaskBatch`` (``mtl_bench.datasets.base``), those of the task's
    own samples. A task without any is left out.

    Args:
        batch: of the data set.
        tasks: their names.
    """
    if not hasattr(batch, "rows"):
        return dict.fromkeys(tasks, slice(None))
    return {task: batch.rows[task] for task in tasks if task in batch.rows}


class Architecture(nn.Module):
    """Predicts every task from one batch and knows which parameters tasks share.

    A subclass is built with ``tasks``, the names of the tasks, and its own fields. ``forward``
    takes the data set's batch and returns task -> prediction, of the rows that `predicted_rows`
    names.

    A network whose tasks share one tensor, and nothing above it, implements ``representation`` and
    ``predict`` and sets ``has_representation``; ``forward`` is then given. The T backward passes
    through the heads and those through the shared part are cut apart there.
    """

    has_representation: ClassVar[bool] = False
    """Whether the tasks meet in one tensor: every shared parameter below it, every own above."""

    batched_backward: ClassVar[bool] = False
    """Whether T backward passes at once beat one after the other on a CPU, by measurement."""

    uses_all_shared: ClassVar[bool] = True
    """Whether the losses of all tasks reach every shared parameter, as if no module is left out."""

    compiled_parts: ClassVar[tuple[str, ...]] = ()
    """The methods that ``trainer.compile`` compiles: their tensors have the same shapes in all
    batches of one size, unless the data are ``ragged`` (``mtl_bench.datasets.base.Dataset``), and a
    call computes what tasks share, or what is one task's own."""

    def representation(self, batch: Any) -> Tensor:  # noqa: ANN401 - the data set's batch
        """Return what the heads share, the batch first."""
        raise TypeError(f"{type(self).__name__} has no representation that all tasks share")

    def predict(self, representation: Tensor, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401
        """Return task -> prediction from the representation of a batch."""
        raise TypeError(f"{type(self).__name__} has no representation that all tasks share")

    def forward(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401 - the data set's batch
        """Return task -> prediction."""
        return self.predict(self.representation(batch), batch)

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that several tasks reach, whose gradients a method combines."""
        raise TypeError(f"{type(self).__name__} must implement shared_parameters()")

    def last_shared_weight(self) -> nn.Parameter | None:
        """Return the weight of the last layer that tasks share; None where there is none.

        By default the last of ``shared_parameters()`` that has two dimensions or more. A network
        that makes its layers in another order than it runs them overrides this.
        """
        return next((p for p in reversed(self.shared_parameters()) if p.dim() > 1), None)

    def summed_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that several tasks reach and no method combines, by default none.

        They get the sum of the tasks' gradients, and lie above the representation if there is one.
        """
        return []

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters that only the loss of ``task`` reaches."""
        raise TypeError(f"{type(self).__name__} must implement task_parameters()")

    def __call__(self, batch: Any) -> dict[str, Tensor]:  # noqa: ANN401 - the data set's batch
        """Return task -> prediction."""
        predictions: dict[str, Tensor] = super().__call__(batch)
        return predictions

    @property
    def reads_losses(self) -> bool:
        """Whether ``after_update`` does anything, so that losses must be brought from a device."""
        return type(self).after_update is not Architecture.after_update

    def after_update(self, losses: Mapping[str, float]) -> None:
        """Take note of an update that has been made; called after each one.

        What a network learns here by other means than gradients is buffers, so that a run that is
        resumed goes on with it.

        Args:
            losses: of the tasks that took part, before the update.
        """

    def network_of(self, tasks: Sequence[str]) -> nn.Module:
        """Return the module that predicts these tasks and is selected with them."""
        return self

    def own_parameters(self, tasks: Sequence[str]) -> list[nn.Parameter]:
        """Return the parameters of several tasks' own."""
        return [parameter for task in tasks for parameter in self.task_parameters(task)]
