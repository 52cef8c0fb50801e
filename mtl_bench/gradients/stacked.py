"""Task gradients of a network that evaluates T tasks side by side, from one backward pass.

Legend of shape suffixes: E members of an ensemble, T tasks, P shared parameters flattened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mtl_bench.gradients.autograd import differentiate, write_gradients
from mtl_bench.gradients.task_gradients import TaskGradients


def copies_for_tasks(shared: Mapping[str, Tensor], tasks: int) -> dict[str, Tensor]:
    """Return each shared parameter (E, ...) once for every task, (E, T, ...); no memory is taken.

    A network that is called with these reaches copy [:, t] with the loss of task t alone.

    Args:
        shared: name -> parameter.
        tasks: T.

    Example:
        >>> import torch
        >>> from mtl_bench.gradients import copies_for_tasks
        >>> copies_for_tasks({"weight": torch.ones(2, 3)}, tasks=4)["weight"].shape
        torch.Size([2, 4, 3])
    """
    return {
        name: p.detach().unsqueeze(1).expand(-1, tasks, *p.shape[1:]).requires_grad_()
        for name, p in shared.items()
    }


class StackedGradients(TaskGradients):
    """T losses whose tasks meet nowhere but in the shared parameters.

    Task t's copy of these gets task t's gradient, so that one backward pass of the sum of the
    losses makes the whole Jacobian, where other backends make T. Without copies only ``apply``
    serves: it differentiates the weighted losses, as one pass for all tasks.

    Args:
        losses_T: with the graphs of the losses, (T,).
        shared: parameters that the tasks share, (E, ...).
        stacked: parameters of the tasks' own, (E, T, ...); task t's loss reaches [:, t] alone.
        copies: what the losses were computed from in place of ``shared``, in the same order.
        tasks: numbers of the S tasks that take part; by default all.
        last: see ``TaskGradients``.

    Example:
        >>> import torch
        >>> from mtl_bench.gradients import StackedGradients, copies_for_tasks
        >>> shared = {"scale": torch.tensor([[2.0]], requires_grad=True)}  # an ensemble of one
        >>> copies = copies_for_tasks(shared, tasks=2)
        >>> losses_T = (copies["scale"][0, :, 0] * torch.tensor([1.0, 5.0])).square()
        >>> gradients = StackedGradients(losses_T, [*shared.values()], [], [*copies.values()])
        >>> gradients.jacobian()
        tensor([[  4.],
                [100.]])
    """

    def __init__(
        self,
        losses_T: Tensor,
        shared: Sequence[Tensor],
        stacked: Sequence[Tensor],
        copies: Sequence[Tensor] = (),
        tasks: Sequence[int] | None = None,
        last: Tensor | None = None,
    ) -> None:
        numbers = range(len(losses_T)) if tasks is None else tasks
        losses = [losses_T[t] for t in numbers]
        super().__init__(losses, shared, [()] * len(losses), tasks=numbers, last=last)
        self._every_own = list(stacked)
        self._graph_S = losses_T if tasks is None else losses_T[list(tasks)]
        self._num_tasks = len(losses_T)
        self._copies = copies
        self._stacked_gradients: Sequence[Tensor | None] = ()

    def last_layer_columns(self) -> Tensor:
        """Return the task gradients of the last shared weight, (T, Q)."""
        if self._copies:  # the losses reach these in place of the weight
            self.jacobian()
        return super().last_layer_columns()

    def _differentiate_in_turn(self, jacobian_TP: Tensor) -> None:
        count = len(self._copies)
        gradients = differentiate(self._graph_S.sum(), [*self._copies, *self._every_own])
        parts = jacobian_TP.split([p.numel() for p in self.shared], dim=1) if self.shared else ()
        for part, parameter, gradient in zip(parts, self.shared, gradients[:count], strict=True):
            assert gradient is not None
            part.view(-1, *parameter.shape).copy_(gradient.transpose(0, 1)[list(self.tasks)])
        self._stacked_gradients = self._of_present(gradients[count:])

    def apply_penalized(self, penalty: Callable[[Tensor], Tensor]) -> float:
        """Write ``.grad`` of sum_t L_t + penalty(K), see ``TaskGradients``; from two passes."""
        leaves = [*self._copies, *self._every_own]
        rows = differentiate(self._graph_S.sum(), list(self._copies), connected=True)
        tasks = list(self.tasks)
        gram_SS = torch.zeros(())
        for row in rows:
            assert row is not None
            row_SP = row.transpose(0, 1)[tasks].flatten(1)
            gram_SS = gram_SS + row_SP @ row_SP.T
        value = penalty(gram_SS)
        found = self._of_present(differentiate(value + self._graph_S.sum(), leaves))
        self.known_gram_TT, self._losses_T, on_host = self.transfers.now(
            gram_SS.detach().double(), self.device_losses_T, value.detach()
        )
        count = len(self._copies)
        self._write_shared([None if g is None else g.sum(dim=1) for g in found[:count]])
        write_gradients(self._every_own, found[count:])
        return on_host.item()

    def _of_present(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return gradients with rows for the tasks, zero for those that are left out.

        These are 0 already unless what their loss was computed from is infinite: 0 * inf is NaN.
        """
        left_out = sorted({*range(self._num_tasks)}.difference(self.tasks))
        if not left_out:
            return list(gradients)
        rows = torch.tensor(left_out, device=self._graph_S.device)
        return [None if g is None else g.index_fill(1, rows, 0) for g in gradients]

    def _weighted(self, weights_T: Tensor) -> Tensor:
        return (weights_T.to(self._graph_S) * self._graph_S).sum()

    def write_own(self, factors_T: Tensor) -> None:
        """Write ``.grad`` of the tasks' own parameters, once the Jacobian was asked for."""
        every_T = factors_T.new_ones(self._num_tasks)  # a task that is left out has a gradient of 0
        every_T[list(self.tasks)] = factors_T

        def scaled(gradient: Tensor | None) -> Tensor:
            assert gradient is not None
            return gradient * every_T.to(gradient).view(-1, *(1,) * (gradient.dim() - 2))

        write_gradients(self._every_own, [*map(scaled, self._stacked_gradients)])
