"""Typed schema of the sections that have no constructor of their own, and what is checked."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from mtl_bench.config.groups import PACKAGE, find_choices, require_served
from mtl_bench.config.signatures import import_class, schema_of
from mtl_bench.errors import ConfigError
from mtl_bench.values import (
    Fraction,
    Ge,
    HeadWeighting,
    Le,
    Name,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Selection,
)


class Section(BaseModel):
    """A section of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, allow_inf_nan=False)


class Optimizer(Section):
    """The optimiser of the trained network."""

    target: Literal["torch.optim.Adam", "torch.optim.AdamW"] = Field(alias="_target_")
    lr: Positive
    betas: tuple[Fraction, Fraction]
    eps: Positive
    weight_decay: NonNegative


class PlateauScheduler(Section):
    """Lowers the learning rate when the validation criterion stops to improve."""

    target: Literal["torch.optim.lr_scheduler.ReduceLROnPlateau"] = Field(alias="_target_")
    factor: Fraction
    patience: NonNegativeInt
    min_lr: NonNegative


class StepScheduler(Section):
    """Lowers the learning rate every ``step_size`` epochs."""

    target: Literal["torch.optim.lr_scheduler.StepLR"] = Field(alias="_target_")
    step_size: PositiveInt
    gamma: Fraction


class MultiStepScheduler(Section):
    """Lowers the learning rate after given numbers of epochs."""

    target: Literal["torch.optim.lr_scheduler.MultiStepLR"] = Field(alias="_target_")
    milestones: tuple[PositiveInt, ...]
    gamma: Fraction


Scheduler = Annotated[
    PlateauScheduler | StepScheduler | MultiStepScheduler, Field(discriminator="target")
]
"""A schedule of the learning rate, one step an epoch."""


def _integer_or_auto(value: object, check_integer: Callable[[object], object]) -> object:
    if isinstance(value, str) and value != "auto":
        raise PydanticCustomError("auto", "should be a valid integer or 'auto'")
    return value if value == "auto" else check_integer(value)


class Trainer(Section):
    """How a run is carried out; `identity.NOT_NUMBERS_IN` says what can't change its numbers."""

    epochs: PositiveInt
    accumulate: PositiveInt
    clip_norm: Positive | None
    precision: Literal["float32", "bf16"]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    threads: Annotated[int, Ge(1), Le(1024)] | None
    workers: Annotated[int, Ge(0), Le(256), WrapValidator(_integer_or_auto)]
    checkpoint_minutes: Positive
    log_every: PositiveInt
    on_nonfinite: Literal["abort", "skip"]
    determinism: Literal["off", "warn", "strict"]


class Gradients(Section):
    """What task gradients are taken of, and how; the backends are the same but for rounding."""

    level: Literal["parameters", "representation"]
    backend: Literal["auto", "loop", "batched", "streamed"]


class Protocol(Section):
    """Constants that differ between code bases, beside those of single methods and data sets."""

    name: Name
    head_weighting: HeadWeighting
    selection: Selection
    last_k: PositiveInt


class Profile(Section):
    """Which sizes were chosen; they stand resolved in the other sections."""

    name: Name


class Logger(Section):
    """What a person sees while a run goes on."""

    name: Name
    progress: Literal["auto", "plain", "off"]


class TensorBoardLogger(Logger):
    """TensorBoard beside the console."""

    every: PositiveInt


class WandbLogger(TensorBoardLogger):
    """Weights & Biases beside the console."""

    mode: Literal["offline", "online"]
    project: Name
    entity: Name | None
    group: Name | None


LOGGERS: dict[str, type[Logger]] = {"tensorboard": TensorBoardLogger, "wandb": WandbLogger}
"""Choices with more keys than the console's."""


class Paths(Section):
    """Folders that are read and written."""

    data: Name
    results: Name


class Run(Section):
    """A whole resolved configuration."""

    seed: NonNegativeInt
    variant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")] | None
    debug: bool
    dataset: dict[str, Any]
    algorithm: dict[str, Any]
    architecture: dict[str, Any]
    method: dict[str, Any]
    optimizer: Optimizer
    scheduler: Scheduler | None
    trainer: Trainer
    gradients: Gradients
    protocol: dict[str, Any]
    profile: Profile
    logger: dict[str, Any]
    paths: Paths


class Build(Section):
    """What a method is built with besides its fields."""

    num_tasks: PositiveInt


