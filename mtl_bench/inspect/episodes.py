"""An episode of a recorded policy, seen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mtl_bench.algorithms.sac.episodes import episode
from mtl_bench.config.build import build
from mtl_bench.config.objects import class_of
from mtl_bench.environments.base import Suite
from mtl_bench.errors import ConfigError
from mtl_bench.inspect.recorded_run import RecordedRun


class Strip(NamedTuple):
    """An episode of a task.

    Args:
        task: its name.
        frames_FHW3: pictures of it, red, green and blue in uint8.
        steps: after which each was taken.
        success: whether a step of it succeeded.
        total: sum of its rewards as they are before any scaling.
    """

    task: str
    frames_FHW3: np.ndarray
    steps: tuple[int, ...]
    success: bool
    total: float


def learned_by_acting(run: RecordedRun) -> bool:
    """Tell whether a run learned from environments."""
    return issubclass(class_of("dataset", run.config["dataset"]), Suite)


def film(path: Path, frames: int) -> list[Strip]:
    """Let a run's last policy play its evaluation's first episode, and return it task by task.

    Args:
        path: the run's folder.
        frames: pictures of an episode, the first and the last state among them.

    Raises:
        RecordError: no run is there, or it has no checkpoint.
        ConfigError: its environments can't be seen, or fewer than two pictures are asked for.
    """
    if frames < 2:
        raise ConfigError(f"frames={frames}: an episode needs two pictures or more")
    run = RecordedRun(path, device="cpu")
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")  # read when MuJoCo is imported; needs no display
    suite: Suite = build(run.config["dataset"], seed=run.config["seed"], purpose="evaluation")
    policy = run.load_network("last").get_submodule("actor")
    taken = np.unique(np.linspace(0, suite.horizon, frames).round().astype(int)).tolist()
    succeeded_T, total_T = np.zeros(len(suite.tasks), dtype=bool), np.zeros(len(suite.tasks))
    with suite.camera() as look:
        observations_TCO = suite.reset()
        pictures = [look()]
        outcomes = episode(policy, suite, observations_TCO, torch.device("cpu"))
        for step, outcome in enumerate(outcomes, start=1):
            succeeded_T |= outcome.successes[:, 0]
            total_T += outcome.rewards[:, 0] / suite.reward_scales
            if step in taken:
                pictures.append(look())
    frames_TFHW3 = np.stack(pictures, axis=1)
    return [
        Strip(task, frames_TFHW3[t], tuple(taken), bool(succeeded_T[t]), float(total_T[t]))
        for t, task in enumerate(suite.tasks)
    ]
