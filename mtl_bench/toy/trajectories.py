"""What each method does on a landscape of two tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from mtl_bench import build_method
from mtl_bench.config.groups import describe_group
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods.base import Method

LEARNING_RATE = 0.1
BETAS = (0.5, 0.95)
EPOCHS = 20
"""Parts of a run that methods with epochs take for epochs."""

LEFT_OUT = ("stl", "torchjd")
"""Methods that don't weigh tasks, or come from an optional package."""


Losses = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(N, 2) points -> two losses, (N,) each."""


def trajectory(method: Method, start: tuple[float, float], losses: Losses, steps: int) -> Tensor:
    """Return the (steps + 1, 2) points that Adam passes with a method's updates.

    The papers take tens of thousands of steps at a rate of 1e-3. Here hundreds at 0.1 go as far,
    and Adam's memory is shorter with them: with its usual one the steep walls of the valleys would
    slow down all of so short a run.
    """
    theta_2 = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = torch.optim.Adam([theta_2], lr=LEARNING_RATE, betas=BETAS)
    points = [theta_2.detach().clone()]
    for step in range(steps):
        gradients = TaskGradients(losses(theta_2), [theta_2])
        method.step(gradients, epoch=step // max(steps // EPOCHS, 1))
        optimizer.step()
        if method.looks_again:
            method.after_update(TaskGradients(losses(theta_2), [theta_2]))
        points.append(theta_2.detach().clone())
    return torch.stack(points)


def all_trajectories(
    losses: Losses, starts: Sequence[tuple[float, float]], steps: int, seed: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Yield method and (S, steps + 1, 2) points, one trajectory from each of S starting points."""
    for name in sorted(describe_group("method")):
        if name in LEFT_OUT:
            continue
        fields: dict[str, Any] = {"noise_steps": max(steps // 4, 1)} if name == "taskforce" else {}
        method = build_method(name, 2, seed=seed, **fields)
        paths = [trajectory(deepcopy(method), start, losses, steps) for start in starts]
        yield name, torch.stack(paths)
