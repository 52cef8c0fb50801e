"""TaskForce: cooperating agents that weigh the task gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = ["AgentOutcome", "GradientReward", "TaskForce"]

if TYPE_CHECKING:
    from mtl_bench.methods.taskforce.gradient_rewards import AgentOutcome, GradientReward
    from mtl_bench.methods.taskforce.taskforce import TaskForce
else:  # tables need ``structure`` and no torch
    _HOMES = dict.fromkeys(("AgentOutcome", "GradientReward"), "gradient_rewards")
    __getattr__, __dir__ = lazy_exports(__name__, __all__, _HOMES)
