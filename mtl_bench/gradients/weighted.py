"""The task gradients of losses that have been weighted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mtl_bench.errors import ConfigError
from mtl_bench.gradients.task_gradients import TaskGradients


class WeightedGradients(TaskGradients):
    """What a second method sees of a step: the losses w_t L_t and their gradients w_t g_t.

    Nothing is differentiated anew. What is written to ``.grad``, of shared parameters and of the
    tasks' own, includes the factors w_t.

    Args:
        gradients: of the losses L_t.
        weights_T: w_t of the tasks that take part.

    Example:
        >>> import torch
        >>> from mtl_bench import TaskGradients
        >>> from mtl_bench.gradients import WeightedGradients
        >>> theta = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> gradients = TaskGradients([2 * theta[0], 5 * theta[1]], [theta])
        >>> weighted = WeightedGradients(gradients, torch.tensor([3.0, 1.0]))
        >>> weighted.losses_T, weighted.gram().diagonal()
        (tensor([6., 5.]), tensor([36., 25.], dtype=torch.float64))
        >>> weighted.apply(torch.tensor([1.0, 2.0]))
        >>> theta.grad
        tensor([ 6., 10.])
    """

    def __init__(self, gradients: TaskGradients, weights_T: Tensor) -> None:
        # of the base class only what methods may read; all else is asked of ``gradients``
        self._gradients, self._weights_T = gradients, weights_T
        losses_T = weights_T.to(gradients.losses_T) * gradients.losses_T
        self._losses_T = self.device_losses_T = losses_T
        self.tasks, self.shared, self.own = gradients.tasks, gradients.shared, gradients.own
        self.at_representation = gradients.at_representation

    def jacobian(self) -> Tensor:
        """Return the (T, P) gradients w_t g_t, in memory of their own."""
        rows_TP = self._gradients.jacobian()
        return self._weights_T.to(rows_TP)[:, None] * rows_TP

    def gram(self) -> Tensor:
        """Return their (T, T) inner products, float64 on the CPU."""
        weights_T = self._weights_T.double()
        return self._gradients.gram() * weights_T[:, None] * weights_T

    def last_layer_columns(self) -> Tensor:
        """Return the (T, Q) gradients w_t g_t of the last shared weight."""
        rows_TQ = self._gradients.last_layer_columns()
        return self._weights_T.to(rows_TQ)[:, None] * rows_TQ

    def apply_penalized(self, penalty: Callable[[Tensor], Tensor]) -> float:
        """Refuse: the graphs are those of the losses without weights.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("a penalty on the task gradients can't be put on weighted losses")

    def apply(self, weights_T: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` of every parameter, as ``TaskGradients`` does."""
        heads_T = weights_T if head_weights_T is None else head_weights_T
        self._gradients.apply(weights_T * self._weights_T, heads_T * self._weights_T)

    def apply_vector(self, gradient_P: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` of the shared parameters from one vector, of the own ones as in apply."""
        heads_T = torch.ones(len(self.tasks)) if head_weights_T is None else head_weights_T
        self._gradients.apply_vector(gradient_P, heads_T * self._weights_T)
