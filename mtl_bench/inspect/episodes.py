"""An episode of a recorded policy, seen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mtl_bench.algorithms.sac.episodes import episode
from mtl_bench.architectures.control.paco import PaCo, rows_between
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
    run = _open(path)
    return _play(run.load_network("last").get_submodule("actor"), _suite(run), frames)


def film_between(path: Path, frames: int, task: str) -> list[Strip]:
    """Let policies play a task that PaCo made none of them for, from the same beginning.

    The first strip is of the task's own policy, the others of those that ``rows_between`` returns.

    Args:
        path: the folder of a run whose tasks are made of two parameter sets.
        frames: see ``film``.
        task: in whose environment they play.

    Raises:
        RecordError, ConfigError: as ``film``, or there is no such task, or the policy is not made
            of two sets.
    """
    run = _open(path)
    policy, every = run.load_network("last").get_submodule("actor"), _suite(run).tasks
    if task not in every:
        raise ConfigError(f"between={task}: no task of the run; there are {', '.join(every)}")
    if not isinstance(policy, PaCo) or not policy.composes or policy.compositions.shape[2] != 2:
        raise ConfigError(
            f"between={task}: only policies of two parameter sets lie on a circle "
            "(ablation=paco architecture.sets=2)"
        )
    rows_T2 = policy.compositions[0].detach()
    rows = {task: rows_T2[every.index(task)]}
    rows |= {f"between {n}": row for n, row in enumerate(rows_between(rows_T2), start=1)}
    strips = []
    for name, row_2 in rows.items():
        (strip,) = _play(policy.with_rows(row_2[None]), _suite(run, tasks=[task]), frames)
        strips.append(strip._replace(task=name))
    return strips


def _open(path: Path) -> RecordedRun:
    """Return a run whose environments can be rendered without a display."""
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")  # read when MuJoCo is imported, with the networks
    return RecordedRun(path, device="cpu")


def _suite(run: RecordedRun, tasks: list[str] | None = None) -> Suite:
    """Return a run's evaluation, or the same with some of its tasks."""
    section = run.config["dataset"] | ({"tasks": tasks} if tasks else {})
    suite: Suite = build(section, seed=run.config["seed"], purpose="evaluation")
    return suite


def _play(policy: nn.Module, suite: Suite, frames: int) -> list[Strip]:
    """Return the first episode of a suite, task by task."""
    if frames < 2:
        raise ConfigError(f"frames={frames}: an episode needs two pictures or more")
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
