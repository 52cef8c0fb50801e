"""One update of the network, refused as a whole when something in it is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mtl_bench.datasets.base import Batch
from mtl_bench.errors import NonFiniteError, TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods.base import Method
from mtl_bench.training.learner import Learner
from mtl_bench.training.step_gradients import StepGradients
from mtl_bench.training.undo import keep_state


@dataclass(frozen=True)
class Step:
    """What an update was made of.

    Args:
        gradients: of the batches that it was made from.
        weights_T: the method's weights.
        diagnostics: the method's numbers for the step log.
        seconds: phase -> time.
    """

    gradients: TaskGradients
    weights_T: Tensor
    diagnostics: dict[str, float]
    seconds: dict[str, float]


class Update:
    """Makes updates and remembers, while one is being made, what is known of it.

    Args:
        network: that is trained.
        names: names of the T tasks.
        gradients: makes the task gradients.
        method: chooses the weights.
        learners: optimisers.
        restore: put the method's state and running statistics of batch norms back when an update
            is refused, so that a run which leaves it out goes on as if the batch had not been
            there. Only what the network has drawn from global generators stays drawn.
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str],
        gradients: StepGradients,
        method: Method,
        learners: Sequence[Learner],
        restore: bool,
    ) -> None:
        self.network, self.names, self.gradients = network, tuple(names), gradients
        self.method, self.learners, self.restore = method, learners, restore
        own = (p for parameters in gradients.own for p in parameters)
        self.trained = [*gradients.shared, *own]
        self.known: dict[str, Any] = {}
        """Losses, Gram matrix, weights and diagnostics of the latest update, as far as they are
        known, for a report of its failure. Whoever has used the update empties it."""

    def __call__(self, batches: Sequence[Batch]) -> Step:
        """Make one update.

        Raises:
            NonFiniteError: a loss, a gradient, a weight or a diagnostic is not finite, or is one
                that the method refuses; the parameters and the optimisers are as they were, unless
                a method that looks again found it. The method and the network's buffers are so
                only with ``restore``.
        """
        self.known = {}
        kept = [buffer.clone() for buffer in self.network.buffers()] if self.restore else []
        put_method_back = keep_state(self.method) if self.restore else None
        try:
            return self._make(batches)
        except NonFiniteError:
            self.known.setdefault("losses", {})
            if put_method_back is not None:
                put_method_back()
                for buffer, before in zip(self.network.buffers(), kept, strict=True):
                    buffer.copy_(before)
            raise

    def _make(self, batches: Sequence[Batch]) -> Step:
        times = [time.perf_counter()]
        gradients = self.gradients(batches)
        names = [self.names[t] for t in gradients.tasks]
        losses = dict(zip(names, gradients.losses_T.tolist(), strict=True))
        self.known["losses"] = losses
        require_finite(losses, "the loss of task {} is {}")
        times.append(time.perf_counter())
        if self.method.needs != "losses":
            gram_TT = gradients.gram()
            self.known["gram"] = gram_TT.tolist()
            squares = dict(zip(names, gram_TT.diagonal().tolist(), strict=True))
            require_finite(squares, "the squared gradient norm of task {} is {}")
        info = self.method.step_with(gradients)
        weights = dict(zip(self.names, info.weights_T.tolist(), strict=True))
        self.known |= {"weights": weights, "diagnostics": info.diagnostics}
        usable = info.weights_T.float().tolist()  # gradients have no larger range
        require_finite(dict(zip(self.names, usable, strict=True)), "the weight of task {} is {}")
        self._require_health(info.diagnostics)
        self._require_finite_gradients()
        times.append(time.perf_counter())
        for learner in self.learners:
            learner.optimizer.step()
        times.append(time.perf_counter())
        diagnostics = info.diagnostics
        if self.method.looks_again:
            diagnostics = self._look_again(batches)
            self.known["diagnostics"] = diagnostics
            self._require_health(diagnostics)
        times.append(time.perf_counter())
        seconds = {
            "forward": times[1] - times[0],
            "method": times[2] - times[1] + times[4] - times[3],
            "optimizer": times[3] - times[2],
        }
        return Step(gradients, info.weights_T, diagnostics, seconds)

    def _look_again(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Show the method what the update did; what is wrong now is wrong in the parameters."""
        try:
            with self.gradients.again(batches) as updated:
                return self.method.after_update(updated)
        except NonFiniteError as error:
            raise NonFiniteError(str(error), recoverable=False) from None

    def _require_finite_gradients(self) -> None:
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.trained if p.grad is not None])
        if not norm.isfinite():
            gradients = {name: p.grad for name, p in self.network.named_parameters()}
            if (name := first_not_finite(gradients)) is not None:
                raise NonFiniteError(f"the gradient of {name} is not finite")
            raise NonFiniteError(f"the norm of the gradient of all parameters is {norm.item()}")

    def _require_health(self, diagnostics: Mapping[str, float]) -> None:
        """Look at what a method tells of itself: agents that are not finite can't be left out."""
        text = f"{{}} of {type(self.method).__name__} is {{}}"
        require_finite(diagnostics, text, recoverable=False)


def require_finite(values: Mapping[str, float], text: str, *, recoverable: bool = True) -> None:
    """Check numbers before they are used.

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


def require_whole(state: dict[str, Any]) -> None:
    """Look at a state before a checkpoint is made of it.

    Raises:
        TrainingError: a tensor in it is not finite; the line names it.
    """
    if (broken := first_not_finite(state)) is not None:
        raise TrainingError(
            f"{broken} is no longer finite, so no checkpoint is made of it; the one before is "
            "intact, a lower optimizer.lr may help"
        )


def first_not_finite(state: Any, key: str = "") -> str | None:  # noqa: ANN401 - nested state
    """Return the key path of the first tensor in a state that holds a NaN or an infinity."""
    if isinstance(state, Tensor):
        bad = state.is_floating_point() and not bool(state.isfinite().all())
        return key if bad else None
    if not isinstance(state, Mapping | list | tuple):
        return None
    children = state.items() if isinstance(state, Mapping) else enumerate(state)
    found = (first_not_finite(value, f"{key}.{name}".strip(".")) for name, value in children)
    return next((path for path in found if path is not None), None)
