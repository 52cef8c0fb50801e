"""What a ``_target_`` accepts, read from its source so that torch need not be imported.

A class's constructor is its schema: names, annotations and defaults. A bad key or value is found
within milliseconds, and adding a method takes no second declaration.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import typing
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, create_model

from mtl_bench import values
from mtl_bench.config.modules import find_source
from mtl_bench.errors import ConfigError

NAMESPACE = {
    **{name: value for name, value in vars(values).items() if not name.startswith("_")},
    **{kind.__name__: kind for kind in (bool, dict, float, int, list, str, tuple)},
    "Any": Any,
    "Annotated": typing.Annotated,
    "Literal": typing.Literal,
}
"""Names that an annotation of a configurable argument may use."""

Arguments = list[tuple[ast.arg, ast.expr | None]]


class _Class(NamedTuple):
    """A class in its source: the class, the whole module, and its and its package's names."""

    node: ast.ClassDef
    tree: ast.Module
    module: str
    package: str


def schema_of(target: str, built_with: frozenset[str]) -> type[BaseModel]:
    """Return a model of the constructor's arguments.

    Args:
        target: dotted path of a class, ``package.module.Class``.
        built_with: arguments that the program itself passes; they are no configuration.

    Raises:
        ConfigError: no such class, one whose bases can't be followed, or an annotation outside
            ``mtl_bench.values`` and the builtins.
    """
    fields: dict[str, Any] = {}
    for argument, default in _arguments(_find_class(target)) or ():
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


def has_separate_networks(target: str) -> bool:
    """Return whether a method's class says ``separate_networks = True``.

    Raises:
        ConfigError: no such class.
    """
    return any(
        isinstance(item, ast.AnnAssign | ast.Assign)
        and ast.unparse(item).startswith("separate_networks")
        and ast.unparse(item).endswith("= True")
        for item in _find_class(target).node.body
    )


def _find_class(target: str) -> _Class:
    """Find a class in the module that defines it; a name that is only imported there won't do."""
    module, _, name = target.rpartition(".")
    path = find_source(module)
    if path is None:
        raise ConfigError(f"_target_={target}: there is no module {module}")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: {error.msg}") from error
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Class(node, tree, module, package)
    raise ConfigError(f"_target_={target}: module {module} defines no class {name}")


def _arguments(found: _Class) -> Arguments | None:
    """Return the constructor's arguments with their defaults; None if no class has a constructor.

    The parent's are in force where a class has no constructor, and added where it takes
    ``**keywords``.
    """
    for item in found.node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            signature = item.args
            positional = [*signature.posonlyargs, *signature.args][1:]
            missing = len(positional) - len(signature.defaults)
            defaults = [None] * missing + list(signature.defaults)
            arguments = [
                *zip(positional, defaults, strict=True),
                *zip(signature.kwonlyargs, signature.kw_defaults, strict=True),
            ]
            if signature.kwarg is not None:
                names = {argument.arg for argument, _ in arguments}
                arguments += [a for a in _inherited(found) or () if a[0].arg not in names]
            return arguments
    return _inherited(found)


def _inherited(found: _Class) -> Arguments | None:
    lost = []
    for base in found.node.bases:
        parent = _find_base(base, found)
        if parent is None:
            lost.append(ast.unparse(base))
        elif (arguments := _arguments(parent)) is not None:
            return arguments
    lost = [name for name in lost if not hasattr(builtins, name)]
    if lost:
        raise ConfigError(
            f"{found.module}.{found.node.name}: the constructor of its base class {lost[0]} isn't "
            f"found; write `from MODULE import {lost[0].rpartition('.')[2]}` with the module that "
            "defines it, or give the class a constructor"
        )
    return None


def _find_base(base: ast.expr, found: _Class) -> _Class | None:
    """Find a base class in the same module or in the one that it is imported from."""
    for item in found.tree.body:
        if isinstance(item, ast.ClassDef) and item.name == ast.unparse(base):
            return found._replace(node=item)
        if isinstance(item, ast.ImportFrom):
            for alias in item.names:
                if (alias.asname or alias.name) == ast.unparse(base):
                    origin = "." * item.level + (item.module or "")
                    try:
                        module = importlib.util.resolve_name(origin, found.package)
                        return _find_class(f"{module}.{alias.name}")
                    except (ImportError, ConfigError):
                        return None
    return None
