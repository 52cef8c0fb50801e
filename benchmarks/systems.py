"""Cost of a system in multi-task SAC: vector steps on Meta-World's MT10 at the paper's size."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, cast

import torch

from benchmarks.steps import CPU, WARM_UP
from mtl_bench.algorithms.sac.sac import MultiTaskSAC
from mtl_bench.config.build import build_algorithm, build_data
from mtl_bench.config.compose import compose_config
from mtl_bench.errors import ConfigError
from mtl_bench.runtime.processor import processor_name
from mtl_bench.training.update import Update

SYSTEMS = (
    *("ls", "stl", "multihead", "film", "softmodular", "softmodular_deep", "care", "care_learned"),
    *("dgrad_a", "dgrad_o", "pcgrad", "pcgrad_direction", "pcgrad_magnitude", "gradnorm"),
    *("paco", "paco_k3", "paco_k8", "paco_one_hot", "paco_output", "paco_actor", "wide"),
)
"""Ablations of the papers' tables."""

WORDS = ("dataset=mt10", "profile=paper")
SHORT = ("dataset.horizon=100", "algorithm.random_episodes=1", "algorithm.buffer_size=1000")
"""What makes the run short; neither a step nor an update costs another time for it."""


def measure(rounds: int, threads: int, only: Sequence[str]) -> dict[str, Any]:
    """Time acting and updating of every system, interleaved, in CPU time.

    Acting is a step of all ten environments and the draw of a batch. The hours of a run are those
    of its random steps, its training and its evaluations, whose steps count like acting.

    Args:
        rounds: timed vector steps after one that is not.
        threads: CPU threads.
        only: systems, by default all.
    """
    for name in only:
        if name not in SYSTEMS:
            raise ConfigError(f"only={name}: no such contestant; there are {', '.join(SYSTEMS)}")
    torch.set_num_threads(threads)
    names = list(only or SYSTEMS)
    systems = {name: _build(name) for name in names}
    updates = {name: Update(system.suite.tasks) for name, system in systems.items()}
    epochs = {name: system.epoch(1, 0) for name, system in systems.items()}
    acting: dict[str, list[float]] = {name: [] for name in names}
    updating: dict[str, list[float]] = {name: [] for name in names}
    for number in range(WARM_UP + rounds):
        random.Random(number).shuffle(names)
        for name in names:
            begin = time.process_time()
            batch = next(epochs[name])
            acted = time.process_time()
            systems[name].step(batch, updates[name])
            if number >= WARM_UP:
                acting[name].append(acted - begin)
                updating[name].append(time.process_time() - acted)
    medians = {
        name: {"acting": median(acting[name]), "update": median(updating[name])} for name in systems
    }
    return {
        "median_cpu_seconds": medians,
        "hours_per_seed": {name: _hours(name, **own) for name, own in medians.items()},
        "parameters": {name: system.parameter_counts() for name, system in systems.items()},
        "rounds": rounds,
        "threads": threads,
        "device": processor_name(),
        "torch": torch.__version__,
    }


def _build(name: str) -> MultiTaskSAC:
    config = compose_config([*WORDS, f"ablation={name}", *SHORT])
    algorithm = cast("MultiTaskSAC", build_algorithm(config, build_data(config), CPU))
    algorithm.evaluation = algorithm.suite  # half of the simulators are never asked for
    return algorithm


def _hours(name: str, acting: float, update: float) -> float:
    """Return the CPU hours of a whole run of ``profile=paper``."""
    config = compose_config([*WORDS, f"ablation={name}"])
    algorithm, horizon = config["algorithm"], config["dataset"]["horizon"]
    trained = config["trainer"]["epochs"] * algorithm["epoch_episodes"]
    evaluated = config["trainer"]["epochs"] * algorithm["evaluation_rounds"]
    played = (algorithm["random_episodes"] + trained + evaluated) * horizon
    return (played * acting + trained * horizon * update) / 3600


def render(result: dict[str, Any]) -> str:
    """Return the measurement as a Markdown table."""
    lines = [
        "| system | actor | critics | acting, ms | update, ms | vector steps/s | hours a seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, own in result["median_cpu_seconds"].items():
        counts = result["parameters"][name]
        lines.append(
            f"| {name} | {counts['actor']:,} | {counts['critic']:,} | {1e3 * own['acting']:.1f} "
            f"| {1e3 * own['update']:.0f} | {1 / (own['acting'] + own['update']):.1f} "
            f"| {result['hours_per_seed'][name]:.0f} |"
        )
    lines.append(f"\n{result['device']}, {result['rounds']} interleaved rounds, median CPU time")
    return "\n".join(lines)
