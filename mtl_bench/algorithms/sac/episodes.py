"""Episodes of a policy without noise, and what those of its training tell.

Legend of shape suffixes: T tasks, C copies of each task's environment, R rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_bench.algorithms.base import Metrics
from mtl_bench.architectures.control.policy import best_actions
from mtl_bench.environments.base import Outcome, Suite


@torch.no_grad()
def episode(
    policy: nn.Module, suite: Suite, observations_TCO: np.ndarray, device: torch.device
) -> Iterator[Outcome]:
    """Play an episode that has begun, and yield what every step leads to.

    Args:
        policy: (s) -> what ``best_actions`` takes.
        suite: environments.
        observations_TCO: the first ones.
        device: where the policy lives.
    """
    for _ in range(suite.horizon):
        outputs_ETCM: Tensor = policy(torch.from_numpy(observations_TCO).to(device))
        outcome = suite.step(best_actions(outputs_ETCM[0]).cpu().numpy())
        observations_TCO = outcome.observations
        yield outcome


def play_rounds(
    policy: nn.Module,
    suite: Suite,
    beginning: Mapping[str, Any],
    rounds: int,
    device: torch.device,
    pause: Callable[[], None],
) -> Metrics:
    """Return each task's share of successful episodes and mean return.

    The return is the sum of the rewards as they are before any scaling.

    Args:
        policy: see ``episode``.
        suite: environments.
        beginning: state of the suite from which the first episodes begin.
        rounds: R, episodes of every environment.
        device: where the policy lives.
        pause: called after every step.
    """
    shape = (len(suite.tasks), suite.copies)
    succeeded_RTC, returns_RTC = [], []
    observations_TCO = suite.restore(beginning, np.empty(0))
    for number in range(rounds):
        if number > 0:
            observations_TCO = suite.reset()
        succeeded_TC, return_TC = np.zeros(shape, dtype=bool), np.zeros(shape)
        for outcome in episode(policy, suite, observations_TCO, device):
            succeeded_TC |= outcome.successes
            return_TC += outcome.rewards / suite.reward_scales[:, None]
            pause()
        succeeded_RTC.append(succeeded_TC)
        returns_RTC.append(return_TC)
    successes_T = np.mean(succeeded_RTC, axis=(0, 2)).tolist()
    returns_T = np.mean(returns_RTC, axis=(0, 2)).tolist()
    return {
        task: {"success": success, "return": total}
        for task, success, total in zip(suite.tasks, successes_T, returns_T, strict=True)
    }


ENOUGH = 0.8
"""Share of successful episodes from which a task counts as learned."""


def describe_learning(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return numbers by which runs can be ranked that all succeed in the end.

    Args:
        history: the lines of metrics.jsonl. ``training_success`` is each task's share of successes
            among the episodes since the line before, ``environment_steps`` the steps of each task.

    Returns:
        ``training_auc``: the area under the curve of training successes, a step function of the
        steps, divided by all steps: 1 for success from the first episode on.
        ``steps_to_0.8``: steps after which 0.8 of a line's episodes succeeded for the first time,
        None for never. Both of each task, and of the ``mean`` over tasks.
    """
    tasks = history[0]["training_success"]
    curves = {task: [line["training_success"][task] for line in history] for task in tasks}
    curves["mean"] = [fmean(line["training_success"].values()) for line in history]
    steps = [line["environment_steps"] for line in history]
    widths = [after - before for before, after in pairwise([0, *steps])]

    def reached(curve: list[float]) -> int | None:
        return next((n for n, share in zip(steps, curve, strict=True) if share >= ENOUGH), None)

    return {
        "training_auc": {
            name: sum(share * width for share, width in zip(curve, widths, strict=True)) / steps[-1]
            for name, curve in curves.items()
        },
        f"steps_to_{ENOUGH}": {name: reached(curve) for name, curve in curves.items()},
    }
