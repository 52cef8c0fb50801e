"""A method as it was before an update that is left out."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from mtl_bench.agents.ring import RingBuffer


def keep_state(method: nn.Module) -> Callable[[], None]:
    """Return a function that puts a method's state back to what it is now, once.

    It costs a copy of the state but for the replay buffers, which hold nearly all of it where there
    are any: they take back the one row that an update may append.
    """
    undo = [m.keep() if isinstance(m, RingBuffer) else _keep_own(m) for m in method.modules()]

    def put_back() -> None:
        for step in undo:
            step()

    return put_back


def _keep_own(module: nn.Module) -> Callable[[], None]:
    """Keep a module's own parameters, buffers and extra state, not those of modules within it."""
    tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    kept = [tensor.detach().clone() for tensor in tensors]
    has_extra = type(module).get_extra_state is not nn.Module.get_extra_state
    extra = deepcopy(module.get_extra_state()) if has_extra else None

    def put_back() -> None:
        with torch.no_grad():
            for tensor, before in zip(tensors, kept, strict=True):
                tensor.copy_(before)
        if has_extra:
            module.set_extra_state(extra)

    return put_back
