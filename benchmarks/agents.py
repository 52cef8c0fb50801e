"""Cost of the agents' part of a step: T agents in one, against a loop over T separate ones."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

from benchmarks.separate_agents import SeparateAgents
from mtl_bench import build_method
from mtl_bench.methods.taskforce import TaskForce
from mtl_bench.methods.taskforce.agents import Agents
from mtl_bench.methods.taskforce.replay_buffer import AgentTransitions

SIZES = (3, 11, 40)
REPEATS = 5


def measure(rounds: int, threads: int) -> dict[str, Any]:
    """Time acting and updating at the paper's sizes, interleaved, in CPU time.

    Args:
        rounds: random batches of 64 transitions for each T; each is used 5 times by both.
        threads: CPU threads.

    Returns:
        Median milliseconds of one action and one update, contestant -> T -> value.
    """
    torch.set_num_threads(threads)
    milliseconds: dict[str, dict[str, float]] = {"batched": {}, "separate": {}}
    for size in SIZES:
        method = build_method("taskforce", size)
        assert isinstance(method, TaskForce)
        agents = method.agents
        assert isinstance(agents, Agents)
        separate = SeparateAgents(agents, size, learning_rate=5e-4)
        seconds: dict[str, list[float]] = {name: [] for name in milliseconds}
        generator = torch.Generator().manual_seed(0)
        for number in range(1 + rounds):
            batch = random_transitions(size, generator)
            observation_TO = batch.observations_BTO[0]
            for _ in range(REPEATS):
                for name, contestant in (("batched", agents), ("separate", separate)):
                    begin = time.process_time()
                    contestant.act(observation_TO)
                    contestant.update(batch)
                    if number > 0:
                        seconds[name].append(time.process_time() - begin)
        for name, values in seconds.items():
            milliseconds[name][str(size)] = 1e3 * median(values)
    return {
        "median_cpu_milliseconds": milliseconds,
        "speedup": {
            size: milliseconds["separate"][size] / milliseconds["batched"][size]
            for size in map(str, SIZES)
        },
        "rounds": rounds,
        "threads": threads,
    }


def random_transitions(num_tasks: int, generator: torch.Generator) -> AgentTransitions:
    """Return 64 transitions of T agents."""
    shape = (64, num_tasks, num_tasks + 1)
    observed, following = (torch.randn(shape, generator=generator) for _ in range(2))
    actions_BT = torch.rand(64, num_tasks, generator=generator) * 2 - 1
    return AgentTransitions(observed, actions_BT, torch.randn(64, generator=generator), following)


def render(result: dict[str, Any]) -> str:
    """Return the measurement as a Markdown table."""
    lines = [
        "| acting and updating, median CPU ms | " + " | ".join(f"T = {t}" for t in SIZES) + " |",
        "|---|" + "---|" * len(SIZES),
    ]
    for name, by_size in result["median_cpu_milliseconds"].items():
        lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in by_size.values()) + " |")
    ratios = " | ".join(f"{value:.1f}" for value in result["speedup"].values())
    return "\n".join([*lines, f"| separate / batched | {ratios} |"])
