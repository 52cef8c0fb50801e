"""TaskForce: cooperating agents that weigh the task gradients."""

from mtl_bench.methods.taskforce.taskforce import TaskForce

__all__ = ["TaskForce"]
