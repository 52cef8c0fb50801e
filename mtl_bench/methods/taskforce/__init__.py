"""TaskForce: cooperating agents that weigh the task gradients."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtl_bench.methods.taskforce.gradient_rewards import AgentOutcome, GradientReward
    from mtl_bench.methods.taskforce.taskforce import TaskForce

__all__ = ["AgentOutcome", "GradientReward", "TaskForce"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class
    """Import a class when it is asked for: tables need ``structure`` and no torch."""
    if name in __all__:
        module = "taskforce" if name == "TaskForce" else "gradient_rewards"
        return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
