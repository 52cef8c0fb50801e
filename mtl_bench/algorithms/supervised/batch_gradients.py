"""From the batches of one update to its task gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mtl_bench.algorithms.supervised.compiler import Compiler
from mtl_bench.algorithms.supervised.network_checks import GradientFlow, check_network
from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.base import Batch
from mtl_bench.errors import ConfigError, NoLabelsError
from mtl_bench.gradients import (
    Backend,
    Communicator,
    Cut,
    DistributedGradients,
    LossScale,
    RepresentationGradients,
    TaskGradients,
    choose_backend,
    choose_run,
)
from mtl_bench.gradients.autograd import widest_dtype
from mtl_bench.gradients.distributed import DistributedRepresentation
from mtl_bench.methods.base import Method
from mtl_bench.ranks import ALONE, Ranks, Together
from mtl_bench.seeding import generator_states, set_generator_states
from mtl_bench.tasks import Task

AUTOCAST = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precision -> what autocast computes in."""


class BatchGradients:
    """Forward pass and losses of an update, and the way in which they are differentiated.

    Several batches of one update (``trainer.accumulate``) are averaged: the losses and gradients
    are the means of theirs. For a method that needs gradients one batch after the other is
    differentiated, so that memory holds one graph and a second Jacobian. A method that needs only
    losses chooses its weights when all of them are known; the forward pass of each batch is then
    repeated in the backward pass instead of being kept (``torch.utils.checkpoint``). So it is in
    each of the backward passes of ``streamed``, which holds neither Jacobian.

    Args:
        network: predicts all tasks.
        tasks: their losses.
        method: what will be done with the gradients.
        device: where the network lives.
        precision: ``float32``, or ``bf16`` or ``fp16`` for a network under autocast, the latter
            with a ``LossScale``. Losses, gradients of parameters, Jacobian, Gram matrix and method
            stay in float32 or more.
        level: ``parameters``, or ``representation`` for ``RepresentationGradients``.
        backend: see ``choose_backend``.
        max_memory: likewise, and ``choose_run``.
        task_inputs: whether each sample belongs to one task.
        flow: looks at the graph of every task's first loss.
        ranks: the processes that train together; each brings batches of its own to an update, none
            perhaps, and the means are over the batches of all of them.
        compiler: compiles the network's parts.

    Raises:
        ConfigError: the network has no representation to take the gradients of, the tasks meet in
            no sample of it, precision or method don't go with the rest, or ``check_network``
            refuses the network.
    """

    def __init__(
        self,
        network: Architecture,
        tasks: Sequence[Task],
        method: Method,
        device: torch.device,
        *,
        precision: str = "float32",
        level: str = "parameters",
        backend: Any = "auto",  # noqa: ANN401 - a checked name
        max_memory: float | None = None,
        task_inputs: bool = False,
        flow: GradientFlow | None = None,
        ranks: Ranks = ALONE,
        compiler: Compiler | None = None,
    ) -> None:
        check_network(network, [task.name for task in tasks])
        self.network, self.tasks, self.method, self.device = network, tuple(tasks), method, device
        self.shared = network.shared_parameters()
        self.own = [network.task_parameters(task.name) for task in tasks]
        self.summed = network.summed_parameters()
        self.last = network.last_shared_weight()
        self.flow = flow
        self.needs_gradients = method.needs != "losses"
        self.at_representation = level == "representation" and self.needs_gradients
        if self.at_representation and not network.has_representation:
            raise ConfigError(
                f"gradients.level=representation: {type(network).__name__} has no representation "
                "that all tasks share; use gradients.level=parameters"
            )
        if self.at_representation and task_inputs:
            raise ConfigError(
                "gradients.level=representation: each sample belongs to one task here, so that the "
                "tasks' gradients of it never meet; use gradients.level=parameters"
            )
        self.backend = choose_backend(
            *(backend, network, len(self.tasks), device, max_memory),
            compiled=compiler is not None,
        )
        self.run = choose_run(self.backend, len(self.tasks), max_memory)
        self.passes = network
        """Makes the forward passes of updates."""
        if compiler is not None:
            self.passes = compiler.network(network, method, self.backend)
        self.autocast = AUTOCAST[precision]
        self.loss_scale = LossScale() if precision == "fp16" else None
        self.ranks = ranks
        self.communicator = Communicator(ranks) if isinstance(ranks, Together) else None
        if self.loss_scale is not None:
            self._require_scalable(level)
        if self.communicator is not None and method.differentiates_twice:
            raise ConfigError(
                f"{type(method).__name__} differentiates task gradients, whose graph is one "
                "process's: train in one process"
            )
        self._buffers: list[Tensor] = []
        self._generators: dict[str, Any] = {}

    def _require_scalable(self, level: str) -> None:
        """Raise if gradients can't be scaled."""
        hindrances = {
            "gradients.level=representation, whose gradients are float16 themselves": (
                level == "representation"
            ),
            f"{type(self.method).__name__}, which differentiates the task gradients": (
                self.method.differentiates_twice
            ),
            f"{type(self.method).__name__}, which looks at the gradients after the update": (
                self.method.looks_again and self.needs_gradients
            ),
            "several processes": self.communicator is not None,
        }
        for hindrance, there in hindrances.items():
            if there:
                raise ConfigError(
                    f"trainer.precision=fp16: not with {hindrance}: use trainer.precision=bf16"
                )

    def __call__(self, data: Sequence[Batch]) -> TaskGradients:
        """Return the gradients of the mean losses of the batches of one update.

        Tasks that no batch has a valid target of are not among them, and have no gradients after a
        step.

        Raises:
            NoLabelsError: no batch has a valid target of any task.
            ConfigError: no loss reaches what is trained, as ``flow`` says.
        """
        for parameter in chain(self.summed, *self.own):
            parameter.grad = None
        if self.method.looks_again:
            self._generators = generator_states(self.device)
        return self._of(data)

    @contextmanager
    def reevaluate(self, data: Sequence[Batch]) -> Iterator[TaskGradients]:
        """Show the gradients of the latest batches at the parameters as they are now.

        Stochastic layers draw what they drew the first time, and neither the running statistics of
        batch norms nor the global generators take note. The gradients may be asked for within the
        context only; the Jacobian of the first time is gone then, since they share its memory.
        """
        present = generator_states(self.device)
        set_generator_states(self._generators, self.device)
        try:
            with UnchangedStatistics(self.network):
                yield self._of(data)
        finally:
            set_generator_states(present, self.device)

    def _of(self, batches: Sequence[Batch]) -> TaskGradients:
        """Return the gradients over the batches of all processes."""
        if self.communicator is None:
            return self._of_own(batches)
        local = None
        with self.ranks.agreeing(), suppress(NoLabelsError):
            local = self._of_own(batches)
        if self.at_representation:
            return DistributedRepresentation(
                local, self.shared, self.own, self.communicator, self.summed
            )
        return DistributedGradients(
            local,
            self.shared,
            self.own,
            self.communicator,
            keep=self.backend != "streamed",
            last=self.last,
            summed=self.summed,
            run=self.run,
        )

    def _of_own(self, batches: Sequence[Batch]) -> TaskGradients:
        if self.method.differentiates_twice and len(batches) > 1:
            raise ConfigError(
                f"trainer.accumulate={len(batches)}: {type(self.method).__name__} differentiates "
                "task gradients, whose graph is one batch's; use trainer.accumulate=1"
            )
        if len(batches) == 1:
            return self._differentiable(*self._forward(batches[0]), buffer=0)
        if self.at_representation:
            return self._at_representation(map(self._forward, batches))
        streamed = self.needs_gradients and self.backend == "streamed"
        if self.needs_gradients and not streamed:
            passes = map(self._forward, batches)
            parts = (self._differentiable(*each, buffer=1) for each in passes if each[0])
            buffer = self._buffer(0)
            return TaskGradients.mean(parts, self.shared, self.own, buffer, self.last, self.summed)
        losses: dict[int, list[Tensor]] = {}
        for batch in batches:
            present = self._present(batch)
            found = _chosen(present, self._repeatable_losses(batch.to(self.device)))
            if self.flow is not None:
                self.flow.check(found)
            for t, loss in found.items():
                losses.setdefault(t, []).append(loss)
        backend: Backend = "streamed" if streamed else "loop"
        return self._of_means(
            losses,
            partial(
                TaskGradients,
                backend=backend,
                last=self.last,
                summed=self.summed,
                scale=self._scale,
                run=self.run,
            ),
        )

    def _of_means(
        self, losses: dict[int, list[Tensor]], kind: Callable[..., TaskGradients]
    ) -> TaskGradients:
        """Return the gradients of every task's mean over the batches that have its labels."""
        tasks = sorted(losses)
        means = [torch.stack(losses[t]).mean() for t in tasks]
        gradients = kind(means, self.shared, [self.own[t] for t in tasks], tasks=tasks)
        gradients.batches = tuple(len(losses[t]) for t in tasks)
        return gradients

    def task_losses(self, network: nn.Module, data: Sequence[Batch]) -> dict[int, Tensor]:
        """Return task's number -> mean loss over the batches, of a copy of the network.

        It is computed in the copy's own precision.
        """
        losses: dict[int, list[Tensor]] = {}
        for batch in data:
            present, here = self._present(batch), batch.to(self.device)
            for t, loss in _chosen(present, self._losses(network(here), here)).items():
                losses.setdefault(t, []).append(loss)
        return {t: torch.stack(own).mean() for t, own in losses.items()}

    def losses(self, batch: Batch) -> list[Tensor]:
        """Return the scalar losses of the tasks that a batch has labels of, without a cut."""
        with self._precision():
            predictions = self.passes(batch)
        return self._losses(predictions, batch)

    def _forward(self, batch: Batch) -> tuple[dict[int, Tensor], Cut | None]:
        """Return the losses of the tasks that have a valid target, by number, and the cut."""
        present, batch = self._present(batch), batch.to(self.device)
        cut = None
        with self._precision():
            if self.network.has_representation:
                cut = Cut.at(self.passes.representation(batch))
                predictions = self.passes.predict(cut.leaf, batch)
            else:
                predictions = self.passes(batch)
        losses = _chosen(present, self._losses(predictions, batch))
        if self.flow is not None:
            self.flow.check(losses, cut)
        return losses, cut

    def _differentiable(
        self, losses: dict[int, Tensor], cut: Cut | None, buffer: int
    ) -> TaskGradients:
        tasks, values = list(losses), list(losses.values())
        own = [self.own[t] for t in tasks]
        if self.at_representation and cut is not None:
            return RepresentationGradients(values, self.shared, own, [cut], tasks, self.summed)
        kept = self._buffer(buffer)
        return TaskGradients(
            values,
            self.shared,
            own,
            buffer=None if kept is None else kept[: len(tasks)],
            backend=self.backend,
            cut=cut,
            tasks=tasks,
            last=self.last,
            summed=self.summed,
            scale=self._scale,
            run=self.run,
        )

    @property
    def _scale(self) -> float:
        return 1.0 if self.loss_scale is None else self.loss_scale.value

    def _at_representation(
        self, passes: Iterable[tuple[dict[int, Tensor], Cut | None]]
    ) -> TaskGradients:
        """Return the gradients of the representations of all batches, whose graphs are kept."""
        losses: dict[int, list[Tensor]] = {}
        cuts = []
        for found, cut in passes:
            assert cut is not None
            if found:
                cuts.append(cut)
            for t, loss in found.items():
                losses.setdefault(t, []).append(loss)
        kind = partial(RepresentationGradients, cuts=cuts, summed=self.summed)
        return self._of_means(losses, kind)

    def _losses(self, predictions: dict[str, Tensor], batch: Batch) -> list[Tensor]:
        return [
            task.loss(_exact(predictions[task.name]), batch.targets[task.name])
            for task in self.tasks
            if task.name in batch.targets
        ]

    def _present(self, batch: Batch) -> dict[int, bool]:
        """Return of each task that a batch has targets of, by number, whether one is valid.

        It is asked on the CPU, where batches come from: a device would be waited for.
        """
        return {
            t: task.valid is None or bool(task.valid(batch.targets[task.name]).any())
            for t, task in enumerate(self.tasks)
            if task.name in batch.targets
        }

    def _repeatable_losses(self, batch: Batch) -> list[Tensor]:
        def forward(batch: Batch, here: Tensor) -> list[Tensor]:
            return self.losses(batch)

        # a device's generator is put back for the second pass only if a tensor there is among the
        # arguments, and those inside a batch do not count
        here = torch.empty(0, device=self.device)
        losses: list[Tensor] = checkpoint(
            forward,
            batch,
            here,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), UnchangedStatistics(self.network)),
        )
        return losses

    def _precision(self) -> AbstractContextManager[None]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    def _buffer(self, number: int) -> Tensor | None:
        """Return a (T, P) buffer for methods that look at gradients, the same ones every step."""
        if not self.needs_gradients or self.backend == "streamed":
            return None
        while len(self._buffers) <= number:
            trained = [p for p in self.shared if p.requires_grad]
            shape = (len(self.tasks), sum(p.numel() for p in trained))
            buffer = torch.empty(shape, device=self.device, dtype=widest_dtype(trained))
            self._buffers.append(buffer)
        return self._buffers[number]


def _chosen(present: dict[int, bool], losses: Sequence[Tensor]) -> dict[int, Tensor]:
    """Return those of a batch's losses that have a valid target, by the task's number."""
    return {t: loss for (t, some), loss in zip(present.items(), losses, strict=True) if some}


def _exact(values: Tensor) -> Tensor:
    """Return values in float32, or as they are in more."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class UnchangedStatistics(AbstractContextManager[None]):
    """Run a forward pass again without moving the running statistics of batch norms again.

    It can be entered again, as every backward pass through a repeated forward pass does.
    """

    def __init__(self, network: nn.Module) -> None:
        modules = network.modules()
        self.norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._momenta: list[float | None] = []
        self._counts: list[Tensor | None] = []

    def __enter__(self) -> None:
        """Keep what the forward pass would move."""
        counts = [norm.num_batches_tracked for norm in self.norms]
        self._counts = [None if count is None else count.clone() for count in counts]
        self._momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.momentum = 0.0

    def __exit__(self, *_: object) -> None:
        """Put it back."""
        for norm, momentum, old in zip(self.norms, self._momenta, self._counts, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None and old is not None:
                norm.num_batches_tracked.copy_(old)
