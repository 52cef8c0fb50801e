"""How cost and memory grow: with tasks, shared parameters, records and processes.

The steps are those of ``benchmarks.steps``, on a network of layers of equal width with a head for
each task. The records are those of ``tests.records.campaign``, the processes those of
``benchmarks.processes``.

Legend of shape suffixes: T tasks, B samples, F features.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measured_command import measure_command
from benchmarks.processes import run_processes
from benchmarks.steps import CPU, MethodVariant, Problem, Step, time_steps
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.errors import ConfigError
from mtl_bench.methods import NashMTL
from mtl_bench.metrics import MeanAbsoluteError
from mtl_bench.runtime.environment import device_name
from mtl_bench.runtime.memory import forget_peak, resident_peak, reuse_freed_memory
from mtl_bench.tasks import Task

TASKS = (1, 2, 5, 10, 20, 50, 100)
PARAMETERS = (10**5, 10**6, 10**7, 10**8)
RECORDS = (100, 300, 1000, 2000)
PROCESSES = (1, 2)

FIXED_TASKS, FIXED_PARAMETERS = 5, 10**6
"""What there is of one of them while the other grows."""

ONE_ROUND = 10**8
"""Shared parameters from which one round has to do."""

LAYERS, SAMPLES = 12, 64
"""Of the shared part, and of a batch."""

QUARTERS, STREAMED = "nashmtl, quarters", "nashmtl, streamed"
"""Streamed in parts of a quarter of the Jacobian, and as ``gradients.backend=streamed`` does it."""

STEPS = {
    "tasks": ("ls", "nashmtl", "taskforce", "pcgrad", "graddrop", QUARTERS),
    "parameters": ("ls", "nashmtl", QUARTERS, STREAMED),
}
UPDATES = ("ls", "nashmtl")
COMMANDS = ("status", "tables", "report")

MEASURES = ("cpu_seconds", "peak_bytes")

Cost = Mapping[str, float]
"""Every measure and its value."""

Costs = dict[str, dict[str, Cost]]
"""Contestant -> how many there are -> what it costs."""


@dataclass(frozen=True)
class Points:
    """Inputs without meaning, (B, F), and targets of every task, (B,)."""

    inputs_BF: Tensor
    targets: dict[str, Tensor]

    def to(self, _: torch.device) -> Self:
        """Return the batch, which is on the CPU."""
        return self


class Family(HeadedNetwork):
    """Layers of equal width with ReLU, and a linear head for each of a family of tasks.

    Args:
        tasks: their names.
        parameters: of the shared part, about.
    """

    has_representation: ClassVar[bool] = True

    def __init__(self, tasks: Sequence[str], parameters: int) -> None:
        super().__init__()
        self.width = round((math.sqrt(1 + 4 * parameters / LAYERS) - 1) / 2)
        layers = [nn.Linear(self.width, self.width) for _ in range(LAYERS)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.trunk = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        self.heads = nn.ModuleDict({task: nn.Linear(self.width, 1) for task in tasks})

    def representation(self, batch: Points) -> Tensor:
        """Return the last layer's features, (B, F)."""
        features_BF: Tensor = self.trunk(batch.inputs_BF)
        return features_BF


