"""Cost of a method in multi-task SAC: whole updates of critics, policy and temperatures.

Legend of shape suffixes: T tasks, B samples of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch.func import functional_call

from benchmarks.steps import CPU, Step, fill_replay, render_left_out, time_steps
from mtl_bench import build_method
from mtl_bench.algorithms.base import Component
from mtl_bench.algorithms.sac.episode_replay import Transitions
from mtl_bench.algorithms.sac.gradients import ControlGradients
from mtl_bench.algorithms.sac.sac import MultiTaskSAC
from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.config.groups import describe_group
from mtl_bench.environments.base import Outcome, Suite
from mtl_bench.errors import ConfigError, MissingExtraError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import LS
from mtl_bench.methods.base import Method
from mtl_bench.runtime.processor import processor_name
from mtl_bench.training.update import Update

TASKS = (4, 10, 50)
OBSERVATION, ACTION = 39, 4
LOOP = "pcgrad joint-graph loop"
LARGEST_LOOP = 10
"""Tasks up to which the loop is timed; with fifty it takes minutes a step."""


class Size(NamedTuple):
    """Hidden units of the networks, and samples of each task in an update."""

    hidden: tuple[int, ...]
    batch: int


SIZES = {"reduced": Size((128, 128), 32), "paper": Size((400, 400, 400), 128)}


class Nothing(Suite):
    """Environments of Meta-World's sizes in which nothing happens: none of their steps is timed."""

    task_names: ClassVar = tuple(f"task{number}" for number in range(max(TASKS)))
    benchmarks: ClassVar = {}
    observation_dim, action_dim = OBSERVATION, ACTION
    simulator = "none"

    def _begin(self, generators: list[np.random.Generator]) -> np.ndarray:
        return np.zeros((len(self.tasks), self.copies, OBSERVATION))

    def _advance(self, actions_TCA: np.ndarray) -> Outcome:
        shape = actions_TCA.shape[:2]
        return Outcome(self._begin([]), np.zeros(shape), np.zeros(shape, dtype=bool))


class JointGradients(ControlGradients):
    """Task gradients as they are had without any of our means: T passes through one graph."""

    def __call__(self, data: Any) -> Any:  # noqa: ANN401 - of the losses
        """Return the gradients of the losses on the data of an update."""
        losses_T, seen = self.losses(partial(functional_call, self.network, {}), data)
        self.look(seen)
        return TaskGradients(losses_T.unbind(), list(self.shared.values()), [()] * len(losses_T))


def measure(rounds: int, threads: int, only: Sequence[str]) -> dict[str, Any]:
    """Time the methods' updates on random transitions, interleaved, in CPU time.

    A method is on the components that ``algorithm.method_on=auto`` puts it on. Environments, and
    drawing from the replay buffer, cost the same with every method and are left out.

    Args:
        rounds: timed rounds after one that is not.
        threads: CPU threads.
        only: contestants, by default all.

    Returns:
        Median milliseconds, and their ratio to those of LS; size -> contestant -> T -> value.
    """
    torch.set_num_threads(threads)
    names = [*describe_group("method"), LOOP]
    for name in only:
        if name not in names:
            raise ConfigError(f"only={name}: no such contestant; there are {', '.join(names)}")
    left_out: dict[str, str] = {}
    milliseconds: dict[str, dict[str, dict[str, float]]] = {}
    for size_name, size in SIZES.items():
        for tasks in TASKS:
            contestants = {}
            for name in only or names:
                if name == LOOP and tasks > LARGEST_LOOP:
                    continue
                try:
                    contestants[name] = Step(_updates(name, tasks, size))
                except MissingExtraError as error:
                    left_out[name] = str(error)
            for name, seconds in time_steps(contestants, _batches(tasks, size), rounds).items():
                by_tasks = milliseconds.setdefault(size_name, {}).setdefault(name, {})
                by_tasks[str(tasks)] = 1e3 * median(seconds)
    return {
        "median_cpu_milliseconds": milliseconds,
        "relative_to_ls": {
            size_name: {
                name: {tasks: own / by_name["ls"][tasks] for tasks, own in by_tasks.items()}
                for name, by_tasks in by_name.items()
            }
            for size_name, by_name in milliseconds.items()
            if "ls" in by_name
        },
        "left_out": left_out,
        "rounds": rounds,
        "threads": threads,
        "device": processor_name(),
        "torch": torch.__version__,
    }


