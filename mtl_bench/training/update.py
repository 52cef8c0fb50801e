"""One update of a component, refused as a whole when something in it is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from mtl_bench.agents.ring import RingBuffer
from mtl_bench.algorithms.base import Component
from mtl_bench.errors import NonFiniteError, TrainingError
from mtl_bench.gradients import Transfers
from mtl_bench.ranks import ALONE, Ranks
from mtl_bench.seeding import generator_states, set_generator_states
from mtl_bench.training.clipping import clip
from mtl_bench.training.curvature import CurvatureProbe

if TYPE_CHECKING:
    from mtl_bench.methods.base import StepInfo


@dataclass
class StepResult:
    """What one update of a component was made of, as far as it got.

    Args:
        where: how far the run was: ``epoch``, ``batch`` and ``step``.
        transfers: what brings the losses from a device.
        component: name of the component.
        names: names of the T tasks.
        tasks: numbers of the S tasks that took part.
        known_losses_S: their losses once they are on the host.
        gram_SS: Gram matrix of their gradients, None if the method did not ask for it.
        weights_T: the method's weights, 0 for a task that took no part; None before they are known.
        diagnostics: the method's numbers for the step log.
        seconds: phase -> time.
        curvature: along the update, see ``CurvatureProbe``; NaN where it was not measured.
    """

    component: str
    names: tuple[str, ...]
    where: dict[str, int] = field(default_factory=dict)
    transfers: Transfers = field(default_factory=Transfers)
    tasks: tuple[int, ...] = ()
    known_losses_S: Tensor | None = None
    gram_SS: Tensor | None = None
    weights_T: Tensor | None = None
    diagnostics: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    curvature: float = math.nan

    @property
    def losses_S(self) -> Tensor:
        """Losses of the tasks that took part; they are waited for where they are on a device."""
        if self.known_losses_S is None:
            self.transfers.now()
        assert self.known_losses_S is not None
        return self.known_losses_S

    @property
    def losses(self) -> dict[str, float]:
        """Task -> loss of the tasks that took part."""
        names = (self.names[t] for t in self.tasks)
        return dict(zip(names, self.losses_S.tolist(), strict=True))

    @property
    def weights(self) -> dict[str, float]:
        """Task -> weight."""
        values = [] if self.weights_T is None else self.weights_T.tolist()
        return dict(zip(self.names, values, strict=bool(values)))

    def describe(self) -> dict[str, Any]:
        """Return what is known as plain values, for the report of a failure."""
        known: dict[str, Any] = {"component": self.component} if self.component else {}
        known["losses"] = {} if self.known_losses_S is None else self.losses
        if self.gram_SS is not None:
            known["gram"] = self.gram_SS.tolist()
        if self.weights_T is not None:
            known |= {"weights": self.weights, "diagnostics": self.diagnostics}
        return known


class Update:
    """Makes updates: compute the combined gradient, then apply it.

    An update on a device leaves there what it can do without: losses that the method doesn't read,
    and whether the combined gradient was finite. They arrive with what is read next, so that an
    update waits for its device once if its method looks at losses or gradients, and else never. An
    error that they tell of comes from a later update then, or from ``transfers.now``; its
    ``result`` is of the update that failed.

    Args:
        names: names of the T tasks.
        restore: put the method's state and running statistics of batch norms back when an update
            is refused, so that a run which leaves it out goes on as if the data had not been
            there. Only what the network has drawn from global generators stays drawn.
        ranks: the processes that make the updates together.
    """

    def __init__(self, names: Sequence[str], restore: bool = False, ranks: Ranks = ALONE) -> None:
        self.names, self.restore, self.ranks = tuple(names), restore, ranks
        self._at_once = restore or ranks.size > 1
        """Whether nothing is left for later: a refusal puts back, or must meet all processes."""
        self.transfers = Transfers()
        self.where: dict[str, int] = {}
        """How far the run is, for results."""
        self.measures_curvature = False
        """Whether the next updates are to be measured."""

    def __call__(self, component: Component, data: Any) -> StepResult:  # noqa: ANN401
        """Make one update.

        Raises:
            NonFiniteError: a loss, a gradient, a weight or a diagnostic is not finite, or the
                method refuses one; ``result`` tells what is known. Parameters and optimisers are
                as they were, unless a method that reevaluates found it or it comes late; the method
                and the network's buffers are so only with ``restore``.
        """
        scale = component.loss_scale
        if scale is None:
            return self._make(component, data, self.restore)
        device = component.parameters[0].device
        generators = generator_states(device)
        while True:
            try:
                result = self._make(component, data, restore=True)
            except NonFiniteError as error:
                if not _has_overflowed(error) or not scale.lower():
                    raise
                set_generator_states(generators, device)
            else:
                scale.keep()
                return result

    def _make(self, component: Component, data: Any, restore: bool) -> StepResult:  # noqa: ANN401
        result = StepResult(component.name, self.names, self.where, self.transfers)
        probe = CurvatureProbe(component, data) if self.measures_curvature else None
        with _restoring(component) if restore else nullcontext():
            try:
                self.compute(component, data, result)
                self.apply(component, data, result)
            except NonFiniteError as error:
                error.result = error.result or result
                raise
        if probe is not None:
            result.curvature = probe.measure(result.tasks)
        return result

    def compute(self, component: Component, data: Any, result: StepResult) -> None:  # noqa: ANN401
        """Fill ``.grad`` of every parameter, and the result with what it was made of."""
        method = component.method
        begin = time.perf_counter()
        gradients = component.gradients(data)
        gradients.transfers = self.transfers
        result.tasks = gradients.tasks
        look = partial(_note_losses, result)
        self._leave(component, result, gradients.device_losses_T, look)
        losses_known = time.perf_counter()

        def combine() -> StepInfo:
            if method.needs != "losses":
                gram_SS = result.gram_SS = gradients.gram()
                squares = dict(zip(result.losses, gram_SS.diagonal().tolist(), strict=True))
                check_finite(squares, "the squared gradient norm of task {} is {}")
            return method.step_with(gradients)

        info = gradients.lead(combine)
        result.weights_T, result.diagnostics = info.weights_T, info.diagnostics
        if method.differentiates_twice:
            result.gram_SS = gradients.known_gram_TT
        usable = info.weights_T.float().tolist()  # gradients have no larger range
        check_finite(dict(zip(self.names, usable, strict=True)), "the weight of task {} is {}")
        _check_health(component, result)
        end = time.perf_counter()
        result.seconds = {"forward": losses_known - begin, "method": end - losses_known}

    def apply(self, component: Component, data: Any, result: StepResult) -> None:  # noqa: ANN401
        """Move the parameters by their gradients, and let the method see what that did."""
        begin = time.perf_counter()
        parameters = [p for p in component.parameters if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        self._leave(component, result, norm, partial(_check_norm, component.module))
        if component.clip_norm is not None:
            clip(component, component.clip_norm, norm)
        for optimizer in component.optimizers:
            optimizer.step()
        moved = time.perf_counter()
        after_step = partial(component.method.after_step, parameters)
        result.diagnostics = result.diagnostics | self.ranks.lead(after_step)
        if component.method.looks_again:
            result.diagnostics |= _reevaluate(component, data)
        _check_health(component, result)
        result.seconds["optimizer"] = moved - begin
        result.seconds["method"] += time.perf_counter() - moved

    def _leave(
        self,
        component: Component,
        result: StepResult,
        value: Tensor,
        look: Callable[[Tensor], None],
    ) -> None:
        """Look at a value of a component's update when it is on the host."""

        def arrived(value: Tensor) -> None:
            try:
                look(value)
            except NonFiniteError as error:
                error.result = result
                raise

        self.transfers.later(value, arrived)
        if self._at_once or component.loss_scale is not None:
            self.transfers.now()


