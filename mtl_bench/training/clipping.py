"""Gradients that are too long, scaled down.

Legend of shape suffixes: E members of an ensemble, T tasks, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_

from mtl_bench.algorithms.base import Component


def clip(component: Component, longest: float, norm: Tensor) -> None:
    """Scale the combined gradient of every network of a component down to a length.

    Networks that tasks have of their own are each clipped by their own norm, as if they were
    trained one after another: no task's update depends on the losses of the others.

    Args:
        component: whose ``.grad`` it is.
        longest: length.
        norm: of the gradient of all parameters.
    """
    if component.stacked:
        _clip_rows(component.parameters, longest)
    elif component.method.separate_networks:
        for optimizer in component.optimizers:
            groups = optimizer.param_groups
            clip_grad_norm_([p for group in groups for p in group["params"]], longest)
    else:
        clip_grads_with_norm_(component.parameters, longest, norm)


def _clip_rows(parameters: Sequence[nn.Parameter], longest: float) -> None:
    """Clip the gradients of T networks, each of which has the rows [:, t] of all parameters."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms_PT = [torch.linalg.vector_norm(g.transpose(0, 1).flatten(1), dim=1) for g in gradients]
    norms_T = torch.linalg.vector_norm(torch.stack(norms_PT), dim=0)
    factors_T = (longest / (norms_T + 1e-6)).clamp(max=1)  # as torch's clip_grad_norm_
    for gradient in gradients:
        gradient.mul_(factors_T.view(-1, *(1,) * (gradient.dim() - 2)))