def _updates(name: str, tasks: int, size: Size) -> Callable[[Transitions], None]:
    """Return what makes one update of everything that is learned."""
    methods = [_method(name, tasks) for _ in ("critic", "actor")]
    critic, actor = methods[0], LS(tasks) if methods[0].reads_losses else methods[1]
    suite, evaluation = (
        Nothing(list(Nothing.task_names[:tasks]), 1, 1, 0, purpose, 1.0, None)
        for purpose in ("training", "evaluation")
    )
    network = partial(MLP, suite.tasks, heads=False, hidden=size.hidden)
    separate = critic.separate_networks
    algorithm = MultiTaskSAC(
        suite,
        evaluation,
        network(Shape(OBSERVATION, 2 * ACTION, separate=separate)),
        network(Shape(OBSERVATION + ACTION, 1, members=2, separate=separate)),
        {"critic": critic, "actor": actor},
        partial(torch.optim.Adam, lr=3e-4, fused=True),
        seed=0,
        device=CPU,
        buffer_size=1,
    )
    if name == LOOP:
        algorithm.components = tuple(map(_looped, algorithm.components))
    update = Update(suite.tasks)

    def step(batch: Transitions) -> None:
        algorithm.step(batch, update)

    return step


def _looped(component: Component) -> Component:
    source = component.gradients
    assert isinstance(source, ControlGradients)
    joint = JointGradients(
        source.network, source.losses, source.look, source.method, source.present
    )
    return replace(component, gradients=joint)


def _method(name: str, tasks: int) -> Method:
    if name == "torchjd":
        return build_method(name, tasks, dataset="mt10", aggregator="UPGrad")
    method = build_method("pcgrad" if name == LOOP else name, tasks, dataset="mt10")
    fill_replay(method, tasks)
    return method


def _batches(tasks: int, size: Size) -> Iterator[Transitions]:
    """Yield random transitions without end."""
    generator = torch.Generator().manual_seed(0)

    def draw(*numbers: int) -> torch.Tensor:
        return torch.randn(tasks, size.batch, *numbers, generator=generator)

    while True:
        yield Transitions(draw(OBSERVATION), draw(ACTION).tanh(), draw(), draw(OBSERVATION))


def render(result: dict[str, Any]) -> str:
    """Return the measurement as Markdown tables, one for each size."""
    tables = []
    for name, by_contestant in result["median_cpu_milliseconds"].items():
        ratios = result["relative_to_ls"].get(name, {})
        hidden, batch = SIZES[name]
        units = "x".join(map(str, (len(hidden), hidden[0])))
        title = f"{units} units, {batch} samples of each task: median CPU ms (relative to LS)"
        lines = [
            f"| {title} | " + " | ".join(f"T = {tasks}" for tasks in TASKS) + " |",
            "|---|" + "---|" * len(TASKS),
        ]
        for contestant, by_tasks in by_contestant.items():
            cells = [
                f"{value:.1f}"
                + (f" ({ratios[contestant][tasks]:.2f})" if contestant in ratios else "")
                for tasks, value in by_tasks.items()
            ]
            cells += ["–"] * (len(TASKS) - len(cells))
            lines.append(f"| {contestant} | " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    about = f"{result['device']}, {result['rounds']} interleaved rounds"
    return "\n\n".join([*tables, about, *render_left_out(result["left_out"])])
