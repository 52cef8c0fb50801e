"""Whole training steps, timed side by side.

A step is forward pass, losses, gradients, method and Adam. All contestants of one network share its
parameters and optimiser state, so that any number of them fits in memory; a step's time does not
depend on the values.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.optim import Adam

from mtl_bench import build_method
from mtl_bench.algorithms.base import Component
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.architectures.base import Architecture
from mtl_bench.config.groups import describe_group
from mtl_bench.errors import ConfigError, MissingExtraError
from mtl_bench.methods.base import Method
from mtl_bench.runtime.memory import resident_peak, reuse_freed_memory
from mtl_bench.runtime.processor import processor_name
from mtl_bench.tasks import Task

CPU = torch.device("cpu")
WARM_UP = 1
REPLAY = 70
"""Calls before the measurement, so that TaskForce's agents learn in every timed step."""


@dataclass(frozen=True)
class Step:
    """One contestant.

    Args:
        run: makes one training step on a batch.
        convert: brings a batch into the form that ``run`` takes; not timed.
    """

    run: Callable[[Any], None]
    convert: Callable[[Any], Any] = lambda batch: batch


@dataclass(frozen=True)
class MethodVariant:
    """A method with other options than the default ones.

    Args:
        method: its name.
        options: of ``BatchGradients``.
        fields: of the method.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Problem:
    """A network, its tasks and batches, and what competes on them besides our methods.

    Args:
        name: in ``python -m benchmarks NAME``.
        dataset: whose protocol sets the methods' constants.
        title: what was measured, in words.
        network: shared by all of our methods.
        build_separate: builds the networks of STL.
        tasks: with their losses.
        batches: endless or long enough.
        variants: contestant -> a method with other options.
        peers: contestant -> builds its step.
    """

    name: str
    dataset: str
    title: str
    network: Architecture
    build_separate: Callable[[], Architecture]
    tasks: Sequence[Task]
    batches: Iterator[Any]
    variants: Mapping[str, MethodVariant]
    peers: Mapping[str, Callable[[], Step]] = field(default_factory=dict)

    def contestants(self, only: Sequence[str]) -> tuple[dict[str, Step], dict[str, str]]:
        """Build the steps of the contestants that are asked for, all of them by default.

        Returns:
            Contestant -> step, and contestant -> what is not installed, of those that are left out.

        Raises:
            ConfigError: there is no such contestant.
            MissingExtraError: one that was asked for needs what is not installed.
        """
        methods = [name for name in describe_group("method") if name != "ls"]
        names = ["ls", *methods, *self.variants, *self.peers]
        for name in only:
            if name not in names:
                raise ConfigError(f"only={name}: no such contestant; there are {', '.join(names)}")
        optimizer = adam(self.network)
        steps, left_out = {}, {}
        for name in only or names:
            try:
                steps[name] = self._step(name, optimizer)
            except MissingExtraError as error:
                if only:
                    raise
                left_out[name] = str(error)
        return steps, left_out

    def _step(self, name: str, optimizer: Adam) -> Step:
        if name in self.peers:
            return self.peers[name]()
        return method_step(self, self.variants.get(name, MethodVariant(name)), optimizer)


def adam(network: nn.Module) -> Adam:
    """Return the optimiser of a contestant."""
    return Adam(network.parameters(), 1e-4, fused=True)


def count_parameters(network: nn.Module) -> str:
    """Return the number of a network's parameters as a person reads it."""
    return f"{sum(parameter.numel() for parameter in network.parameters()):,}"


def build_component(
    problem: Problem,
    variant: MethodVariant,
    device: torch.device = CPU,
    optimizer: Adam | None = None,
) -> Component:
    """Return what a trainer would update, with replay buffers that are full enough.

    Args:
        problem: its network, which is there already.
        variant: one of our methods.
        device: of the network, unless every task has one of its own.
        optimizer: of the network, by default a new one.
    """
    fields = dict(variant.fields)
    method = build_method(variant.method, len(problem.tasks), dataset=problem.dataset, **fields)
    network = problem.network
    if method.separate_networks:
        network, optimizer = problem.build_separate().to(device), None
    gradients = BatchGradients(network, problem.tasks, method, device, **dict(variant.options))
    fill_replay(method, len(problem.tasks))
    return Component("", network, gradients, method, [optimizer or adam(network)])