def _has_overflowed(error: NonFiniteError) -> bool:
    """Tell whether the backward pass has failed, and the forward pass has not."""
    losses_S = error.result.known_losses_S
    return error.recoverable and losses_S is not None and bool(losses_S.isfinite().all())


def _note_losses(result: StepResult, losses_S: Tensor) -> None:
    result.known_losses_S = losses_S
    check_finite(result.losses, "the loss of task {} is {}")


def _check_norm(module: nn.Module, norm: Tensor) -> None:
    if not norm.isfinite():
        # of a later update if it comes late: its losses or gradients are not finite either then
        gradients = {name: p.grad for name, p in module.named_parameters()}
        if (name := find_nonfinite(gradients)) is not None:
            raise NonFiniteError(f"the gradient of {name} is not finite")
        raise NonFiniteError(f"the norm of the gradient of all parameters is {norm.item()}")


def _reevaluate(component: Component, data: Any) -> dict[str, float]:  # noqa: ANN401
    """Show the method what the update did; what is wrong now is wrong in the parameters."""
    try:
        with component.gradients.reevaluate(data) as updated:
            return updated.lead(lambda: component.method.after_update(updated))
    except NonFiniteError as error:
        raise NonFiniteError(str(error), recoverable=False) from None


@contextmanager
def _restoring(component: Component) -> Iterator[None]:
    """Put method and buffers back to what they are now if the block raises NonFiniteError."""
    kept = [buffer.clone() for buffer in component.module.buffers()]
    put_method_back = keep_state(component.method)
    try:
        yield
    except NonFiniteError:
        put_method_back()
        for buffer, before in zip(component.module.buffers(), kept, strict=True):
            buffer.copy_(before)
        raise


