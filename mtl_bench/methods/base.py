"""The contract of a multi-task optimisation method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np
import torch
from torch import Tensor, nn

from mtl_bench.errors import ConfigError, NonFiniteError, RecordError
from mtl_bench.values import HeadWeighting, PositiveInt, check_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from mtl_bench.gradients import TaskGradients
    from mtl_bench.solvers.solution import Solution

Needs = Literal["losses", "gram", "grads"]


@dataclass(frozen=True)
class StepInfo:
    """What a method did in one step.

    Args:
        weights_T: the weights that it chose, one per task, in its own convention.
        diagnostics: numbers for the step log, for instance ``{"reward_loss": 0.1}``.

    Example:
        >>> import torch
        >>> from mtl_bench import StepInfo
        >>> StepInfo(torch.tensor([1.0, 1.0])).diagnostics
        {}
    """

    weights_T: Tensor
    diagnostics: dict[str, float] = field(default_factory=dict)


def on_cpu() -> AbstractContextManager[Any]:
    """Let tensors be made on the CPU whatever the default device of the loop around it is."""
    if torch.get_default_device().type == "cpu":
        return nullcontext()  # the other one would slow every operation within it
    return torch.device("cpu")


def checked(constructor: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that checks its arguments and makes every tensor on the CPU."""

    @wraps(constructor)
    def build(self: Method, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - any
        check_arguments(constructor, (self, *arguments), keywords)
        with on_cpu():
            constructor(self, *arguments, **keywords)

    return build


class Method(nn.Module):
    """Decides how T tasks share one update.

    A subclass says what it ``needs`` and implements ``weights``; one that does more than weigh
    tasks overrides ``combine``. It lives on the CPU, where the T losses and the T x T Gram matrix
    are brought to it, and stays there when a module that it is part of is moved or cast. Everything
    that it remembers between steps is module state (buffers, parameters, or ``get_extra_state``),
    so that a saved and loaded method continues as if it had never stopped.

    Args:
        num_tasks: T.
        head_weighting: ``weighted`` multiplies the gradient of task t's own parameters by its
            weight, ``unweighted`` leaves it as it is. The protocols differ in this.
        seed: seed of ``self.generator``, the method's only source of randomness.

    Example:
        >>> import torch
        >>> from mtl_bench import Method
        >>> class InverseLoss(Method):
        ...     def weights(self, losses_T, gram_TT=None):
        ...         return 1 / losses_T
        ...
        >>> InverseLoss(2).weights(torch.tensor([0.5, 2.0]))
        tensor([2.0000, 0.5000])
    """

    needs: ClassVar[Needs] = "losses"
    separate_networks: ClassVar[bool] = False
    """Whether every task gets a network of its own instead of one that the tasks share."""
    differentiates_twice: ClassVar[bool] = False
    """Whether it calls ``apply_penalized``, so that the graphs of the losses must be whole."""
    looks_again: bool = False
    """Whether ``after_update`` wants the task gradients of the same batches after the update."""

    @checked
    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.num_tasks = num_tasks
        self.head_weighting = head_weighting
        self.generator = torch.Generator().manual_seed(seed)
        self.diagnostics: dict[str, float] = {}
        self.present: Tensor | None = None
        """Numbers of the S tasks that the step's batch has labels of; None if it has all."""
        self.task_names = tuple(map(str, range(num_tasks)))
        """What messages call the T tasks; a trainer puts their names here."""
        self._epoch: int | None = None
        self.awaits_update = False
        """Whether ``after_update`` has yet to be called for the latest ``step``."""

    def __init_subclass__(cls) -> None:
        """Raise if a subclass replaces ``step``, which sees to epochs and inactive tasks.

        Its constructor checks its arguments, and its ``after_update`` takes note of a call.
        """
        super().__init_subclass__()
        if "step" in vars(cls):
            raise TypeError(f"{cls.__name__} overrides Method.step: override combine instead")
        if "__init__" in vars(cls):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]
        if "after_update" in vars(cls):
            cls.after_update = _noting(cls.after_update)  # type: ignore[assignment, method-assign]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Stay on the CPU in float64 when the module around the method is moved or cast."""
        return self

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses, which must be positive.

        One that needs nothing but losses and says no is shown NaN in their place.
        """
        return self.needs == "losses"

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the weights of the tasks, shape (T,).

        In a step whose batch lacks labels, T is the number S of tasks in ``present``; state that a
        method keeps for every task is then read and written at these alone.

        Args:
            losses_T: detached task losses.
            gram_TT: float64 Gram matrix of the task gradients; None unless ``needs`` is "gram".
        """
        raise TypeError(f"{type(self).__name__} must implement weights() or combine()")

    @property
    def counts_epochs(self) -> bool:
        """Whether it does anything at the end of an epoch, so that it must be told of it."""
        return type(self).end_epoch is not Method.end_epoch

    @final
    def step(self, gradients: TaskGradients, epoch: int | None = None) -> StepInfo:
        """Choose the weights and write ``.grad`` of every parameter; the optimiser's step is next.

        Args:
            gradients: the task gradients of the step. A task that has no loss in it gets weight 0.
            epoch: number of the epoch. A change of it ends the epoch before, see ``end_epoch``.

        Raises:
            ConfigError: the method counts epochs and is not told which one this is, it looks again
                and was not shown the step before, or it was built for fewer tasks.
            NonFiniteError: a loss is not finite, or what the method sees of a gradient.
        """
        if self.awaits_update:
            raise ConfigError(
                f"{type(self).__name__} looks at every batch again: call after_update(gradients) "
                "with its task gradients after the optimiser's step"
            )
        if max(gradients.tasks) >= self.num_tasks:
            raise ConfigError(
                f"a loss is of task {max(gradients.tasks)}, but {type(self).__name__} was built "
                f"for {self.num_tasks} tasks, which are counted from 0"
            )
        if epoch is None and self.counts_epochs:
            raise ConfigError(
                f"{type(self).__name__} counts epochs: call step(gradients, epoch=n) with the "
                "number of the epoch"
            )
        if self.needs == "gram":
            gradients.gram()  # from a device it brings the losses along
        for number, loss in zip(gradients.tasks, gradients.losses_T.tolist(), strict=True):
            if not math.isfinite(loss):
                raise NonFiniteError(f"the loss of task {self.task_names[number]} is {loss}")
        if self._epoch is not None and epoch != self._epoch:
            self.end_epoch()
        self._epoch = epoch
        info = self.step_with(gradients)
        self.awaits_update = self.looks_again
        return info

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Choose the weights of the tasks that take part and write every parameter's gradient."""
        gram_TT = gradients.gram() if self.needs == "gram" else None
        shown = self.needs != "losses" or self.reads_losses
        losses_T = gradients.losses_T if shown else self._no_losses(gradients)
        weights_T = self.weights(losses_T, gram_TT)
        gradients.apply(weights_T, self.head_weights(weights_T))
        return StepInfo(weights_T, self.diagnostics)

    def _no_losses(self, gradients: TaskGradients) -> Tensor:
        kind = gradients.device_losses_T.dtype
        return torch.full((len(gradients.tasks),), math.nan, dtype=kind)

    def step_with(self, gradients: TaskGradients) -> StepInfo:
        """Make a step for a caller that ends epochs itself by calling ``end_epoch``."""
        with on_cpu():
            self.present = present_in(gradients, self.num_tasks)
            if self.present is None:
                return self.combine(gradients)
            try:
                info = self.combine(gradients)
            finally:
                self.present = None
        weights_T = info.weights_T.new_zeros(self.num_tasks)
        weights_T[list(gradients.tasks)] = info.weights_T
        return StepInfo(weights_T, info.diagnostics)

    @property
    def active(self) -> Tensor:
        """Numbers of the tasks that take part in the step, (S,)."""
        return torch.arange(self.num_tasks) if self.present is None else self.present

    def of_present(self, values_T: Tensor) -> Tensor:
        """Return the entries of the tasks that take part in the step, (S,)."""
        return values_T if self.present is None else values_T[..., self.present]

    def task_name(self, number: int) -> str:
        """Return the name of one of the tasks that take part in the step, counted from 0."""
        return self.task_names[number if self.present is None else int(self.present[number])]

    def head_weights(self, weights_T: Tensor) -> Tensor:
        """Return what multiplies each task's own gradient, shape (T,)."""
        return weights_T if self.head_weighting == "weighted" else torch.ones_like(weights_T)

    def after_step(self, parameters: Sequence[Tensor]) -> dict[str, float]:
        """Called after every optimiser step.

        It costs no further pass over the batch; ``after_update`` does.

        Args:
            parameters: those that the optimisers moved, with the ``.grad`` that they moved by.
                Don't change them.

        Returns:
            Diagnostics that are added to those of ``StepInfo``, the same names at every step.
        """
        return {}

    def after_update(self, gradients: TaskGradients) -> dict[str, float]:
        """Evaluate the batches of an update again, after it.

        Called after the optimiser's step if ``looks_again``. The gradients are those of the same
        batches at the new parameters, computed when they are asked for.

        Returns:
            Diagnostics that are added to those of ``StepInfo``, in place of any of the same name.
        """
        raise TypeError(f"{type(self).__name__} looks again but has no after_update()")

    def end_epoch(self) -> None:
        """Called at the end of every epoch; override it in a method that counts epochs."""

    def finite(self, values: Tensor, what: str) -> np.ndarray:
        """Return values on the CPU, one or one row per task, as float64.

        Raises:
            NonFiniteError: one is not finite; the line names its task.
        """
        array = values.detach().cpu().double().numpy()
        if not np.isfinite(array).all():
            rows = array.reshape(len(array), -1)
            task = self.task_name(int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]))
            raise NonFiniteError(f"{type(self).__name__}: {what} of task {task} is not finite")
        return array

    def finite_gram(self, gram_TT: Tensor) -> np.ndarray:
        """Return the Gram matrix on the CPU as float64.

        Raises:
            NonFiniteError: an entry is not finite; a task whose own gradient is at fault is named.
        """
        self.finite(gram_TT.diagonal(), "the squared gradient norm")
        return self.finite(gram_TT, "an inner product")

    def answer(self, solution: Solution) -> Tensor:
        """Return a solver's weights, (T,), and note its health for the step log."""
        self.diagnostics = {
            "solver_iterations": float(solution.iterations),
            "solver_residual": solution.residual,
            "solver_fallback": float(solution.fallback),
        }
        return torch.from_numpy(solution.weights_T)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the generator and the place in the loop; subclasses add to it."""
        state = {"num_tasks": self.num_tasks, "generator": self.generator.get_state()}
        if self._epoch is not None:
            state["current_epoch"] = self._epoch
        if self.awaits_update:
            state["awaits_update"] = True
        return state

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned; subclasses call this first.

        Raises:
            RecordError: the state is of a method for another number of tasks.
        """
        saved = state.get("num_tasks", self.num_tasks)  # earlier versions did not save it
        if saved != self.num_tasks:
            raise RecordError(
                f"{type(self).__name__}: the saved one was built for {saved} tasks, this one for "
                f"{self.num_tasks}"
            )
        self.generator.set_state(state["generator"])
        self._epoch = state.get("current_epoch")
        self.awaits_update = state.get("awaits_update", False)


def present_in(gradients: TaskGradients, num_tasks: int) -> Tensor | None:
    """Return the numbers of the tasks of a step, (S,); None if it has all T in their order."""
    tasks = tuple(gradients.tasks)
    return None if tasks == tuple(range(num_tasks)) else torch.tensor(tasks)


def _noting(
    after_update: Callable[[Method, TaskGradients], dict[str, float]],
) -> Callable[[Method, TaskGradients], dict[str, float]]:
    @wraps(after_update)
    def noted(self: Method, gradients: TaskGradients) -> dict[str, float]:
        self.awaits_update = False
        with on_cpu():
            return after_update(self, gradients)

    return noted
