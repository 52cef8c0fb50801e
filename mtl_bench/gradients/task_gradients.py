"""The task gradients of one step, made on demand.

Legend of shape suffixes: T tasks, P shared parameters flattened into one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Literal, Self, TypeVar

import torch
from torch import Tensor

from mtl_bench.errors import ConfigError, NoLabelsError
from mtl_bench.gradients.autograd import (
    RUN_SCALARS,
    Gradients,
    apart,
    differentiate,
    fill,
    inner_product,
    mean_present,
    parameter_runs,
    refusing_sparse,
    sum_present,
    widest_dtype,
    write_gradients,
)
from mtl_bench.gradients.checks import (
    check_losses,
    check_parameters,
    check_reached,
    check_scalable,
    check_tasks,
    check_unread,
)
from mtl_bench.gradients.cut import Cut
from mtl_bench.gradients.gram import gram_matrix
from mtl_bench.gradients.transfers import Transfers

A = TypeVar("A")

Backend = Literal["loop", "batched", "streamed"]


class TaskGradients:
    """T task losses that still carry their graphs, and what methods ask of their gradients.

    Nothing is differentiated before it is asked for: a method that only weighs losses pays for one
    backward pass, one that asks for the Gram matrix for T of them. The losses must be separate
    scalars, so that the backward pass of one task never enters another task's branch.

    Args:
        losses: T scalar tensors.
        shared: parameters of which every task may have a gradient; the Gram matrix is over these.
        own: for each task, the parameters that its loss alone reaches; by default there are none.
            A parameter that is in none of these lists gets no gradient.
        buffer: (T, P) tensor to keep the Jacobian in, reused from step to step.
        backend: ``loop`` runs one backward pass after the other; ``batched`` runs all at once
            through the shared part, which pays where the network's own backward pass gains from it
            (see ``Architecture.batched_backward``); ``streamed`` holds the gradients of one run of
            parameters at a time, adds up the Gram matrix and forgets them, which trades repeated
            activation gradients and one more backward pass for the memory of the Jacobian.
        cut: where the losses' graphs were cut from the shared part's, if they were.
        tasks: numbers of the tasks that the losses belong to, where a batch lacks the labels of
            others; by default 0 to T - 1. Everything here is of these tasks alone.
        last: the weight of the last layer that tasks share, for ``last_layer_norms``; by default
            the last of ``shared`` that has two dimensions or more.
        summed: parameters that several tasks reach and a method doesn't combine: they get the sum
            of the tasks' gradients, with the factors of the tasks' own parameters.
        scale: what a backward pass multiplies the losses by and divides the gradients by; see
            ``LossScale``. Other than 1 it takes parameters in float32 or more.
        run: scalars that ``streamed`` takes at a time; a run ends with the parameter that makes it
            so long.

    Frozen parameters (``requires_grad=False``) are left out: they count for nothing and get no
    gradient. A parameter that a task does not use has a zero gradient for that task.

    Raises:
        NoLabelsError: there is no loss.
        ConfigError: a parameter is listed twice, is complex or has a sparse gradient, or is
            narrower than float32 where losses are scaled; parameters are a tensor or a generator
            that was read before; a loss is no scalar; no loss depends on any of the parameters.

    Example:
        >>> import torch
        >>> from mtl_bench import TaskGradients
        >>> theta = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> head = torch.tensor([3.0], requires_grad=True)
        >>> losses = [theta.square().sum(), (head * theta[0]).sum()]
        >>> gradients = TaskGradients(losses, [theta], [[], [head]])
        >>> gradients.jacobian()
        tensor([[ 2., -4.],
                [ 3.,  0.]])
        >>> gradients.gram()
        tensor([[20.,  6.],
                [ 6.,  9.]], dtype=torch.float64)
        >>> gradients.apply(torch.tensor([1.0, 2.0]))
        >>> theta.grad, head.grad
        (tensor([ 8., -4.]), tensor([2.]))
    """

    at_representation: bool = False
    """Whether they are of what the tasks share in one batch, and not of parameters."""

    def __init__(
        self,
        losses: Iterable[Tensor],
        shared: Iterable[Tensor],
        own: Iterable[Iterable[Tensor]] | None = None,
        buffer: Tensor | None = None,
        backend: Backend = "loop",
        cut: Cut | None = None,
        tasks: Sequence[int] | None = None,
        last: Tensor | None = None,
        summed: Iterable[Tensor] = (),
        scale: float = 1.0,
        run: int = RUN_SCALARS,
    ) -> None:
        self.losses = check_losses(losses)
        own = [()] * len(self.losses) if own is None else list(own)
        if len(own) != len(self.losses):
            raise ConfigError(f"{len(self.losses)} losses, but own parameters of {len(own)} tasks")
        for parameters in (shared, *own):
            check_unread(parameters)
        if not self.losses:
            raise NoLabelsError("a batch has no labels of any task")
        self._scale = scale
        self._scaled = self.losses if scale == 1 else tuple(scale * loss for loss in self.losses)
        self.device_losses_T = torch.stack([loss.detach() for loss in self.losses])
        self._losses_T: Tensor | None = None
        self.transfers = Transfers()
        """The way of losses and Gram matrix to the host."""
        self.shared = [p for p in shared if p.requires_grad]
        alone = [[p for p in parameters if p.requires_grad] for parameters in own]
        together = [p for p in summed if p.requires_grad]
        check_parameters([*self.shared, *together], alone)
        if scale != 1:
            check_scalable([*self.shared, *together, *chain.from_iterable(alone)])
        self.own = [[*parameters, *together] for parameters in alone]
        self._every_own = [*chain.from_iterable(alone), *together]
        self.tasks = tuple(range(len(self.losses)) if tasks is None else tasks)
        check_tasks(self.tasks, self.losses)
        self.batches = (1,) * len(self.losses)
        """Of each task, the number of batches that its loss is the mean of."""
        self.known_gram_TT: Tensor | None = None
        self._buffer = buffer
        self._backend = backend
        self._cut = cut
        self._last = last
        self._run = run
        self._jacobian_TP: Tensor | None = None
        self._cotangents: list[Tensor] = []
        self._own_gradients: list[Gradients] = []

    @classmethod
    def mean(
        cls,
        parts: Iterable[TaskGradients],
        shared: Iterable[Tensor],
        own: Sequence[Iterable[Tensor]],
        buffer: Tensor | None = None,
        last: Tensor | None = None,
        summed: Sequence[Tensor] = (),
    ) -> Self:
        """Return the gradients of the mean losses of several batches.

        The parts are taken one at a time and reduced to their gradients, so that a generator
        keeps one graph alive, not all. A task's mean is over the batches that have its labels.

        Args:
            parts: one for each batch.
            shared: as of the parts.
            own: for all T tasks.
            buffer: (T, P) tensor to keep the mean in, other than the parts'.
            last: as of the parts.
            summed: likewise.
        """
        sums: dict[int, tuple[Tensor, list[Gradients], list[Tensor]]] = {}
        for part in parts:
            rows = part.jacobian()
            if buffer is None:
                buffer = rows.new_empty(len(own), rows.shape[1])
            for row, t in enumerate(part.tasks):
                if t not in sums:
                    sums[t] = (buffer[t].zero_(), [], [])
                gradient_P, own_gradients, losses = sums[t]
                gradient_P += rows[row]
                own_gradients.append(part._own_gradients[row])
                losses.append(part.losses[row].detach())  # unlike losses_T on their device
        tasks = sorted(sums)
        means = [torch.stack(sums[t][2]).mean() for t in tasks]
        own = [own[t] for t in tasks]
        total = cls(means, shared, own, tasks=tasks, last=last, summed=summed)
        total.batches = tuple(len(sums[t][2]) for t in tasks)
        for t in tasks:
            gradient_P, own_gradients, _ = sums[t]
            gradient_P /= len(own_gradients)
            total._own_gradients.append(tuple(map(mean_present, zip(*own_gradients, strict=True))))
        assert buffer is not None
        total._jacobian_TP = buffer if len(tasks) == len(buffer) else buffer[tasks]
        return total

    @property
    def losses_T(self) -> Tensor:
        """The losses on the CPU, (T,); those of a device come with the Gram matrix if they can."""
        if self._losses_T is None:
            (self._losses_T,) = self.transfers.now(self.device_losses_T)
        return self._losses_T

    @property
    def parameters(self) -> list[Tensor]:
        """The shared parameters whose ``.grad`` is written."""
        return self.shared

    @property
    def num_shared(self) -> int:
        """P, the number of shared scalars that are trained."""
        return sum(p.numel() for p in self.shared)

    def lead(self, function: Callable[[], A]) -> A:
        """Call a function that asks for gradients and applies weights, and return its result.

        If several processes train together, only one calls it; see ``DistributedGradients``.
        """
        return function()

    def jacobian(self) -> Tensor:
        """Return the (T, P) gradients over the shared parameters, in the order of ``shared``.

        They are float32 or wider, whatever they are taken of.
        """
        if self._jacobian_TP is None:
            check_reached(any(loss.requires_grad for loss in self.losses))
            self._jacobian_TP = self._empty_jacobian()
            outputs = self.losses if self._cut is None else (self._cut.output,)
            reached = bool(self.shared) and any(output.requires_grad for output in outputs)
            if self._backend == "batched" and reached:
                self._differentiate_together(self._jacobian_TP)
            else:
                self._differentiate_in_turn(self._jacobian_TP)
            if self._scale != 1:
                self._jacobian_TP /= self._scale
        return self._jacobian_TP

    def gram(self) -> Tensor:
        """Return the (T, T) inner products of the task gradients, float64 on the CPU.

        See ``gram_matrix`` for how it is summed. Computed once; ``known_gram_TT`` keeps it for the
        step log. From a device it comes together with the losses.
        """
        if self.known_gram_TT is None:
            streamed = self._backend == "streamed" and self._jacobian_TP is None
            parts = self.stream() if streamed else [self.jacobian()]
            zeros_TT = self.losses[0].new_zeros((len(self.losses),) * 2, dtype=torch.float64)
            gram_TT = sum(map(gram_matrix, parts), start=zeros_TT)
            self.known_gram_TT, self._losses_T = self.transfers.now(gram_TT, self.device_losses_T)
        return self.known_gram_TT

    def last_layer_norms(self) -> Tensor:
        """Return the norms of the tasks' gradients of the last shared weight, (T,), float64.

        Without a Jacobian, T backward passes stop at that layer.

        Raises:
            ConfigError: no parameter of a layer is shared, or the last one is not trained.
        """
        return self.last_layer_columns().double().norm(dim=1).cpu()

    def last_layer_columns(self) -> Tensor:
        """Return the tasks' gradients of the Q numbers of the last shared weight, (T, Q)."""
        place = self._place_of_last()
        last = self.shared[place]
        if self._jacobian_TP is None:
            rows_TQ = last.new_empty(len(self.losses), last.numel(), dtype=widest_dtype([last]))
            for t, row_Q in enumerate(rows_TQ):
                fill(row_Q, [last], self._task_gradients(t, [last], keep=True))
            return rows_TQ / self._scale
        first = sum(p.numel() for p in self.shared[:place])
        return self._jacobian_TP[:, first : first + last.numel()]

    def _place_of_last(self) -> int:
        """Return the number of the last shared weight among the shared parameters."""
        matrices = (p for p in reversed(self.shared) if p.dim() > 1)
        last = next(matrices, None) if self._last is None else self._last
        place = next((n for n, p in enumerate(self.shared) if p is last), None)
        if place is None:
            raise ConfigError("the tasks share no last layer whose weight is trained")
        return place

    def apply(self, weights_T: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` of every parameter.

        Args:
            weights_T: the shared parameters get sum_t weights_T[t] g_t.
            head_weights_T: task t's own parameters get head_weights_T[t] times their gradient;
                by default the same as ``weights_T``.
        """
        heads_T = weights_T if head_weights_T is None else head_weights_T
        if self._jacobian_TP is not None:
            self.apply_vector(weights_T.to(self._jacobian_TP) @ self._jacobian_TP, heads_T)
        elif self._cut is not None:
            weighted = zip(weights_T.tolist(), self._differentiate_heads(), strict=True)
            direction = sum(weight * cotangent for weight, cotangent in weighted)
            assert isinstance(direction, Tensor)
            gradients = differentiate(self._cut.output, self.shared, direction)
            self._write_shared(self._unscaled(gradients))
            self.write_own(heads_T)
        else:
            self._apply_in_one_pass(weights_T, heads_T)

    def apply_vector(self, gradient_P: Tensor, head_weights_T: Tensor | None = None) -> None:
        """Write ``.grad`` of the shared parameters from one vector, of the own ones as in apply.

        Args:
            gradient_P: what the shared parameters get, in the order of ``shared``.
            head_weights_T: factors of the tasks' own gradients, by default 1.
        """
        if gradient_P.numel() != self.num_shared:
            raise ValueError(f"gradient of {gradient_P.numel()} values for {self.num_shared}")
        self.jacobian()  # computes the own gradients on the way
        parts = gradient_P.split([p.numel() for p in self.shared]) if self.shared else ()
        self._write_shared([g.view_as(p).to(p) for g, p in zip(parts, self.shared, strict=True)])
        self.write_own(torch.ones(len(self.own)) if head_weights_T is None else head_weights_T)

    def apply_penalized(self, penalty: Callable[[Tensor], Tensor]) -> float:
        """Write ``.grad`` of sum_t L_t + penalty(K), with K the Gram matrix of the task gradients.

        The penalty's gradient is sum_t H_t v_t, with H_t the Hessian of L_t and v_t a combination
        of the gradients: the task gradients are made with a graph and differentiated once more,
        those of the tasks' own parameters included. ``known_gram_TT`` is K afterwards; the Jacobian
        must not have been asked for before. A function of the network whose backward pass is marked
        with ``once_differentiable`` counts as linear, since torch doesn't report it.

        Args:
            penalty: (T, T) -> scalar, differentiable.

        Returns:
            The penalty.
        """
        rows, behind = self._connected_rows()
        zero = self.device_losses_T.new_zeros(())
        gram_TT = torch.stack(
            [torch.stack([inner_product(a, b, zero) for b in rows]) for a in rows]
        )
        value = penalty(gram_TT)
        total = value + sum(self.losses)
        leaves = [*self.shared, *self._every_own, *behind]
        found = apart(differentiate(total, leaves, keep=bool(behind)))
        self.known_gram_TT, self._losses_T, on_host = self.transfers.now(
            gram_TT.detach().double(), self.device_losses_T, value.detach()
        )
        shared = found[: len(self.shared)]
        if self._cut is not None:  # on the way through what is in front of the cut
            through = differentiate(self._cut.output, self.shared, found[-1])
            shared = tuple(map(sum_present, zip(shared, through, strict=True)))
        self._write_shared(shared)
        own_end = len(self.shared) + len(self._every_own)
        write_gradients(self._every_own, found[len(self.shared) : own_end])
        return on_host.item()

    def _connected_rows(self) -> tuple[list[Gradients], list[Tensor]]:
        """Return every task's gradients of the shared parameters, with their graphs, and the leaf.

        The leaf is that of the cut, if there is one.
        """
        check_reached(any(loss.requires_grad for loss in self.losses))
        if self._cut is None:
            return [differentiate(x, self.shared, connected=True) for x in self.losses], []
        leaf, output = self._cut.leaf, self._cut.output
        rows = []
        for loss in self.losses:
            (cotangent,) = differentiate(loss, [leaf], connected=True)
            rows.append(differentiate(output, self.shared, cotangent, connected=True))
        return rows, [leaf]

    def _empty_jacobian(self) -> Tensor:
        shape = (len(self.losses), self.num_shared)
        kind = widest_dtype(self.shared)
        if self._buffer is not None and self._buffer.shape == shape:
            if torch.promote_types(self._buffer.dtype, kind) != self._buffer.dtype:
                raise ConfigError(f"buffer is {self._buffer.dtype}, and gradients are {kind}")
            return self._buffer
        like = self.shared[0] if self.shared else self.losses[0]
        return torch.empty(shape, device=like.device, dtype=kind)

    def _differentiate_in_turn(self, jacobian_TP: Tensor) -> None:
        reached = False
        for t in range(len(self.losses)):
            own = self.own[t] if self._cut is None else []
            gradients = self._task_gradients(t, [*self.shared, *own], keep=t + 1 < len(self.losses))
            reached = reached or any(gradient is not None for gradient in gradients)
            fill(jacobian_TP[t], self.shared, gradients[: len(self.shared)])
            if self._cut is None:
                self._own_gradients.append(self._unscaled(gradients[len(self.shared) :]))
        check_reached(reached or self._cut is not None or not (self.shared or self._every_own))

    def _differentiate_together(self, jacobian_TP: Tensor) -> None:
        if self._cut is None:
            output, directions = torch.stack(self._scaled), torch.eye(len(self.losses))
        else:
            output, directions = self._cut.output, torch.stack(self._differentiate_heads())

        def backward(direction: Tensor) -> tuple[Tensor, ...]:
            return torch.autograd.grad(
                output, self.shared, direction, retain_graph=True, materialize_grads=True
            )

        with refusing_sparse():
            gradients = torch.func.vmap(backward)(directions.to(output))
        parts = jacobian_TP.split([p.numel() for p in self.shared], dim=1)
        for part, gradient in zip(parts, gradients, strict=True):
            part.view_as(gradient).copy_(gradient)
        if self._cut is None:
            last = len(self.losses) - 1
            self._own_gradients = [
                self._unscaled(differentiate(loss, own, keep=t < last))
                for t, (loss, own) in enumerate(zip(self._scaled, self.own, strict=True))
            ]

    def stream(self) -> Iterable[Tensor]:
        """Yield the columns of the Jacobian run by run, (T, B) each; every graph is kept.

        The runs are those of ``parameter_runs``. Each is in the place of the one before, or, where
        the Jacobian is there already, a part of it.
        """
        check_reached(any(loss.requires_grad for loss in self.losses))
        runs = list(parameter_runs(self.shared, self._run))
        sizes = [sum(p.numel() for p in run) for run in runs]
        if self._jacobian_TP is not None:
            yield from self._jacobian_TP.split(sizes, dim=1)
            return
        count = len(self.losses)
        place = self.losses[0].new_empty(
            count * max(sizes, default=0), dtype=widest_dtype(self.shared)
        )
        for run, size in zip(runs, sizes, strict=True):
            rows_TB = place[: count * size].view(count, size)
            for t, row_B in enumerate(rows_TB):
                fill(row_B, run, self._task_gradients(t, run, keep=True))
            if self._scale != 1:
                rows_TB /= self._scale
            yield rows_TB

    def _task_gradients(self, t: int, parameters: Sequence[Tensor], keep: bool) -> Gradients:
        """Return one task's gradients of shared parameters (and own ones where nothing is cut)."""
        if self._cut is None:
            return differentiate(self._scaled[t], parameters, keep=keep)
        direction = self._differentiate_heads()[t]
        return differentiate(self._cut.output, parameters, direction, keep=keep)

    def _differentiate_heads(self) -> list[Tensor]:
        """Return every loss's gradient of the representation; keep the own gradients."""
        assert self._cut is not None
        leaf = self._cut.leaf
        if not self._cotangents:
            check_reached(any(loss.requires_grad for loss in self.losses))
            last = len(self.losses) - 1  # heads may share what has no parameters, such as pooling
            for t, (loss, own) in enumerate(zip(self._scaled, self.own, strict=True)):
                cotangent, *gradients = differentiate(loss, [leaf, *own], keep=t < last)
                self._cotangents.append(torch.zeros_like(leaf) if cotangent is None else cotangent)
                self._own_gradients.append(self._unscaled(gradients))
        return self._cotangents

    def _apply_in_one_pass(self, weights_T: Tensor, heads_T: Tensor) -> None:
        own = self._every_own
        if torch.equal(weights_T, heads_T):
            gradients = differentiate(self._weighted(weights_T), self.shared + own)
        else:
            gradients = differentiate(self._weighted(weights_T), self.shared, keep=bool(own))
            gradients += differentiate(self._weighted(heads_T), own)
        check_reached(any(gradient is not None for gradient in gradients))
        gradients = apart(self._unscaled(gradients))
        self._write_shared(gradients[: len(self.shared)])
        write_gradients(own, gradients[len(self.shared) :])

    def _weighted(self, weights_T: Tensor) -> Tensor:
        total = sum(w * loss for w, loss in zip(weights_T.tolist(), self._scaled, strict=True))
        assert isinstance(total, Tensor)
        return total

    def _unscaled(self, gradients: Sequence[Tensor | None]) -> Gradients:
        if self._scale == 1:
            return tuple(gradients)
        return tuple(None if g is None else g / self._scale for g in gradients)

    def write_own(self, factors_T: Tensor) -> None:
        """Write ``.grad`` of the tasks' own parameters, once the Jacobian was asked for.

        Args:
            factors_T: what multiplies them.
        """
        totals: dict[Tensor, Tensor | None] = dict.fromkeys(self._every_own)
        for factor, parameters, own in zip(
            factors_T.tolist(), self.own, self._own_gradients, strict=True
        ):
            for parameter, gradient in zip(parameters, own, strict=True):
                if gradient is not None:
                    before = totals[parameter]
                    added = factor * gradient
                    totals[parameter] = added if before is None else before + added
        write_gradients([*totals], [*totals.values()])

    def _write_shared(self, gradients: Sequence[Tensor | None]) -> None:
        write_gradients(self.shared, gradients)