def method_step(problem: Problem, variant: MethodVariant, optimizer: Adam) -> Step:
    """Return the training step of one of our methods."""
    component = build_component(problem, variant, optimizer=optimizer)
    method, gradients = component.method, component.gradients

    def step(batch: Any) -> None:  # noqa: ANN401 - the network's own batch
        method.step_with(gradients([batch]))
        component.optimizers[0].step()
        if method.looks_again:
            with gradients.reevaluate([batch]) as updated:
                method.after_update(updated)

    return Step(step)


def fill_replay(method: Method, num_tasks: int) -> None:
    """Let a method see enough random Gram matrices that its agents learn in every step."""
    generator = torch.Generator().manual_seed(0)
    if method.needs == "gram":
        for _ in range(REPLAY):
            rows_TP = torch.randn(num_tasks, 50, generator=generator).double()
            method.weights(torch.rand(num_tasks, generator=generator), rows_TP @ rows_TP.T)


def time_steps(
    contestants: Mapping[str, Step], batches: Iterator[Any], rounds: int
) -> dict[str, list[float]]:
    """Return contestant -> CPU seconds of its step in every round, each round on its own batch.

    The order is shuffled from round to round, so that nobody always comes after the same neighbour
    and finds the caches as that one left them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(WARM_UP + rounds):
        batch = next(batches)
        names = list(contestants)
        random.Random(number).shuffle(names)
        for name in names:
            step = contestants[name]
            own_batch = step.convert(batch)
            begin = time.process_time()
            step.run(own_batch)
            if number >= WARM_UP:
                seconds[name].append(time.process_time() - begin)
    return seconds


def measure(problem: Problem, rounds: int, threads: int, only: Sequence[str]) -> dict[str, Any]:
    """Time the contestants interleaved in this process.

    Args:
        problem: what is trained.
        rounds: timed rounds after one that is not.
        threads: CPU threads.
        only: contestants, by default all.
    """
    torch.set_num_threads(threads)
    reuse_freed_memory()
    before = resident_peak()
    contestants, left_out = problem.contestants(only)
    seconds = time_steps(contestants, problem.batches, rounds)
    medians = {name: median(values) for name, values in seconds.items()}
    result = {
        "title": problem.title,
        "median_cpu_seconds": medians,
        "all_cpu_seconds": seconds,
        "left_out": left_out,
        "resident_before_bytes": before,
        "peak_memory_bytes": resident_peak() - before,
        "rounds": rounds,
        "threads": threads,
        "device": processor_name(),
        "torch": torch.__version__,
    }
    for reference in ("ls", *(peer for peer in problem.peers if peer.startswith("ls_"))):
        if reference in medians:
            result[f"relative_to_{reference}"] = {
                name: value / medians[reference] for name, value in medians.items()
            }
    return result


def measure_memory(name: str, contestants: Sequence[str], words: Sequence[str]) -> dict[str, int]:
    """Return contestant -> bytes that two steps add to the peak of a process of its own.

    The libraries, the data set and the network are in the memory before.
    """
    peaks = {}
    for contestant in contestants:
        command = [sys.executable, "-m", "benchmarks", name, "--json"]
        settings = [f"only={contestant}", "rounds=1", *words]
        done = subprocess.run([*command, *settings], capture_output=True, text=True, check=True)
        peaks[contestant] = json.loads(done.stdout)["peak_memory_bytes"]
    return peaks


def render(result: dict[str, Any]) -> str:
    """Return a measurement as a Markdown table."""
    peaks = result.get("peak_memory_of_each", {})
    references = [key for key in result if key.startswith("relative_to_")]
    heads = ["step", "CPU s", *(key.replace("_", " ") for key in references)]
    lines = [
        f"{result['title']}, {result['device']}, median of {result['rounds']} interleaved rounds:",
        "",
        "| " + " | ".join(heads + ["peak GB"] * bool(peaks)) + " |",
        "|---" * (len(heads) + bool(peaks)) + "|",
    ]
    for name, seconds in result["median_cpu_seconds"].items():
        cells = [name, f"{seconds:.3f}", *(f"{result[key][name]:.2f}" for key in references)]
        if peaks:
            cells.append(f"{peaks[name] / 1e9:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *render_left_out(result["left_out"])])


def render_left_out(left_out: Mapping[str, str]) -> list[str]:
    """Return a line for each contestant that was not measured, and why."""
    return [f"left out: {name}: {reason}" for name, reason in left_out.items()]
