"""Thin layers over torch.autograd: optional gradients, their memory layout, runs of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Gradients = tuple[Tensor | None, ...]

RUN_SCALARS = 1 << 22
"""Parameters of a run: 16 MiB of float32 for each task."""


def differentiate(
    output: Tensor,
    parameters: Sequence[Tensor],
    direction: Tensor | None = None,
    *,
    keep: bool = False,
) -> Gradients:
    """Return the gradients of ``output`` (times ``direction``), None where it is not reached.

    Args:
        output: a scalar, or a tensor with a ``direction`` of its shape.
        parameters: what to differentiate by.
        direction: cotangent of the output.
        keep: whether the graph is needed again.
    """
    if not parameters or not output.requires_grad:
        return (None,) * len(parameters)
    return torch.autograd.grad(output, parameters, direction, retain_graph=keep, allow_unused=True)


def write_gradients(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Set every ``.grad``, in the parameter's memory layout; zeros where there is none.

    ``torch.autograd.grad`` may answer with a transposed or sliced tensor. torch's fused optimisers
    on the CPU read memory in order without looking at strides: they would silently give one
    element the update of another.
    """
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            parameter.grad = torch.zeros_like(parameter)
        elif gradient.stride() == parameter.stride():
            parameter.grad = gradient
        else:
            parameter.grad = torch.empty_like(parameter).copy_(gradient)


def fill(row_P: Tensor, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Write gradients one after another into a row, zeros for those that are missing."""
    parts = row_P.split([p.numel() for p in parameters]) if parameters else ()
    for part, gradient in zip(parts, gradients, strict=True):
        if gradient is None:
            part.zero_()
        else:
            part.copy_(gradient.reshape(-1))


def parameter_runs(
    parameters: Sequence[Tensor], scalars: int = RUN_SCALARS
) -> Iterator[list[Tensor]]:
    """Yield neighbouring parameters in runs of at least ``scalars``; the last may be shorter."""
    run: list[Tensor] = []
    size = 0
    for parameter in parameters:
        run.append(parameter)
        size += parameter.numel()
        if size >= scalars:
            yield run
            run, size = [], 0
    if run:
        yield run