def measure(data: Path, rounds: int, threads: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Return what everything costs: part -> contestant -> how many there are -> measures.

    Times are medians of interleaved rounds. The bytes of a step and of an update are those that
    its peak adds to a process with the network, the optimiser's state and the batch. Those of a
    command are the peak of its process.

    Args:
        data: folder of prepared data, for the processes.
        rounds: that are timed; a command runs once.
        threads: CPU threads of a process.
        only: parts, by default all.

    Raises:
        ConfigError: there is no such part.
        DataError: QM9 is not prepared.
    """
    parts: dict[str, Callable[[], Costs]] = {
        "processes": partial(_grow_processes, data, rounds, threads),
        "tasks": partial(_grow_tasks, rounds),
        "parameters": partial(_grow_parameters, rounds),
        "records": _grow_records,
    }
    for name in only:
        if name not in parts:
            raise ConfigError(f"only={name}: no such part; there are {', '.join(parts)}")
    torch.set_num_threads(threads)
    reuse_freed_memory()
    chosen = [name for name in parts if name in (only or parts)]
    return {
        "parts": {name: parts[name]() for name in chosen},
        "gram_differences": gram_differences() if "parameters" in chosen else {},
        "rounds": rounds,
        "threads": threads,
        "device": device_name(CPU),
        "torch": torch.__version__,
    }


def family_problem(tasks: int, parameters: int) -> Problem:
    """Return a family of tasks on random points."""
    torch.manual_seed(0)
    names = [f"task{number}" for number in range(tasks)]
    network = Family(names, parameters)
    points = Points(
        torch.randn(SAMPLES, network.width), {name: torch.randn(SAMPLES) for name in names}
    )
    jacobian_bytes = 4 * tasks * sum(p.numel() for p in network.shared_parameters())
    return Problem(
        name="growth",
        dataset="qm9",
        title=f"{tasks} tasks",
        network=network,
        build_separate=lambda: network,
        tasks=[Task(name, name, _squared_error, (), MeanAbsoluteError) for name in names],
        batches=repeat(points),
        variants={
            QUARTERS: MethodVariant("nashmtl", {"max_memory": jacobian_bytes / 4 / (1 << 30)}),
            STREAMED: MethodVariant("nashmtl", {"backend": "streamed"}),
        },
    )


def _squared_error(outputs_B1: Tensor, targets_B: Tensor) -> Tensor:
    return functional.mse_loss(outputs_B1[:, 0], targets_B)


def _grow_tasks(rounds: int) -> Costs:
    return _by_contestant(
        (tasks, _step_costs(family_problem(tasks, FIXED_PARAMETERS), STEPS["tasks"], rounds))
        for tasks in TASKS
    )


def _grow_parameters(rounds: int) -> Costs:
    return _by_contestant(
        (
            parameters,
            _step_costs(
                family_problem(FIXED_TASKS, parameters),
                STEPS["parameters"],
                rounds if parameters < ONE_ROUND else 1,
            ),
        )
        for parameters in PARAMETERS
    )


def _grow_records() -> Costs:
    return _by_contestant((records, _command_costs(records)) for records in RECORDS)


def _grow_processes(data: Path, rounds: int, threads: int) -> Costs:
    return _by_contestant(
        (size, run_processes(size, data, rounds, threads, UPDATES)) for size in PROCESSES
    )


def _by_contestant(found: Iterable[tuple[int, Mapping[str, Cost]]]) -> Costs:
    costs: Costs = {}
    for count, own in found:
        for name, cost in own.items():
            costs.setdefault(name, {})[str(count)] = {key: cost[key] for key in MEASURES}
    return costs


def _step_costs(problem: Problem, names: Sequence[str], rounds: int) -> dict[str, Cost]:
    steps, _ = problem.contestants(names)
    steps[names[0]].run(next(problem.batches))  # makes the optimiser's state
    added = {name: _added_bytes(problem, step) for name, step in steps.items()}
    seconds = time_steps(steps, problem.batches, rounds)
    return {
        name: dict(zip(MEASURES, (median(seconds[name]), added[name]), strict=True))
        for name in steps
    }


def _added_bytes(problem: Problem, step: Step) -> int:
    """Return what a first step adds, the Jacobian that is kept from step to step among it."""
    problem.network.zero_grad()
    forget_peak(CPU)
    before = resident_peak()
    step.run(next(problem.batches))
    return resident_peak() - before


def _command_costs(records: int) -> dict[str, Cost]:
    with tempfile.TemporaryDirectory() as folder:
        campaign = [sys.executable, "-m", "tests.records.campaign", folder, str(records)]
        subprocess.run(campaign, check=True)
        words = ("profile=mini", f"paths.results={folder}")
        return {name: measure_command([name, *words]) for name in COMMANDS}


def gram_differences() -> dict[str, float]:
    """Return P -> by how much the streamed cosines of the task gradients differ from the others."""
    return {str(parameters): _gram_difference(parameters) for parameters in PARAMETERS}


def _gram_difference(parameters: int) -> float:
    family = family_problem(FIXED_TASKS, parameters)
    batch = next(family.batches)

    def gram(**options: Any) -> Tensor:  # noqa: ANN401 - of BatchGradients
        method = NashMTL(FIXED_TASKS)
        return BatchGradients(family.network, family.tasks, method, CPU, **options)([batch]).gram()

    kept_TT, streamed_TT = gram(), gram(**family.variants[QUARTERS].options)
    lengths_T = kept_TT.diagonal().sqrt()
    return float(((kept_TT - streamed_TT) / lengths_T.outer(lengths_T)).abs().max())


def render(result: dict[str, Any]) -> str:
    """Return a measurement as Markdown tables."""
    lines = [
        f"{result['device']}, medians of {result['rounds']} interleaved rounds: "
        "CPU seconds (times those of LS); MB"
    ]
    for part, costs in result["parts"].items():
        counts = list(next(iter(costs.values())))
        lines += ["", f"| {part} | " + " | ".join(f"{int(count):,}" for count in counts) + " |"]
        lines.append("|---" * (1 + len(counts)) + "|")
        for name, own in costs.items():
            cells = (_cell(own[count], costs.get("ls", own)[count]) for count in counts)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if differences := result["gram_differences"]:
        worst = max(differences.values())
        lines += ["", f"Streamed cosines of task gradients differ by {worst:.1g} at most."]
    return "\n".join(lines)


def _cell(cost: Cost, reference: Cost) -> str:
    seconds, megabytes = cost["cpu_seconds"], cost["peak_bytes"] / 1e6
    ratio = f" ({seconds / reference['cpu_seconds']:.1f})" if cost is not reference else ""
    return f"{seconds:.2g}{ratio}; {megabytes:,.0f}"
