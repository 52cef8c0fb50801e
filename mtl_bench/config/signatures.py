"""What a ``_target_`` accepts: the arguments of its constructor, with their annotations.

A class's constructor is its schema, so that adding a method takes no second declaration.
"""

from __future__ import annotations

import functools
import inspect
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from mtl_bench.errors import ConfigError, MtlBenchError


class MissingClassError(ConfigError):
    """There is no such class, or not any more."""


def import_class(target: str) -> type:
    """Import ``package.module.Class`` from the module, or the package around it, that defines it.

    Raises:
        MissingClassError: there is no such class.
        ConfigError: its module can't be imported, or the name is no class of it.
    """
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except (MtlBenchError, MemoryError):
        raise
    except Exception as error:  # the module may be a user's own
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise MissingClassError(f"_target_={target}: there is no module {module}") from error
        if isinstance(error, SyntaxError):
            raise ConfigError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"_target_={target}: can't import {module} ({reason})") from error
    if not inspect.isclass(found) or not f"{found.__module__}.".startswith(f"{module}."):
        kind = MissingClassError if found is None else ConfigError
        raise kind(f"_target_={target}: module {module} defines no class {name}")
    return found


@functools.cache
def schema_of(
    kind: type, built_with: frozenset[str], among: frozenset[str] | None = None
) -> type[BaseModel]:
    """Return a model of the constructor's arguments.

    Args:
        kind: the class.
        built_with: arguments that the program itself passes; they are no configuration.
        among: leave out all others; None for none.

    Raises:
        ConfigError: an argument without an annotation that values can be checked against.
    """
    fields: dict[str, Any] = {}
    for name, (argument, scope) in _arguments(kind).items():
        if name not in built_with and (among is None or name in among):
            annotation = _evaluate(f"{kind.__module__}.{kind.__qualname__}", argument, scope)
            fields[name] = (annotation, ... if argument.default is argument.empty else None)
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model(kind.__name__, __config__=config, **fields)


def _arguments(kind: type) -> dict[str, tuple[inspect.Parameter, dict[str, Any]]]:
    """Return name -> argument and the names that its annotation may use.

    A constructor that takes ``**keywords`` has the arguments of the next class's besides its own.
    """
    found: dict[str, tuple[inspect.Parameter, dict[str, Any]]] = {}
    for owner in kind.__mro__:
        if "__init__" not in vars(owner):
            continue
        constructor = inspect.unwrap(vars(owner)["__init__"])
        _, *parameters = inspect.signature(constructor).parameters.values()
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                scope = getattr(constructor, "__globals__", {})
                found.setdefault(parameter.name, (parameter, scope))
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def _evaluate(target: str, argument: inspect.Parameter, scope: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return an argument's annotation as an object."""
    annotation = argument.annotation
    if annotation is argument.empty:
        raise ConfigError(f"{target}: argument {argument.name} has no annotation")
    try:
        if isinstance(annotation, str):
            annotation = eval(annotation, scope)
        TypeAdapter(annotation)
    except Exception as error:  # whatever evaluating a user's annotation, or pydantic, raises
        raise ConfigError(
            f"{target}: no value can be checked against the annotation of {argument.name}, "
            f"{argument.annotation}; use builtins, Literal, Annotated and the names of "
            "mtl_bench.values"
        ) from error
    return annotation
