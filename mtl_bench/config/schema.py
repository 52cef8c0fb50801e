"""Typed schema of the sections that have no constructor of their own, and the cross-checks."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from mtl_bench.config.groups import require_served
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


class Adam(Section):
    """Adam, or AdamW with decoupled weight decay."""

    target: Literal["torch.optim.Adam", "torch.optim.AdamW"] = Field(alias="_target_")
    lr: Positive
    betas: tuple[Fraction, Fraction]
    eps: Positive
    weight_decay: NonNegative


class SGD(Section):
    """Gradient descent with momentum, Nesterov's or the plain one."""

    target: Literal["torch.optim.SGD"] = Field(alias="_target_")
    lr: Positive
    momentum: Fraction
    nesterov: bool
    weight_decay: NonNegative


class RMSprop(Section):
    """Gradient descent divided by a running root mean square, centered or not."""

    target: Literal["torch.optim.RMSprop"] = Field(alias="_target_")
    lr: Positive
    alpha: Fraction
    eps: Positive
    momentum: Fraction
    centered: bool
    weight_decay: NonNegative


class Adagrad(Section):
    """Gradient descent divided by the root of the sum of squares so far."""

    target: Literal["torch.optim.Adagrad"] = Field(alias="_target_")
    lr: Positive
    lr_decay: NonNegative
    eps: Positive
    weight_decay: NonNegative


Optimizer = Annotated[Adam | SGD | RMSprop | Adagrad, Field(discriminator="target")]
"""The optimiser of the trained network."""


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


class CosineScheduler(Section):
    """Lowers the learning rate to ``eta_min`` within ``T_max`` epochs, along half a cosine."""

    target: Literal["torch.optim.lr_scheduler.CosineAnnealingLR"] = Field(alias="_target_")
    T_max: PositiveInt
    eta_min: NonNegative


Scheduler = Annotated[
    PlateauScheduler | StepScheduler | MultiStepScheduler | CosineScheduler,
    Field(discriminator="target"),
]
"""A schedule of the learning rate, one step an epoch."""


def _integer_or_auto(value: object, check_integer: Callable[[object], object]) -> object:
    if isinstance(value, str) and value != "auto":
        raise PydanticCustomError("auto", "should be a valid integer or 'auto'")
    return value if value == "auto" else check_integer(value)


class TrainerConfig(Section):
    """How a run is carried out; `identity.NOT_NUMBERS_IN` says what can't change its numbers."""

    epochs: PositiveInt
    early_stopping: PositiveInt | None
    accumulate: PositiveInt
    clip_norm: Positive | None
    warmup_epochs: NonNegativeInt
    precision: Literal["float32", "bf16", "fp16"]
    compile: Literal["default", "reduce-overhead"] | None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    threads: Annotated[int, Ge(1), Le(1024)] | None
    workers: Annotated[int, Ge(0), Le(256), WrapValidator(_integer_or_auto)]
    checkpoint_minutes: Positive
    log_every: PositiveInt
    curvature_every: PositiveInt | None
    on_nonfinite: Literal["abort", "skip"]
    determinism: Literal["off", "warn", "strict"]


class Gradients(Section):
    """What task gradients are taken of, and how; the backends are the same but for rounding."""

    level: Literal["parameters", "representation"]
    backend: Literal["auto", "loop", "batched", "streamed"]
    max_memory: Positive | None


class Protocol(Section):
    """Constants that differ between code bases, beside those of single methods and data sets.

    ``algorithms`` are those that it has constants of; none stands for all.
    """

    name: Name
    head_weighting: HeadWeighting
    selection: Selection
    last_k: PositiveInt
    algorithms: tuple[Name, ...] = ()


class Profile(Section):
    """Which sizes were chosen; they stand resolved in the other sections."""

    name: Name


class Logger(Section):
    """What a person sees while a run goes on."""

    name: Name
    progress: Literal["auto", "plain", "named", "off"]


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


class RunConfig(Section):
    """A whole resolved configuration."""

    seed: NonNegativeInt
    variant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")] | None
    label: Annotated[str, Field(pattern=r"^\S(.*\S)?$", max_length=60)] | None
    debug: bool
    dataset: dict[str, Any]
    algorithm: dict[str, Any]
    architecture: dict[str, Any]
    method: dict[str, Any]
    optimizer: Optimizer
    scheduler: Scheduler | None
    trainer: TrainerConfig
    gradients: Gradients
    protocol: dict[str, Any]
    profile: Profile
    logger: dict[str, Any]
    paths: Paths


def check_sections(config: dict[str, Any]) -> None:
    """Check what can be checked without importing the classes that a configuration names.

    Raises:
        ConfigError: one line that names the key, the value and what is allowed.
    """
    validate(RunConfig, config, "")
    protocol, logger = config["protocol"], config["logger"]
    shared = {key: value for key, value in protocol.items() if not isinstance(value, dict)}
    validate(Protocol, shared, "protocol.")
    validate(LOGGERS.get(logger["name"], Logger), logger, "logger.")
    require_served(config["dataset"]["name"], config["architecture"])


def validate(model: type[BaseModel], value: dict[str, Any], prefix: str) -> None:
    """Check the values of a section.

    Args:
        model: what they must be.
        value: the section.
        prefix: of its keys in messages.

    Raises:
        ConfigError: one line that names the key, the value and what is allowed.
    """
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
