"""Finds where in a network numbers stop being finite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

from mtl_bench.architectures.base import predicted_rows
from mtl_bench.datasets.base import Batch
from mtl_bench.training.update import find_nonfinite


@contextmanager
def watch_outputs(network: nn.Module) -> Iterator[list[str]]:
    """Note the modules whose outputs are not finite, in the order of the forward pass.

    Yields:
        A list that is filled while the context is open: "NAME (Class) from finite inputs" for a
        module that spoilt its inputs itself, else without the last three words.
    """
    found: list[str] = []

    def look(name: str, module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ANN401
        if _finite(output):
            return
        own = " from finite inputs" if _finite(inputs) else ""
        found.append(f"{name or 'the network'} ({type(module).__name__}){own}")

    hooks = [m.register_forward_hook(partial(look, name)) for name, m in network.named_modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def bad_parameters(network: nn.Module) -> list[str]:
    """Return the names of the parameters and buffers that are not finite."""
    return [name for name, value in network.state_dict().items() if not _finite(value)]


def largest_parameter(network: nn.Module) -> tuple[str, float]:
    """Return the name and the value of the parameter that is farthest from zero."""
    sizes = {name: p.detach().abs().max().item() for name, p in network.named_parameters()}
    name = max(sizes, key=lambda name: sizes[name])
    return name, sizes[name]


def bad_targets(batches: Sequence[Batch], samples: Sequence[Sequence[str]]) -> list[str]:
    """Return "task of sample NAME" for every target that is not finite.

    Args:
        batches: of an update.
        samples: the names of each batch's samples.
    """
    return [
        f"{task} of sample {name}"
        for batch, names in zip(batches, samples, strict=True)
        for task, rows in predicted_rows(batch, list(batch.targets)).items()
        if len(batch.targets[task]) == len(names[rows])
        for name, target in zip(names[rows], batch.targets[task], strict=True)
        if not _finite(target)
    ]


def _finite(value: Any) -> bool:  # noqa: ANN401 - whatever a module takes or returns
    return find_nonfinite(value) is None
