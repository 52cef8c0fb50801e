"""Running means of the task gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mtl_bench.errors import ConfigError

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class GradientMean(nn.Module):
    """A (T, P) matrix of means, from zero, where the gradients are; extra state of its method.

    Args:
        num_tasks: T.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.num_tasks, self.steps = num_tasks, 0
        self._mean_TP: Tensor | None = None

    def move(
        self, gradients: TaskGradients, factors_S: Tensor, kept: float, tasks: Tensor | None
    ) -> Tensor:
        """Move the means of the tasks in a step towards their gradients, and return these, (S, P).

        Args:
            gradients: g_t.
            factors_S: what multiplies the gradients: m_t = kept m_t + (1 - kept) f_t g_t.
            kept: share of the means before.
            tasks: numbers of the S tasks; None for all.

        Raises:
            ConfigError: the gradients are not of the same parameters as before.
        """
        if gradients.at_representation:
            raise ConfigError(
                "gradients.level=representation: the method averages gradients over steps, and "
                "those of a representation belong to one batch: use gradients.level=parameters"
            )
        rows_SP = gradients.jacobian()
        if self._mean_TP is None:
            self._mean_TP = rows_SP.new_zeros(self.num_tasks, rows_SP.shape[1])
        if self._mean_TP.shape[1] != rows_SP.shape[1]:
            raise ConfigError(
                f"the means are of {self._mean_TP.shape[1]} shared parameters, the gradients of "
                f"{rows_SP.shape[1]}: build the method anew when parameters are frozen or added"
            )
        self._mean_TP = self._mean_TP.to(rows_SP.device)
        self.steps += 1
        moving = slice(None) if tasks is None else tasks.to(rows_SP.device)
        mean_SP = self._mean_TP[moving]
        mean_SP.mul_(kept).addcmul_(rows_SP, (1 - kept) * factors_S.to(rows_SP)[:, None])
        if tasks is not None:  # what an index tensor takes is a copy
            self._mean_TP[moving] = mean_SP
        return mean_SP

    def get_extra_state(self) -> dict[str, Any]:
        """Return the means and the number of steps that they are of."""
        return {"steps": self.steps, "mean_TP": self._mean_TP}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        self.steps, mean_TP = state["steps"], state["mean_TP"]
        self._mean_TP = None if mean_TP is None else mean_TP.clone()
