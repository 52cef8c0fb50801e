"""The one place that turns configuration sections into objects."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from mtl_bench.config.objects import ANNOTATIONS, class_of
from mtl_bench.errors import ConfigError, MtlBenchError
from mtl_bench.seeding import derive_seed, seed_everything, seeded

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from mtl_bench.algorithms.base import Algorithm
    from mtl_bench.architectures.base import Architecture
    from mtl_bench.datasets.base import Dataset
    from mtl_bench.methods.base import Method


def build(section: dict[str, Any], **arguments: Any) -> Any:  # noqa: ANN401 - any class
    """Instantiate a checked section's ``_target_``; one inside a field is data like any other.

    Raises:
        MtlBenchError: what the constructor raised.
        ConfigError: the constructor refused its arguments.
    """
    own = {key: value for key, value in section.items() if key not in ANNOTATIONS}
    try:
        return resolve_name(section["_target_"])(**deepcopy(own), **arguments)
    except MtlBenchError:
        raise
    except Exception as error:  # whatever a constructor raises for its arguments
        raise ConfigError(f"{section['_target_']}: {error}") from error


def build_data(config: dict[str, Any]) -> Dataset:
    """Build the data set of a run.

    Raises:
        ConfigError: it has no validation data, and something else of the run asks for them.
    """
    data: Dataset = build(config["dataset"], seed=config["seed"])
    if not data.has_validation:
        for asking, value, instead in (
            ("protocol.selection", config["protocol"]["selection"], "last_k_mean"),
            ("scheduler._target_", (config["scheduler"] or {}).get("_target_"), "StepLR"),
        ):
            if value in ("best_val", "torch.optim.lr_scheduler.ReduceLROnPlateau"):
                raise ConfigError(
                    f"{asking}={value} needs validation data, and dataset={data.name} has none as "
                    f"it is configured: hold some out (dataset.holdout=N) or use {instead}"
                )
    return data


def build_network(config: dict[str, Any], tasks: Sequence[str]) -> Architecture:
    """Build the network of a run, its parameters a function of the seed alone.

    Separate networks, one per task, are each initialised from a seed of their own.

    Args:
        config: the run's configuration.
        tasks: task names.
    """
    from mtl_bench.architectures.single_task import SingleTask

    separate: bool = class_of("method", config["method"]).separate_networks

    def initialise(names: Sequence[str]) -> Architecture:
        purpose = names[0] if separate else "all"
        with seeded(derive_seed(config["seed"], "network", purpose)):
            network: Architecture = build(config["architecture"], tasks=list(names))
        return network

    return SingleTask(tasks, initialise) if separate else initialise(tasks)


def build_run_method(config: dict[str, Any], num_tasks: int) -> Method:
    """Build the method of a run."""
    method: Method = build(
        config["method"], num_tasks=num_tasks, seed=derive_seed(config["seed"], "method")
    )
    return method


def require_method(config: dict[str, Any]) -> None:
    """Build a run's method for once, to know before anything else is made what it refuses.

    Raises:
        MissingExtraError: it needs a package that is not installed.
        ConfigError: it refuses its fields.
    """
    build_run_method(config, len(class_of("dataset", config["dataset"]).task_names))


def build_optimizer(section: dict[str, Any], parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Build an optimiser; where it has a fused form, that is the fastest on CPU and GPU alike."""
    accepted = inspect.signature(resolve_name(section["_target_"])).parameters
    fused = {"fused": True} if "fused" in accepted else {}
    optimizer: Optimizer = build(section, params=list(parameters), **fused)
    return optimizer


def build_scheduler(section: dict[str, Any], optimizer: Optimizer) -> LRScheduler:
    """Build the schedule of an optimiser."""
    scheduler: LRScheduler = build(section, optimizer=optimizer)
    return scheduler


def build_algorithm(config: dict[str, Any], data: Dataset, device: torch.device) -> Algorithm:
    """Build what a run learns from; every global generator is seeded first.

    Args:
        config: the run's configuration.
        data: its data set.
        device: where the network lives.
    """
    from mtl_bench.algorithms.supervised import Supervised
    from mtl_bench.runtime.environment import choose_workers

    settings = config["trainer"]
    seed_everything(config["seed"])
    tasks = [task.name for task in data.tasks]
    method = build_run_method(config, len(tasks))
    network = build_network(config, tasks)
    return Supervised(
        data,
        network.to(device),
        method,
        partial(build_optimizer, config["optimizer"]),
        config["scheduler"] and partial(build_scheduler, config["scheduler"]),
        device=device,
        accumulate=settings["accumulate"],
        clip_norm=settings.get("clip_norm"),
        warmup_epochs=settings.get("warmup_epochs", 0),
        loading={
            "workers": choose_workers(settings["workers"], device),
            "pin": device.type == "cuda",
        },
        precision=settings["precision"],
        **config["gradients"],
    )
