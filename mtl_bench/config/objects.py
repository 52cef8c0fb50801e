"""Sections that name a class, which is their schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

import mtl_bench.methods
from mtl_bench.config.groups import PACKAGE, find_choices, find_field
from mtl_bench.config.schema import Protocol, Section, unknown_key, validate
from mtl_bench.config.signatures import import_class, schema_of
from mtl_bench.errors import ConfigError
from mtl_bench.values import PositiveInt


class Build(Section):
    """What a method is built with besides its fields."""

    num_tasks: PositiveInt


BUILT_WITH = {
    "dataset": frozenset({"seed", "purpose"}),
    "algorithm": frozenset(
        {"data", "network", "method", "scheduler", "accumulate", "loading", "warmup_epochs"}
        | {"suite", "evaluation", "policy", "critics", "methods", "seed"}
        | {"optimizer", "device", "clip_norm", "ranks", "compile"}
    ),
    "architecture": frozenset({"tasks", "shape"}),
    "method": frozenset({"num_tasks", "seed"}),
}
"""Arguments that the program passes when it builds an object of the group."""

BASES = {
    "algorithm": ("mtl_bench.algorithms.base.Algorithm",),
    "architecture": (
        "mtl_bench.architectures.base.Architecture",
        "mtl_bench.architectures.control.base.ControlNetwork",
    ),
    "method": ("mtl_bench.methods.base.Method",),
}
"""What a class of the group inherits one of."""

ANNOTATIONS = frozenset({"_target_", "name", "serves", "single_task", "compare", "display"})
"""Keys of such a section that are not arguments of its constructor."""

FILES_OWN = ("_target_", "compare", "display")
"""Those of them that nothing but the file of the choice may set."""


def check_objects(config: dict[str, Any]) -> None:
    """Check the sections that name a class: which one it is, and its constructor's arguments.

    Raises:
        ConfigError: a class from elsewhere than this package or the one that offers the choice, or
            a bad argument.
    """
    check_algorithm(config)
    for group, built_with in BUILT_WITH.items():
        section = config[group]
        arguments = {key: value for key, value in section.items() if key not in ANNOTATIONS}
        kind = class_of(group, section)
        validate(schema_of(kind, built_with), arguments, f"{group}.")
        for part, fields in getattr(kind, "made_of", {}).items():
            model = schema_of(getattr(mtl_bench.methods, arguments[part]), built_with)
            validate(model, arguments[fields] or {}, f"{group}.{fields}.")


def fields_of(group: str, section: dict[str, Any]) -> set[str]:
    """Return the names of the fields that the class of a section takes."""
    return set(schema_of(class_of(group, section), BUILT_WITH[group]).model_fields)


def check_classes(config: Mapping[str, Any]) -> None:
    """Check that every component is what the file of its choice says.

    Raises:
        ConfigError: something else than the file of the choice names another class.
    """
    for group in BUILT_WITH:
        section = config[group]
        for key in FILES_OWN:
            given, own = section.get(key), find_field(group, section["name"], key)
            if given != own:
                raise ConfigError(
                    f"{group}.{key}={given}: {group}={section['name']} is a name for {key}={own}; "
                    f"give anything else a name of its own, by a file configs/{group}/NAME.yaml"
                )
    compared = config["dataset"].get("compare", "methods")
    if compared not in ("methods", "systems"):
        raise ConfigError(f"dataset.compare={compared}: should be methods or systems")


def check_algorithm(config: Mapping[str, Any]) -> None:
    """Check that the algorithm can learn from the data set, as everything else is set.

    Raises:
        ConfigError: it can't, the protocol is none of its, or a key that it has no choice of has
            another value.
    """
    name, dataset, protocol = config["algorithm"]["name"], config["dataset"], config["protocol"]
    algorithm = class_of("algorithm", config["algorithm"])
    if not algorithm.serves(class_of("dataset", dataset)):
        raise ConfigError(f"algorithm={name} can't learn from dataset={dataset['name']}")
    if name not in protocol.get("algorithms", (name,)):
        others = [other for other in find_choices("protocol") if _has_constants(other, name)]
        raise ConfigError(
            f"protocol={protocol['name']} has no constants of algorithm={name}, which learns from "
            f"dataset={dataset['name']}; allowed: {', '.join(others)}"
        )
    for key, only in algorithm.fixed.items():
        section, _, field = key.partition(".")
        found = config[section].get(field) if field else config[section]
        if found != only:
            shown = found if field else found["_target_"]
            raise ConfigError(f"{key}={shown}: algorithm={name} takes {only} alone")


def _has_constants(protocol: str, algorithm: str) -> bool:
    """Tell whether a protocol, or what it takes the rest from, names an algorithm or none."""
    algorithms = find_field("protocol", protocol, "algorithms")
    return algorithms is None or algorithm in algorithms


def check_num_tasks(num_tasks: object) -> None:
    """Check what a method is built for.

    Raises:
        ConfigError: it is no number of tasks.
    """
    validate(Build, {"num_tasks": num_tasks}, "")


def class_of(group: str, section: dict[str, Any]) -> Any:  # noqa: ANN401 - a class of the group
    """Import the class that a section names.

    Raises:
        ConfigError: it is from elsewhere than this package or the one that offers the choice, or
            not what the group is of.
    """
    target = str(section.get("_target_", ""))
    packages = sorted({PACKAGE, _package_of(group, section["name"])})
    if not target.startswith(tuple(f"{package}." for package in packages)):
        allowed = " or ".join(f"{package}." for package in packages)
        raise ConfigError(f"{group}._target_={target}: must start with {allowed}")
    kind = import_class(target)
    if group in BASES and not issubclass(kind, tuple(map(import_class, BASES[group]))):
        allowed = " or ".join(BASES[group])
        raise ConfigError(f"{group}._target_={target}: must be a subclass of {allowed}")
    return kind


def _package_of(group: str, name: str) -> str:
    """Return the package whose folder holds a choice: its target may point there, and only its."""
    choice = find_choices(group).get(name)
    return PACKAGE if choice is None else choice.package


def check_constants(protocol: dict[str, Any]) -> None:
    """Check a protocol's constants of single choices against their constructors.

    Those that a profile or the file of the method, data set, algorithm or architecture looks up are
    allowed; others would have no effect.

    Raises:
        ConfigError: an unknown constant, or a bad value.
    """
    for owner, constants in protocol.items():
        if isinstance(constants, dict):
            validate(_model_of_constants(owner), constants, f"protocol.{owner}.")


def _model_of_constants(owner: str) -> type[BaseModel]:
    profiles = [path.read_text(encoding="utf-8") for _, path in find_choices("profile").values()]
    for group in ("method", "dataset", "algorithm", "architecture"):
        choice = find_choices(group).get(owner)
        text = "" if choice is None else choice.path.read_text(encoding="utf-8")
        pattern = rf"\bprotocol\.{re.escape(owner)}\.(\w+)"
        if text and (names := re.findall(pattern, "\n".join((text, *profiles)))):
            target = find_field(group, owner, "_target_")
            kind = class_of(group, {"_target_": target, "name": owner})
            return schema_of(kind, BUILT_WITH[group], frozenset(names))
    raise unknown_key(f"protocol.{owner}", [f"protocol.{key}" for key in Protocol.model_fields])