BUILT_WITH = {
    "dataset": frozenset({"seed", "purpose"}),
    "algorithm": frozenset(
        {"data", "network", "method", "scheduler", "accumulate", "loading"}
        | {"suite", "evaluation", "policy", "critics", "methods", "seed"}
        | {"optimizer", "device", "clip_norm"}
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

ANNOTATIONS = frozenset({"_target_", "name", "serves", "single_task"})
"""Keys of such a section that are not arguments of its constructor."""


def check_sections(config: dict[str, Any]) -> None:
    """Check what can be checked without importing the classes that a configuration names.

    Raises:
        ConfigError: one line that names the key, the value and what is allowed.
    """
    _validate(Run, config, "")
    protocol, logger = config["protocol"], config["logger"]
    shared = {key: value for key, value in protocol.items() if not isinstance(value, dict)}
    _validate(Protocol, shared, "protocol.")
    _validate(LOGGERS.get(logger["name"], Logger), logger, "logger.")
    require_served(config["dataset"]["name"], config["architecture"])
    if config["gradients"]["level"] == "representation" and config["trainer"]["accumulate"] > 1:
        raise ConfigError(
            f"trainer.accumulate={config['trainer']['accumulate']}: must be 1 with "
            "gradients.level=representation, which takes the gradients of one batch"
        )


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
        model = schema_of(class_of(group, section), built_with)
        _validate(model, arguments, f"{group}.")


def check_algorithm(config: Mapping[str, Any]) -> None:
    """Check that the algorithm can learn from the data set, as everything else is set.

    Raises:
        ConfigError: it can't, or a key that it has no choice of has another value.
    """
    name, dataset = config["algorithm"]["name"], config["dataset"]
    algorithm = class_of("algorithm", config["algorithm"])
    if not algorithm.serves(class_of("dataset", dataset)):
        raise ConfigError(f"algorithm={name} can't learn from dataset={dataset['name']}")
    for key, only in algorithm.fixed.items():
        section, _, field = key.partition(".")
        found = config[section][field] if field else config[section]
        if found != only:
            shown = found if field else found["_target_"]
            raise ConfigError(f"{key}={shown}: algorithm={name} takes {only} alone")


def check_num_tasks(num_tasks: object) -> None:
    """Check what a method is built for.

    Raises:
        ConfigError: it is no number of tasks.
    """
    _validate(Build, {"num_tasks": num_tasks}, "")


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

    Those that the file of the method, data set, algorithm or architecture looks up are allowed;
    others would have no effect.

    Raises:
        ConfigError: an unknown constant, or a bad value.
    """
    for owner, constants in protocol.items():
        if isinstance(constants, dict):
            _validate(_model_of_constants(owner), constants, f"protocol.{owner}.")


def _model_of_constants(owner: str) -> type[BaseModel]:
    for group in ("method", "dataset", "algorithm", "architecture"):
        choice = find_choices(group).get(owner)
        text = "" if choice is None else choice.path.read_text(encoding="utf-8")
        if names := re.findall(rf"\bprotocol\.{re.escape(owner)}\.(\w+)", text):
            section = yaml.safe_load(text)
            kind = class_of(group, section.get(group, section) | {"name": owner})
            return schema_of(kind, BUILT_WITH[group], frozenset(names))
    raise unknown_key(f"protocol.{owner}", [f"protocol.{key}" for key in Protocol.model_fields])


def _validate(model: type[BaseModel], value: dict[str, Any], prefix: str) -> None:
    try:
        # strict, since what runs is the value itself and not what it could be converted to; as
        # JSON, where strictness still lets a list serve as a tuple
        model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        # without the choice within a union, which pydantic names by its _target_
        path = [str(part) for part in first["loc"] if not str(part).startswith("torch.")]
        key = prefix + ".".join(path)
        if first["type"] == "extra_forbidden":
            raise unknown_key(key, [prefix + name for name in model.model_fields]) from None
        if first["type"] == "missing":
            raise ConfigError(f"{key} is missing") from None
        if first["type"] == "union_tag_invalid":
            tag, allowed = first["ctx"]["tag"], first["ctx"]["expected_tags"]
            raise ConfigError(f"{key}._target_={tag}: must be one of {allowed}") from None
        message = first["msg"].removeprefix("Input ").removeprefix("Value ")
        raise ConfigError(f"{key}={first['input']}: {message}") from None


def unknown_key(key: str, allowed: list[str]) -> ConfigError:
    """Return the error of an unknown key, with the nearest allowed one."""
    near = difflib.get_close_matches(key, allowed, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(sorted(allowed))}"
    return ConfigError(f"unknown key {key}" + (f"; {hint}" if allowed else ""))
