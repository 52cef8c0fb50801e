"""What the trainer asks of an algorithm, supervised or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from mtl_bench.datasets.base import Split
    from mtl_bench.gradients import LossScale, TaskGradients
    from mtl_bench.methods.base import Method
    from mtl_bench.scores import Score
    from mtl_bench.tasks import TaskSpec

Metrics = dict[str, dict[str, float]]
"""Task -> metric -> value."""


class GradientSource(Protocol):
    """Turns the data of an update into the gradients of its task losses."""

    def __call__(self, data: Any) -> TaskGradients:  # noqa: ANN401 - the algorithm's own data
        """Return the task gradients of one update, none of them computed yet."""

    def reevaluate(
        self,
        data: Any,  # noqa: ANN401
    ) -> AbstractContextManager[TaskGradients]:
        """Give the gradients of the latest data at the parameters as they are now."""

    def task_losses(
        self,
        network: nn.Module,
        data: Any,  # noqa: ANN401
    ) -> Mapping[int, Tensor]:
        """Return task's number -> loss of a copy of the network; nothing else takes note.

        Args:
            network: a copy, whose parameters may have another precision.
            data: of an update, in the precision of the network.
        """


class MadeUpdate(Protocol):
    """What an algorithm is told of an update that it asked for."""

    @property
    def losses(self) -> Mapping[str, float]:
        """Task -> loss of the tasks that took part."""


@dataclass(frozen=True)
class Component:
    """Parameters whose T task gradients one method combines.

    Args:
        name: its folder in the step log and its key in a state; empty for an algorithm with one.
        module: holds the parameters.
        gradients: makes the task gradients of an update.
        method: chooses the weights; an instance of its own, with its own state.
        optimizers: move the parameters.
        clip_norm: longest combined gradient; a longer one is scaled down. Networks that tasks have
            of their own have each a gradient and a limit of its own. None for no limit.
        loss_scale: by what ``gradients`` scale the losses; None where their range needs no care.
        stacked: whether the parameters are (E, T, ...), the rows of T tasks that share nothing.
    """

    name: str
    module: nn.Module
    gradients: GradientSource
    method: Method
    optimizers: Sequence[Optimizer]
    clip_norm: float | None = None
    loss_scale: LossScale | None = None
    stacked: bool = False

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that are trained."""
        groups = (group for optimizer in self.optimizers for group in optimizer.param_groups)
        return [parameter for group in groups for parameter in group["params"]]


class Algorithm(ABC):
    """Where the T task losses of an update come from, and how well the tasks are solved.

    The trainer owns time: steps, epochs, signals, checkpoints and the record. A checkpoint may be
    made after any step, so loading, acting and storing belong to ``epoch``, and everything that the
    next step depends on is in ``state_dict``.

    Attributes:
        tasks: what is learned.
        components: what a step updates, in this order.
        splits: evaluated after every epoch, ``test`` last.
        score: how well all tasks are solved, in one number.
        steps_per_epoch: steps between two evaluations.
        tell: shows a line to a person; the trainer sets it.
        origin: kind, source and manifest of what is learned from, all strings; a run is not
            continued on another one.
        fixed: keys of a configuration that the algorithm has no choice of, and their values.
        shares_updates: whether several processes can train together, each with a part of the data
            of an update; it is then built with ``ranks``.
    """

    tasks: tuple[TaskSpec, ...]
    components: tuple[Component, ...]
    splits: tuple[Split, ...]
    score: Score
    steps_per_epoch: int
    origin: dict[str, str]
    fixed: ClassVar[Mapping[str, Any]] = {}
    shares_updates: ClassVar[bool] = False
    tell: Callable[[str], None] = staticmethod(print)

    @classmethod
    @abstractmethod
    def serves(cls, data: type) -> bool:
        """Tell whether it can learn from a class of the group ``dataset``."""

    @abstractmethod
    def epoch(self, number: int, start: int) -> Iterator[Any]:
        """Yield what each step of an epoch learns from.

        Args:
            number: of the epoch, from 1.
            start: steps of it that are done.
        """

    @abstractmethod
    def step(self, data: Any, update: Callable[[Component, Any], MadeUpdate]) -> None:  # noqa: ANN401
        """Make one step: call ``update(component, data)`` for each component, in order."""

    @abstractmethod
    def evaluate(self, split: Split, where: str, pause: Callable[[], None]) -> Metrics:
        """Return the metrics on a split; nothing that training depends on changes.

        Args:
            split: one of ``splits``.
            where: what an error calls this evaluation.
            pause: called now and then; the trainer may write a checkpoint in it.
        """

    @abstractmethod
    def end_epoch(self, epoch: int, metrics: dict[Split, Metrics]) -> dict[str, Any]:
        """Select the epoch, move schedules on, and return its scores by their key in the record."""

    @property
    def note(self) -> str:
        """One line for a person on what the score is, and what selects an epoch besides."""
        return self.score.note

    @abstractmethod
    def learning_rate(self) -> float:
        """Return the present learning rate, the mean over optimisers."""

    @abstractmethod
    def selected_epochs(self) -> dict[str, int] | None:
        """Return task -> epoch with the best validation score; None without validation."""

    @abstractmethod
    def sample_names(self, epoch: int, step: int) -> list[list[str]]:
        """Name what a step learned from, for the report of its failure."""

    @abstractmethod
    def parameter_counts(self) -> dict[str, int]:
        """Return what is counted -> number of scalars, ``total`` and ``shared`` among them."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on, in types that a safe checkpoint may hold."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""

    def describe(self, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what else summary.json tells of a training that has ended.

        Args:
            history: the lines of metrics.jsonl.
        """
        return {}

    @classmethod
    def network_states(cls, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return component -> state of its module, of what ``state_dict`` returned."""
        return {"": state["network"]}

    def keep_in(self, folder: Path) -> None:  # noqa: B027 - most algorithms have no such data
        """Keep data that is too large for a state in files below a folder.

        Args:
            folder: of the run's checkpoints, each of which names the files that it needs.
        """

    def write(self) -> None:  # noqa: B027
        """Write what of such data is new; a state that names it is saved next."""

    def damaged(self, state: dict[str, Any]) -> list[str]:
        """Return the files of such data that a state names and that are not what they were."""
        return []
