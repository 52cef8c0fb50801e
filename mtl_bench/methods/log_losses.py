"""What methods share that measure losses by their ratios or logarithms."""

from __future__ import annotations

import torch
from torch import Tensor

from mtl_bench.errors import NonFiniteError
from mtl_bench.methods.base import Method


def nonnegative(method: Method, losses_T: Tensor) -> Tensor:
    """Return the losses in float64, (T,).

    Raises:
        NonFiniteError: one is negative or not finite; the line names its task.
    """
    losses = method.finite(losses_T, "the loss")
    for number, loss in enumerate(losses):
        if loss < 0:
            raise NonFiniteError(
                f"{type(method).__name__}: the loss of task {method.task_name(number)} is {loss}, "
                "and the method takes ratios or logarithms of losses: use another method for "
                "negative ones"
            )
    return torch.from_numpy(losses)


def log_losses(method: Method, losses_T: Tensor) -> Tensor:
    """Return log L_t in float64, (T,); that of a loss of exactly 0 is -inf.

    Raises:
        NonFiniteError: a loss is negative or not finite; the line names its task.
    """
    return nonnegative(method, losses_T).log()


def shares(scores_T: Tensor) -> Tensor:
    """Return the softmax of scores, (T,), of which -inf has share 0; zeros if all are -inf."""
    return torch.softmax(scores_T, dim=0).nan_to_num(0.0)
