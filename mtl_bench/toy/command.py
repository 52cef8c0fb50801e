"""The commands ``mtl-bench toy``, ``mtl-bench game`` and ``mtl-bench grams``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mtl_bench.errors import ConfigError
from mtl_bench.reporting.drawing import save
from mtl_bench.toy import game_figure, recorded_grams, two_tasks, valley
from mtl_bench.toy.game import RATE
from mtl_bench.toy.game_runs import VARIANTS, play, render
from mtl_bench.toy.landscape_figures import draw_two_tasks, draw_valley
from mtl_bench.toy.trajectories import Losses, all_trajectories
from mtl_bench.words import parse_count, parse_list, parse_settings, require_choice

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Landscape(NamedTuple):
    """Two losses of two numbers.

    Args:
        losses: see ``all_trajectories``.
        starts: of the trajectories.
        steps: of each, by default.
        draw: method -> points, as a figure.
        file: name of the picture.
    """

    losses: Losses
    starts: Sequence[tuple[float, float]]
    steps: int
    draw: Callable[[dict[str, Tensor]], Figure]
    file: str


LANDSCAPES = {
    "front": Landscape(two_tasks.losses, two_tasks.STARTS, 300, draw_two_tasks, "toy"),
    "valley": Landscape(valley.losses, valley.STARTS, 600, draw_valley, "toy_valley"),
}


def toy(words: Sequence[str]) -> None:
    """Draw every method's path on a landscape of two tasks."""
    settings = parse_settings(
        words, paths__figures="results/toy", landscape=next(iter(LANDSCAPES)), steps=None
    )
    require_choice(settings, "landscape", tuple(LANDSCAPES))
    landscape = LANDSCAPES[str(settings["landscape"])]
    steps = landscape.steps if settings["steps"] is None else parse_count(settings, "steps")
    torch.set_num_threads(1)  # tensors of two numbers
    trajectories = {}
    for name, points in all_trajectories(landscape.losses, landscape.starts, steps):
        print(f"followed: {name}", file=sys.stderr)
        trajectories[name] = points
    for path in save(
        landscape.draw(trajectories), Path(str(settings["paths.figures"])), landscape.file
    ):
        print(path)


def game(words: Sequence[str]) -> None:
    """Play the game whose optimum is known; print the table and draw the picture."""
    settings = parse_settings(words, paths__figures="results/toy", steps="6000", seeds="5")
    steps, seeds = parse_count(settings, "steps"), parse_count(settings, "seeds")
    torch.set_num_threads(1)  # tensors of a few numbers
    results = []
    for variant in VARIANTS:
        print(f"playing: {variant.title}", file=sys.stderr)
        results.append(play(variant, seeds, steps))
    print(render(results))
    drawn = [played for played in results if played.variant.rate == RATE]
    for path in save(game_figure.draw(drawn), Path(str(settings["paths.figures"])), "game"):
        print(path)


def grams(words: Sequence[str]) -> None:
    """Let agents play recorded Gram matrices for the Nash reward and print how they do."""
    defaults = {"paths__results": "results", "steps": "6000", "seeds": "3", "only": None}
    settings = parse_settings(words, **defaults)
    steps, seeds = parse_count(settings, "steps"), parse_count(settings, "seeds")
    names = parse_list(settings["only"]) or list(recorded_grams.VARIANTS)
    if unknown := [name for name in names if name not in recorded_grams.VARIANTS]:
        allowed = ", ".join(recorded_grams.VARIANTS)
        raise ConfigError(f"only={unknown[0]}: must be some of {allowed}")
    states = recorded_grams.find_states(Path(str(settings["paths.results"])))
    torch.set_num_threads(1)  # tensors of a few numbers
    results = {}
    for name in names:
        print(f"playing: {name}", file=sys.stderr)
        fields = recorded_grams.VARIANTS[name]
        results[name] = [recorded_grams.play(states, fields, seed, steps) for seed in range(seeds)]
    print(recorded_grams.render(results))
