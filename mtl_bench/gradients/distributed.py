"""The task gradients of an update whose batches are spread over several processes.

Legend of shape suffixes: S tasks that some process has labels of, L those that this one has,
P shared parameters flattened, B a run of them, b this process's share of the run, T all tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor

from mtl_bench.errors import NoLabelsError
from mtl_bench.gradients.autograd import (
    RUN_SCALARS,
    parameter_runs,
    widest_dtype,
    write_gradients,
)
from mtl_bench.gradients.checks import check_unread
from mtl_bench.gradients.communicator import Communicator
from mtl_bench.gradients.gram import gram_matrix
from mtl_bench.gradients.task_gradients import TaskGradients

A = TypeVar("A")


class DistributedGradients(TaskGradients):
    """The gradients of the mean losses over the batches of all processes.

    A task's mean is over the batches that have its labels, wherever they are, as in
    ``TaskGradients.mean``. Since the Gram matrix of mean gradients is not the mean of Gram
    matrices, the Jacobian is reduced first, each process ending up with a share of its columns;
    the Gram matrix is the sum of the shares' own. The weighted share is what is sent back. So a
    process sends T P scalars for the Jacobian, T^2 for the Gram matrix and P for the gradient. A
    method that only weighs losses costs what data parallelism costs: a process sends its weighted
    gradient, P scalars. ``backend`` streamed keeps no share either, and sends that gradient.

    One process, number 0, runs the method: it alone calls ``gram``, ``jacobian``, ``apply`` and
    ``apply_vector``, within ``lead``, where the others do their part of each. The ways to sum are
    torch's, so that the gradients are those of one process but for rounding, and the same bits in
    all processes.

    Args:
        local: of this process's batches; None if they have no labels.
        shared: as of ``local``.
        own: for all T tasks.
        communicator: moves the tensors.
        keep: whether the share of the Jacobian is kept for ``apply``.
        last: see ``TaskGradients``.
        summed: likewise.
        run: likewise; scalars that are reduced at a time.

    Raises:
        NoLabelsError: no process has a label.
    """

    def __init__(
        self,
        local: TaskGradients | None,
        shared: Iterable[Tensor],
        own: Sequence[Iterable[Tensor]],
        communicator: Communicator,
        *,
        keep: bool = True,
        last: Tensor | None = None,
        summed: Sequence[Tensor] = (),
        run: int = RUN_SCALARS,
    ) -> None:
        # of the base class only what methods may read; all else is asked of ``local``
        self._local, self._communicator, self._keep, self._last = local, communicator, keep, last
        for parameters in (shared, *own):
            check_unread(parameters)
        self.shared = [p for p in shared if p.requires_grad]
        self._runs = list(parameter_runs(self.shared, run))
        sums_2T = torch.zeros(2, len(own), dtype=torch.float64)
        tasks_L = [] if local is None else list(local.tasks)
        if local is not None:
            counts_L = torch.tensor(local.batches, dtype=torch.float64)
            sums_2T[:, tasks_L] = torch.stack([counts_L, counts_L * local.losses_T])
        counts_T = sums_2T[0].clone()
        communicator.sum(sums_2T)
        self.tasks = tuple(torch.nonzero(sums_2T[0]).flatten().tolist())
        if not self.tasks:
            raise NoLabelsError("no batch of the update has labels of any task")
        self.own = [[p for p in (*own[t], *summed) if p.requires_grad] for t in self.tasks]
        self._every_own = [*dict.fromkeys(chain.from_iterable(self.own))]
        means_T = sums_2T[1] / sums_2T[0]
        losses_T = means_T[list(self.tasks)].to(widest_dtype(self.shared + self._every_own))
        self._losses_T = self.device_losses_T = losses_T
        self._places_L = [self.tasks.index(t) for t in tasks_L]
        self._factors_L = (counts_T / sums_2T[0])[tasks_L]
        self.known_gram_TT: Tensor | None = None
        self._shares: list[Tensor] | None = None
        self._asking = False

    def lead(self, function: Callable[[], A]) -> A:
        """Call a function in process 0, and in the others do what it asks of these gradients.

        All of them return its answer, or raise its error.
        """
        ranks = self._communicator.ranks
        if not ranks.leads:
            while True:
                asked: tuple[Any, ...] = ranks.share(())
                word, *arguments = asked
                if word == "return":
                    answered: A = arguments[0]
                    return answered
                if word == "raise":
                    raise arguments[0]
                getattr(self, word)(*arguments)
        try:
            answer = function()
        except Exception as error:
            if not self._asking:  # else the others are at their part, and notice that this one ends
                ranks.share(("raise", ranks.in_words(error)))
            raise
        ranks.share(("return", answer))
        return answer

    def jacobian(self) -> Tensor:
        """Return the (S, P) gradients, in process 0; see ``TaskGradients``."""
        with self._asked("_gather"):
            return torch.cat([self._no_columns(), *self._gather()], dim=1)

    def gram(self) -> Tensor:
        """Return the (S, S) inner products of the task gradients, float64 on the CPU."""
        if self.known_gram_TT is None:
            with self._asked("_multiply"):
                self._multiply()
        assert self.known_gram_TT is not None
        return self.known_gram_TT

    def last_layer_columns(self) -> Tensor:
        """Return the gradients of the last shared weight, (S, Q); see ``TaskGradients``."""
        with self._asked("_sum_last_layer"):
            return self._sum_last_layer()

    def apply(self, weights_T: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` of every parameter in every process; see ``TaskGradients``."""
        heads_T = weights_T if head_weights_T is None else head_weights_T
        weights = weights_T.detach().double(), heads_T.detach().double()
        with self._asked("_apply", *weights):
            self._apply(*weights)

    def apply_vector(self, gradient_P: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` from one vector that process 0 has; see ``TaskGradients``."""
        if gradient_P.numel() != self.num_shared:
            raise ValueError(f"gradient of {gradient_P.numel()} values for {self.num_shared}")
        heads_T = torch.ones(len(self.own)) if head_weights_T is None else head_weights_T
        heads_T = heads_T.detach().double()
        with self._asked("_receive", heads_T):
            self._receive(heads_T, gradient_P)

    @contextmanager
    def _asked(self, word: str, *arguments: Tensor) -> Iterator[None]:
        """Let the other processes call a method of theirs while this one does its part."""
        self._communicator.ranks.share((word, *arguments))
        self._asking = True
        yield
        self._asking = False

    def _gather(self) -> list[Tensor]:
        """Return the columns of all processes run by run, (S, B) each; in process 0 alone."""
        pairs = zip(self._kept_shares(), self._sizes(), strict=True)
        return [self._communicator.gather_columns(share_Sb, size) for share_Sb, size in pairs]

    def _sum_last_layer(self) -> Tensor:
        """Sum up the gradients of the last shared weight, (S, Q)."""
        columns = self.shared[self._place_of_last()].numel()
        sums_SQ = self._no_columns().new_zeros(len(self.tasks), columns)
        if self._local is not None:
            rows_LQ = self._local.last_layer_columns().to(sums_SQ)
            sums_SQ[self._places_L] = rows_LQ * self._factors_L.to(sums_SQ)[:, None]
        self._communicator.sum(sums_SQ)
        return sums_SQ

    def _multiply(self) -> None:
        """Sum up the Gram matrix of every process's share of the columns."""
        gram_SS = self._no_columns().new_zeros((len(self.tasks),) * 2, dtype=torch.float64)
        for share_Sb in self._kept_shares() if self._keep else self._reduce():
            gram_SS += gram_matrix(share_Sb)
        self._communicator.sum(gram_SS)
        self.known_gram_TT = gram_SS.cpu()

    def _apply(self, weights_S: Tensor, heads_S: Tensor) -> None:
        """Write the weighted gradients: of the share that is kept, or anew of the losses."""
        if self._shares is not None:
            parts = (weights_S.to(share_Sb) @ share_Sb for share_Sb in self._shares)
            pairs = zip(parts, self._sizes(), strict=True)
            self._write([self._communicator.all_gather(*pair) for pair in pairs], heads_S)
            return
        if self._local is not None:
            self._local.apply(self._of_local(weights_S), self._of_local(heads_S))
        self._sum_gradients(self.shared + self._every_own)

    def _receive(self, heads_S: Tensor, gradient_P: Tensor | None = None) -> None:
        """Write a gradient that process 0 has."""
        self._kept_shares()
        empty = self._no_columns().new_empty(self.num_shared)
        gradient_P = empty if gradient_P is None else gradient_P.to(empty).contiguous()
        self._communicator.copy_from_first(gradient_P)
        self._write_vector(gradient_P, heads_S)

    def _write_vector(self, gradient_P: Tensor, heads_S: Tensor) -> None:
        """Write the gradients of all parameters from the vector that all processes have."""
        self._write(gradient_P.split(self._sizes()), heads_S)

    def _kept_shares(self) -> list[Tensor]:
        if self._shares is None:
            if self._local is not None:
                self._local.jacobian()  # and the tasks' own gradients on the way
            self._shares = list(self._reduce())
        return self._shares

    def _reduce(self) -> Iterator[Tensor]:
        """Yield this process's share of the Jacobian's columns run by run, (S, b) each."""
        none_0B = (self._no_columns().new_empty(0, size) for size in self._sizes())
        for rows_LB in none_0B if self._local is None else self._local.stream():
            yield self._communicator.reduce_scatter(
                rows_LB, self._factors_L, self._places_L, len(self.tasks)
            )

    def _sizes(self) -> list[int]:
        """Return B of every run."""
        return [sum(p.numel() for p in run) for run in self._runs]

    def _no_columns(self) -> Tensor:
        """Return an empty matrix of the Jacobian's kind, (S, 0)."""
        like = (self.shared or self._every_own)[0]
        return like.new_empty(len(self.tasks), 0, dtype=widest_dtype(self.shared))

    def _of_local(self, values_S: Tensor) -> Tensor:
        """Return the values of this process's tasks times their share of the mean, (L,)."""
        return values_S[self._places_L] * self._factors_L

    def _write(self, runs: Sequence[Tensor], heads_S: Tensor) -> None:
        """Write the gradients of the shared parameters, and those of the tasks' own."""
        for run, gradient_B in zip(self._runs, runs, strict=True):
            _write_run(run, gradient_B)
        if self._local is not None:
            self._local.write_own(self._of_local(heads_S))
        self._sum_gradients(self._every_own)

    def _sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sum ``.grad`` over the processes, zero where this one has no labels of the task."""
        local = self._local
        written = set() if local is None else {*local.parameters, *chain.from_iterable(local.own)}
        for run in parameter_runs(parameters):
            own = (p.grad if p in written else None for p in run)
            parts = (torch.zeros_like(p) if g is None else g for g, p in zip(own, run, strict=True))
            gradient_B = torch.cat([part.flatten() for part in parts])
            self._communicator.sum(gradient_B)
            _write_run(run, gradient_B)


class DistributedRepresentation(DistributedGradients):
    """The gradients of the representations of all processes' batches, side by side.

    Each process has the columns of its own batches and takes the combined gradient of these on to
    the parameters, whose gradients are summed. What is sent is T^2 scalars for the Gram matrix and
    P for the parameters; columns only to a method that asks for the Jacobian.

    Args:
        local: as of ``DistributedGradients``, a ``RepresentationGradients``.
        shared: parameters behind the representation.
        own: for all T tasks.
        communicator: moves the tensors.
        summed: see ``TaskGradients``.
    """

    at_representation = True

    def __init__(
        self,
        local: TaskGradients | None,
        shared: Iterable[Tensor],
        own: Sequence[Iterable[Tensor]],
        communicator: Communicator,
        summed: Sequence[Tensor] = (),
    ) -> None:
        super().__init__(local, shared, own, communicator, summed=summed)
        self._columns = 0 if local is None else local.num_shared
        self._columns_R: list[int] = communicator.ranks.gather(self._columns)

    @property
    def num_shared(self) -> int:
        """The number of scalars of all representations."""
        return sum(self._columns_R)

    def jacobian(self) -> Tensor:
        """Return the (S, P) gradients, in process 0; see ``TaskGradients``."""
        padded_SB = super().jacobian()
        parts = padded_SB.split(max(self._columns_R), dim=1)
        pairs = zip(parts, self._columns_R, strict=True)
        return torch.cat([part[:, :columns] for part, columns in pairs], dim=1)

    def last_layer_columns(self) -> Tensor:
        """Return the gradients of the representations, (S, P)."""
        return self.jacobian()

    def _reduce(self) -> Iterator[Tensor]:
        """Yield this process's columns, as many as the process with the most has."""
        share_Sb = self._no_columns().new_zeros(len(self.tasks), max(self._columns_R))
        if self._local is not None:
            rows_LB = self._local.jacobian().to(share_Sb)
            share_Sb[self._places_L, : self._columns] = (
                rows_LB * self._factors_L.to(share_Sb)[:, None]
            )
        yield share_Sb

    def _sizes(self) -> list[int]:
        return [max(self._columns_R) * len(self._columns_R)]

    def _apply(self, weights_S: Tensor, heads_S: Tensor) -> None:
        (share_Sb,) = self._kept_shares()
        self._pass_on(weights_S.to(share_Sb) @ share_Sb, heads_S)

    def _write_vector(self, gradient_P: Tensor, heads_S: Tensor) -> None:
        self._pass_on(gradient_P.split(self._columns_R)[self._communicator.ranks.number], heads_S)

    def _pass_on(self, direction_B: Tensor, heads_S: Tensor) -> None:
        """Write the gradients of all parameters from that of this process's representations."""
        if self._local is not None:
            self._local.apply_vector(direction_B[: self._columns], self._of_local(heads_S))
        self._sum_gradients(self.shared + self._every_own)


def _write_run(run: Sequence[Tensor], gradient_B: Tensor) -> None:
    parts = gradient_B.split([p.numel() for p in run])
    write_gradients(run, [g.view_as(p).to(p) for g, p in zip(parts, run, strict=True)])
