"""Checks before anything is differentiated, of what would give wrong gradients silently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import GEN_CLOSED, getgeneratorstate, isgenerator
from itertools import chain

import torch
from torch import Tensor

from mtl_bench.errors import ConfigError


def describe_shape(parameter: Tensor) -> str:
    """Return what a parameter without a name is known by."""
    return f"of shape {tuple(parameter.shape)}"


def check_losses(losses: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Return the losses as scalars.

    Raises:
        ConfigError: one is no tensor of a single number.
    """
    found = tuple(losses)
    for number, loss in enumerate(found):
        if not isinstance(loss, Tensor):
            raise ConfigError(f"losses: number {number} is a {type(loss).__name__}, not a tensor")
        if loss.numel() != 1:
            raise ConfigError(
                f"losses: number {number} has the shape {tuple(loss.shape)}: take its mean or sum"
            )
    return tuple(loss if loss.dim() == 0 else loss.reshape(()) for loss in found)


def check_unread(parameters: Iterable[Tensor]) -> None:
    """Raise if these are one tensor, or a generator that was read before and is empty now.

    Raises:
        ConfigError: it says what to give.
    """
    if isinstance(parameters, Tensor):
        raise ConfigError(
            f"a tensor {describe_shape(parameters)} in place of parameters: put it into a list"
        )
    if isgenerator(parameters) and getgeneratorstate(parameters) == GEN_CLOSED:
        raise ConfigError(
            "a generator of parameters was read before and is empty now: call .parameters() at "
            "every step, or keep list(module.parameters())"
        )


def check_parameters(
    shared: Sequence[Tensor],
    own: Sequence[Sequence[Tensor]],
    name_of: Callable[[Tensor], str] = describe_shape,
) -> None:
    """Raise if the gradients of these parameters would be wrong without a word.

    Args:
        shared: parameters that several tasks reach.
        own: for each task, those that it alone reaches.
        name_of: what a message calls a parameter.

    Raises:
        ConfigError: one is listed twice or is complex.
    """
    parameters = [*shared, *chain.from_iterable(own)]
    ids = [*map(id, parameters)]
    if len(set(ids)) < len(ids):
        twice = next(p for number, p in enumerate(parameters) if ids[number] in ids[:number])
        raise ConfigError(
            f"parameter {name_of(twice)} is listed twice in the shared parameters and those of "
            "the tasks: list it once, as shared if several tasks reach it"
        )
    if any(dtype.is_complex for dtype in {parameter.dtype for parameter in parameters}):
        chosen = next(filter(torch.is_complex, parameters))
        raise ConfigError(
            f"parameter {name_of(chosen)} is complex: keep its real and imaginary parts in a real "
            "one (torch.view_as_complex in forward)"
        )


def check_scalable(parameters: Iterable[Tensor]) -> None:
    """Raise if gradients would be lost when they are divided by the scale of the losses.

    Raises:
        ConfigError: a parameter, and so its gradient, is narrower than float32.
    """
    for parameter in parameters:
        if torch.finfo(parameter.dtype).bits < 32:
            raise ConfigError(
                f"parameter {describe_shape(parameter)} is {parameter.dtype}, in which a gradient "
                "that is divided by the scale of the losses is zero again: keep parameters in "
                "float32 and run the network under torch.autocast"
            )


def check_tasks(tasks: Sequence[int], losses: Sequence[Tensor]) -> None:
    """Raise unless every loss has the number of a task of its own.

    Raises:
        ConfigError: it names the numbers.
    """
    if len(tasks) != len(losses) or len({*tasks}) < len(tasks) or min(tasks) < 0:
        raise ConfigError(
            f"tasks={list(tasks)}: give each of the {len(losses)} losses a number of its own, 0 or "
            "more"
        )


def check_reached(reached: bool) -> None:
    """Raise where ``backward`` would too, or would move other parameters than those asked for.

    Raises:
        ConfigError: no loss depends on any of them.
    """
    if not reached:
        raise ConfigError(
            "no loss depends on any of the parameters: were the losses made under "
            "torch.no_grad(), or by another copy of the network, or was their mean taken?"
        )
