"""Ranges of configuration values, as annotations of constructor arguments.

The configuration is checked against these annotations before anything is read or trained; see
``mtl_bench.config.signatures``. A method that is built in Python checks its arguments itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen

from mtl_bench.errors import ConfigError

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
Name = Annotated[str, MinLen(1)]
HeadWeighting = Literal["weighted", "unweighted"]
Selection = Literal["best_val", "last", "last_k_mean"]
SELECTIONS = get_args(Selection)
"""Rules that pick the epoch whose test metrics are reported."""


def check_arguments(
    constructor: Callable[..., None], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    """Raise if an argument is none of its ``Literal`` or outside its range.

    Other annotations, and those that name what can't be imported here, allow everything.

    Args:
        constructor: an ``__init__``.
        arguments: what it is called with, the object first.
        keywords: likewise.

    Raises:
        ConfigError: it names the class, the argument and what is allowed.
        TypeError: they don't fit the signature.
    """
    signature, annotations = _annotations(constructor)
    for name, value in signature.bind(*arguments, **keywords).arguments.items():
        demand = _demand(annotations.get(name), value)
        if demand is not None:
            raise ConfigError(f"{type(arguments[0]).__name__}: {name}={value!r}: must be {demand}")


@cache
def _annotations(constructor: Callable[..., None]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return a signature and name -> annotation where that can be evaluated."""
    signature = inspect.signature(constructor)
    found = {}
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, getattr(constructor, "__globals__", {}))
            except Exception:  # whatever evaluating a user's annotation raises
                continue
        found[name] = annotation
    return signature, found


def _demand(annotation: object, value: object) -> str | None:
    """Return what an annotation allows, in words, where the value is something else."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        allowed = any(
            value == part and isinstance(value, bool) == isinstance(part, bool) for part in parts
        )
        return None if allowed else "one of " + ", ".join(map(repr, parts))
    if origin in (Union, UnionType):
        demands = [_demand(part, value) for part in parts if part is not type(None)]
        if (value is None and type(None) in parts) or None in demands:
            return None
        return " or ".join([*filter(None, demands), *(["None"] if type(None) in parts else [])])
    if origin is Annotated:
        limits = [limit for limit in parts[1:] if isinstance(limit, tuple(_ALLOWED))]
        if all(_meets(limit, value) for limit in limits):
            return None
        return " and ".join(_ALLOWED[type(limit)][0](limit) for limit in limits)
    return None


_ALLOWED: dict[type, tuple[Callable[[Any], str], Callable[[Any, Any], bool]]] = {
    Ge: (lambda limit: f"{limit.ge} or more", lambda limit, value: value >= limit.ge),
    Gt: (lambda limit: f"more than {limit.gt}", lambda limit, value: value > limit.gt),
    Le: (lambda limit: f"{limit.le} or less", lambda limit, value: value <= limit.le),
    MinLen: (
        lambda limit: f"of length {limit.min_length} or more",
        lambda limit, value: len(value) >= limit.min_length,
    ),
}
"""Kind of limit -> its words, and whether a value meets it."""


def _meets(limit: object, value: object) -> bool:
    try:
        return bool(_ALLOWED[type(limit)][1](limit, value))
    except TypeError:  # no number, or nothing that has a length
        return False
