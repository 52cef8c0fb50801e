"""What ``mtl-bench data`` can do for a data set, found in a module beside it.

For a class in ``package.x`` this is ``package.x_prepare``, or ``package.x.prepare`` where ``x`` is
a package. Its functions ``prepare``, ``synth`` (a procedural stand-in) and ``verify`` take the data
set's folder first. Their other positional parameters are the settings of the command line, checked
and converted by annotation; keyword-only ones are for callers in Python. ``remedy``, which need not
be there, takes the folder and says in a few words what to do about the faults that ``verify``
returns. Nor need ``require`` be, which raises if the folder holds no data set: a training asks it
before it imports torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mtl_bench.config.groups import find_choices, find_field, find_source
from mtl_bench.errors import ConfigError


def find_command(
    name: str, action: str
) -> tuple[Callable[[Path, Mapping[str, str]], Any], dict[str, str | None]]:
    """Return a data set's function for an action, and its settings with None for no value.

    Raises:
        ConfigError: no such data set, or it has no such action; from the function: a bad value.
    """
    module = import_module(_command_module(name))
    function = getattr(module, action, None)
    if function is None:
        raise ConfigError(f"data {action} {name}: {name} has no such action")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    settings: dict[str, str | None] = {
        p.name: None for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD
    }

    def run(folder: Path, values: Mapping[str, str]) -> Any:  # noqa: ANN401 - faults or nothing
        from pydantic import ValidationError, validate_call

        try:
            return validate_call(function)(folder, **values)
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(map(str, fault["loc"]))
            raise ConfigError(f"{key}={fault['input']}: {fault['msg'].lower()}") from None

    return run, settings


def find_remedy(name: str, folder: Path) -> str:
    """Return what to do about the faults of a data set, with a colon before it; "" if unknown."""
    remedy = getattr(import_module(_command_module(name)), "remedy", None)
    return "" if remedy is None else f": {remedy(folder)}"


def require_data(name: str, folder: Path) -> None:
    """Check, without torch, that a data set is there, where its module has a ``require`` for it.

    Raises:
        DataError: it is not.
    """
    try:
        module = import_module(_command_module(name))
    except ConfigError:  # it has nothing to prepare
        return
    if hasattr(module, "require"):
        module.require(folder)


def _command_module(name: str) -> str:
    choices = find_choices("dataset")
    if name not in choices:
        raise ConfigError(f"there is no data set {name}; allowed: {', '.join(choices)}")
    target = find_field("dataset", name, "_target_")
    if target is None:
        raise ConfigError(f"{choices[name].path} names no dataset._target_")
    home = str(target).rpartition(".")[0]
    module = next(filter(find_source, (f"{home}.prepare", f"{home}_prepare")), None)
    if module is None:
        raise ConfigError(
            f"data set {name} has nothing to prepare: there is no module {home}_prepare"
        )
    return module
