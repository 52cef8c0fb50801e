"""Training steps by LibMTL on our networks, where that package is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn

from benchmarks.steps import CPU, Step, adam
from mtl_bench.architectures.base import Architecture
from mtl_bench.errors import MissingExtraError
from mtl_bench.tasks import Task

WEIGHTINGS: dict[str, dict[str, Any]] = {
    "EW": {},
    "MGDA": {"mgda_gn": "none"},
    "PCGrad": {},
}
"""Class -> options of its ``backward``. Its CAGrad works for three tasks only."""


def libmtl_steps(network: Architecture, tasks: Sequence[Task]) -> dict[str, Callable[[], Step]]:
    """Return contestant -> builder of its step."""
    return {
        f"LibMTL {name}": partial(libmtl_step, network, tasks, name, options)
        for name, options in WEIGHTINGS.items()
    }


def libmtl_step(
    network: Architecture, tasks: Sequence[Task], weighting: str, options: dict[str, Any]
) -> Step:
    """Return a step whose gradients and weights are LibMTL's, at the level of the parameters.

    Args:
        network: the shared parameters and the heads.
        tasks: their losses.
        weighting: name of a class in ``LibMTL.weighting``.
        options: of its ``backward``.

    Raises:
        MissingExtraError: LibMTL is not installed.
    """
    theirs = _weighting_package()
    shared = network.shared_parameters()

    def get_share_params(_: nn.Module) -> Iterator[nn.Parameter]:
        return iter(shared)

    def zero_grad_share_params(_: nn.Module) -> None:
        for parameter in shared:
            if (
                parameter.grad is not None
            ):  # their trainer calls Module.zero_grad(set_to_none=False)
                parameter.grad.zero_()

    members = {f.__name__: f for f in (get_share_params, zero_grad_share_params)}
    rule: Any = type(weighting, (getattr(theirs, weighting),), members)()
    rule.task_num, rule.task_name = len(tasks), [task.name for task in tasks]
    rule.device, rule.rep_grad, rule.epoch = CPU, False, 0
    rule.init_param()
    optimizer = adam(network)

    def step(batch: Any) -> None:  # noqa: ANN401 - the network's own batch
        optimizer.zero_grad(set_to_none=False)
        predictions = network(batch)
        losses = [task.loss(predictions[task.name], batch.targets[task.name]) for task in tasks]
        rule.backward(torch.stack(losses), **options)
        optimizer.step()

    return Step(step)


def _weighting_package() -> ModuleType:
    """Import ``LibMTL.weighting`` without the package around it.

    LibMTL 1.1.5, the last release, imports a part of torchvision that is no longer there; its
    weightings need none of that.
    """
    if "LibMTL" not in sys.modules:
        spec = find_spec("LibMTL")
        if spec is None:
            raise MissingExtraError("LibMTL is missing: pip install --no-deps LibMTL")
        package = ModuleType("LibMTL")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["LibMTL"] = package
    return import_module("LibMTL.weighting")
