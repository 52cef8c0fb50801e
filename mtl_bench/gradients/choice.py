"""Which way of computing task gradients suits a network, its tasks and a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from mtl_bench.gradients.autograd import RUN_SCALARS
from mtl_bench.gradients.task_gradients import Backend

if TYPE_CHECKING:
    from mtl_bench.architectures.base import Architecture

JACOBIAN_LIMIT = 4 << 30
"""Bytes of the (T, P) Jacobian above which it is streamed."""


def choose_backend(
    name: Literal["auto"] | Backend,
    architecture: Architecture,
    tasks: int,
    device: torch.device,
    max_memory: float | None = None,
    compiled: bool = False,
) -> Backend:
    """Return the backend that ``gradients.backend`` names.

    ``auto`` streams a Jacobian that is too large. Of what is smaller it takes ``batched`` for
    architectures that gain from it on a CPU, where that was measured, and ``loop`` elsewhere.

    Args:
        name: of the backend.
        architecture: what is differentiated.
        tasks: T.
        device: where.
        max_memory: GiB that a Jacobian may take, by default 4.
        compiled: whether backward passes are compiled, each for the gradients of one task.
    """
    if name != "auto":
        return name
    trained = sum(p.numel() for p in architecture.shared_parameters() if p.requires_grad)
    limit = JACOBIAN_LIMIT if max_memory is None else max_memory * (1 << 30)
    if 4 * tasks * trained > limit:
        return "streamed"
    batched = architecture.batched_backward and device.type == "cpu" and not compiled
    return "batched" if batched else "loop"


def choose_run(backend: Backend, tasks: int, max_memory: float | None = None) -> int:
    """Return how many scalars ``streamed`` takes at a time, see ``TaskGradients``.

    The more there are, the fewer backward passes.

    Args:
        backend: what was chosen.
        tasks: T.
        max_memory: GiB that their float32 gradients may take, by default 16 MiB a task.

    Example:
        >>> from mtl_bench.gradients import choose_run
        >>> choose_run("streamed", tasks=4, max_memory=1.0)
        67108864
    """
    if backend != "streamed" or max_memory is None:
        return RUN_SCALARS
    return max(1, int(max_memory * (1 << 30) / (4 * tasks)))
