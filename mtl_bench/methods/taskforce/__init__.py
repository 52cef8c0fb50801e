"""TaskForce: cooperating agents that weigh the task gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtl_bench.methods.taskforce.taskforce import TaskForce

__all__ = ["TaskForce"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the class
    """Import the class when it is asked for: tables need ``structure`` and no torch."""
    if name in __all__:
        from mtl_bench.methods.taskforce.taskforce import TaskForce

        return TaskForce
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
