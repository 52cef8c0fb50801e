"""Thin layers over torch.autograd: optional gradients, their memory layout, runs of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mtl_bench.errors import ConfigError

Gradients = tuple[Tensor | None, ...]

RUN_SCALARS = 1 << 22
"""Parameters of a run: 16 MiB of float32 for each task."""


@contextmanager
def refusing_sparse() -> Iterator[None]:
    """Say what to do where torch can't go on with a gradient because it is sparse.

    Raises:
        ConfigError: it could not.
    """
    try:
        yield
    except RuntimeError as error:
        if "sparse" not in str(error).lower():
            raise
        raise ConfigError(
            "the gradient of a parameter is sparse, and task gradients are dense: build "
            "torch.nn.Embedding and EmbeddingBag with sparse=False"
        ) from None


def widest_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """Return the dtype that holds all of them exactly, float32 at least."""
    widest = torch.float32
    for dtype in {tensor.dtype for tensor in tensors}:
        widest = torch.promote_types(widest, dtype)
    return widest


def differentiate(
    output: Tensor,
    parameters: Sequence[Tensor],
    direction: Tensor | None = None,
    *,
    keep: bool = False,
    connected: bool = False,
) -> Gradients:
    """Return the gradients of ``output`` (times ``direction``), None where it is not reached.

    Args:
        output: a scalar, or a tensor with a ``direction`` of its shape.
        parameters: what to differentiate by.
        direction: cotangent of the output.
        keep: whether the graph is needed again.
        connected: whether the gradients can be differentiated themselves; keeps the graph.
    """
    if not parameters or not output.requires_grad:
        return (None,) * len(parameters)
    return torch.autograd.grad(
        output,
        parameters,
        direction,
        retain_graph=keep or connected,
        create_graph=connected,
        allow_unused=True,
    )


def apart(gradients: Sequence[Tensor | None]) -> Gradients:
    """Return the gradients, copies in place of those whose memory another one has too.

    ``torch.autograd.grad`` answers with one tensor for both operands of a sum, such as a weight and
    what is added to it: what is done to ``.grad`` in place, be it clipping, would be done twice.
    """
    found = list(gradients)
    dense = [
        (number, gradient)
        for number, gradient in enumerate(found)
        if gradient is not None and gradient.numel() and gradient.layout is torch.strided
    ]
    if len({g.untyped_storage()._cdata for _, g in dense}) < len(dense):
        end = 0
        for number, gradient in sorted(dense, key=lambda pair: pair[1].data_ptr()):
            start = gradient.data_ptr()
            if start < end:
                found[number] = gradient.clone()
            end = max(end, start + _extent(gradient))
    return tuple(found)


def _extent(tensor: Tensor) -> int:
    """Return the bytes from a tensor's first element to its last."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return (1 + sum((size - 1) * step for size, step in steps)) * tensor.element_size()


def write_gradients(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Set every ``.grad``, in memory of its own and the parameter's layout; zeros where none is.

    ``torch.autograd.grad`` may answer with a transposed or sliced tensor. torch's fused optimisers
    on the CPU read memory in order without looking at strides: they would silently give one
    element the update of another.
    """
    with refusing_sparse():
        for parameter, gradient in zip(parameters, apart(gradients), strict=True):
            if gradient is None:
                parameter.grad = torch.zeros_like(parameter)
            elif gradient.stride() == parameter.stride():
                parameter.grad = gradient
            else:
                parameter.grad = torch.empty_like(parameter).copy_(gradient)


def fill(row_P: Tensor, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Write gradients one after another into a row, zeros for those that are missing."""
    parts = row_P.split([p.numel() for p in parameters]) if parameters else ()
    with refusing_sparse():
        for part, gradient in zip(parts, gradients, strict=True):
            if gradient is None:
                part.zero_()
            else:
                part.view_as(gradient).copy_(gradient)  # in one pass whatever its strides


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


def inner_product(left: Gradients, right: Gradients, zero: Tensor) -> Tensor:
    """Return the inner product of two tasks' gradients, ``zero`` where they share nothing."""
    pairs = zip(left, right, strict=True)
    products = [(a * b).sum() for a, b in pairs if a is not None and b is not None]
    return torch.stack(products).sum() if products else zero


def sum_present(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Return the sum of a parameter's gradients; None stands for zero."""
    there = [gradient for gradient in gradients if gradient is not None]
    return torch.stack(there).sum(dim=0) if there else None


def mean_present(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Return their mean, those that are None among them."""
    total = sum_present(gradients)
    return None if total is None else total / len(gradients)