def keep_state(method: nn.Module) -> Callable[[], None]:
    """Return a function that puts a method's state back to what it is now, once.

    It costs a copy of the state but for the replay buffers, which hold nearly all of it where there
    are any: they take back the one row that an update may append.
    """
    undo = [m.keep() if isinstance(m, RingBuffer) else _keep_own(m) for m in method.modules()]

    def put_back() -> None:
        for step in undo:
            step()

    return put_back


def _keep_own(module: nn.Module) -> Callable[[], None]:
    """Keep a module's own parameters, buffers and extra state, not those of modules within it."""
    tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    kept = [tensor.detach().clone() for tensor in tensors]
    has_extra = type(module).get_extra_state is not nn.Module.get_extra_state
    extra = deepcopy(module.get_extra_state()) if has_extra else None

    def put_back() -> None:
        with torch.no_grad():
            for tensor, before in zip(tensors, kept, strict=True):
                tensor.copy_(before)
        if has_extra:
            module.set_extra_state(extra)

    return put_back


def _check_health(component: Component, result: StepResult) -> None:
    """Raise if a diagnostic is not finite: agents that aren't can't be left out."""
    text = f"{{}} of {type(component.method).__name__} is {{}}"
    check_finite(result.diagnostics, text, recoverable=False)


def check_finite(values: Mapping[str, float], text: str, *, recoverable: bool = True) -> None:
    """Raise if a number is NaN or infinite.

    Args:
        values: name -> number.
        text: of the error, with places for name and number.
        recoverable: as in `NonFiniteError`.

    Raises:
        NonFiniteError: one is not finite.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise NonFiniteError(text.format(name, value), recoverable)


def check_finite_state(state: dict[str, Any]) -> None:
    """Raise if a checkpoint's state contains NaN or infinity.

    Raises:
        TrainingError: a tensor in it is not finite; the line names it.
    """
    if (broken := find_nonfinite(state)) is not None:
        raise TrainingError(
            f"{broken} is no longer finite, so no checkpoint is made of it; the one before is "
            "intact, a lower optimizer.lr may help"
        )


def find_nonfinite(state: Any, key: str = "") -> str | None:  # noqa: ANN401 - nested state
    """Return the key path of the first tensor in a state that holds a NaN or an infinity."""
    if isinstance(state, Tensor):
        bad = state.is_floating_point() and not bool(state.isfinite().all())
        return key if bad else None
    if not isinstance(state, Mapping | list | tuple):
        return None
    children = state.items() if isinstance(state, Mapping) else enumerate(state)
    found = (find_nonfinite(value, f"{key}.{name}".strip(".")) for name, value in children)
    return next((path for path in found if path is not None), None)
