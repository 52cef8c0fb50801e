"""What a ``_target_`` accepts, read from its source so that torch need not be imported.

A class's constructor is its schema: names, annotations and defaults. A bad key or value is found
within milliseconds, and adding a method takes no second declaration.
"""

from __future__ import annotations

import ast
import importlib.util
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from mtl_bench import values
from mtl_bench.errors import ConfigError

NAMESPACE = {
    **{name: value for name, value in vars(values).items() if not name.startswith("_")},
    **{kind.__name__: kind for kind in (bool, dict, float, int, list, str, tuple)},
    "Any": Any,
    "Annotated": typing.Annotated,
    "Literal": typing.Literal,
}
"""Names that an annotation of a configurable argument may use."""


def schema_of(target: str, built_with: frozenset[str]) -> type[BaseModel]:
    """Return a model of the constructor's arguments.

    Args:
        target: dotted path of a class, ``package.module.Class``.
        built_with: arguments that the program itself passes; they are no configuration.

    Raises:
        ConfigError: no such class, or an annotation outside ``mtl_bench.values`` and the builtins.
    """
    fields: dict[str, Any] = {}
    for argument, default in _arguments(*_find_class(target)):
        if argument.arg in built_with:
            continue
        if argument.annotation is None:
            raise ConfigError(f"{target}: argument {argument.arg} has no annotation")
        try:
            expression = compile(ast.Expression(argument.annotation), target, "eval")
            annotation = eval(expression, {"__builtins__": {}}, NAMESPACE)
        except NameError as error:
            raise ConfigError(
                f"{target}: the annotation of {argument.arg} uses {error.name}; configurable "
                "arguments use builtins, Literal, Annotated and the names of mtl_bench.values"
            ) from error
        fields[argument.arg] = (annotation, ... if default is None else None)
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model(target.rpartition(".")[2], __config__=config, **fields)


def _find_class(target: str) -> tuple[ast.ClassDef, ast.Module]:
    module, _, name = target.rpartition(".")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigError(f"_target_={target}: there is no module {module}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node, tree
    raise ConfigError(f"_target_={target}: module {module} defines no class {name}")


def _arguments(node: ast.ClassDef, tree: ast.Module) -> list[tuple[ast.arg, ast.expr | None]]:
    """Return the constructor's arguments with their defaults, inherited ones if it has no own."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            signature = item.args
            positional = [*signature.posonlyargs, *signature.args][1:]
            missing = len(positional) - len(signature.defaults)
            defaults = [None] * missing + list(signature.defaults)
            return [
                *zip(positional, defaults, strict=True),
                *zip(signature.kwonlyargs, signature.kw_defaults, strict=True),
            ]
    for base in node.bases:
        for item in tree.body:
            if isinstance(item, ast.ClassDef) and ast.unparse(base) == item.name:
                return _arguments(item, tree)
            if isinstance(item, ast.ImportFrom) and isinstance(base, ast.Name):
                for alias in item.names:
                    if (alias.asname or alias.name) == base.id:
                        return _arguments(*_find_class(f"{item.module}.{alias.name}"))
    return []
