"""The one place that turns configuration sections into objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from mtl_bench.config.objects import ANNOTATIONS, class_of
from mtl_bench.errors import ConfigError, MtlBenchError
from mtl_bench.ranks import ALONE, Ranks
from mtl_bench.seeding import derive_seed, seed_everything, seeded

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from mtl_bench.algorithms.base import Algorithm
    from mtl_bench.architectures.base import Architecture
    from mtl_bench.architectures.control.base import ControlNetwork
    from mtl_bench.datasets.base import Dataset
    from mtl_bench.environments.base import Suite
    from mtl_bench.methods.base import Method


PLATEAU = "torch.optim.lr_scheduler.ReduceLROnPlateau"


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


def build_data(config: dict[str, Any]) -> Any:  # noqa: ANN401 - what the algorithm learns from
    """Build the data set of a run, or the suite of environments.

    Raises:
        ConfigError: it has no validation data, and something else of the run asks for them.
    """
    data: Any = build(config["dataset"], seed=config["seed"])
    if not data.has_validation:
        selection = config["protocol"]["selection"]
        schedule = (config["scheduler"] or {}).get("_target_")
        patience = config["trainer"].get("early_stopping")
        for asking, value, needed, instead in (
            ("protocol.selection", selection, selection == "best_val", "last_k_mean"),
            ("scheduler._target_", schedule, schedule == PLATEAU, "StepLR"),
            ("trainer.early_stopping", patience, patience is not None, "null"),
        ):
            if needed:
                hold_out = "hold some out (dataset.holdout=N) or "
                raise ConfigError(
                    f"{asking}={value} needs validation data, and dataset="
                    f"{config['dataset']['name']} has none as it is configured: "
                    f"{hold_out * ('holdout' in config['dataset'])}use {instead}"
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


def build_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    """Build the networks of a run by their component; no data are read for it."""
    return NETWORKS[config["algorithm"]["name"]](config)


def build_run_method(config: dict[str, Any], num_tasks: int, *component: str) -> Method:
    """Build the method of a run, or that of a component by its name."""
    seed = derive_seed(config["seed"], "method", *component)
    method: Method = build(config["method"], num_tasks=num_tasks, seed=seed)
    return method


def require_method(config: dict[str, Any]) -> None:
    """Build a run's method for once, to know before anything else is made what it refuses.

    Raises:
        MissingExtraError: it needs a package that is not installed.
        ConfigError: it refuses its fields.
    """
    from mtl_bench.environments.base import Suite

    kind, section = class_of("dataset", config["dataset"]), config["dataset"]
    simulated = issubclass(kind, Suite)
    names = kind.names_in(section["tasks"]) if simulated else kind.task_names
    build_run_method(config, len(names))


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


def build_algorithm(
    config: dict[str, Any],
    data: Any,  # noqa: ANN401
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Algorithm:
    """Build what a run learns from; every global generator is seeded first.

    Networks and methods are the same in all processes that train together; what is drawn from
    then on, by dropout, is not.

    Args:
        config: the run's configuration.
        data: its data set or suite of environments.
        device: where the networks live.
        ranks: the processes.

    Raises:
        ConfigError: there are several, and the algorithm is for one.
    """
    seed_everything(config["seed"])
    shares_updates: bool = class_of("algorithm", config["algorithm"]).shares_updates
    if ranks.size > 1 and not shares_updates:
        raise ConfigError(
            f"algorithm={config['algorithm']['name']} trains in one process, and torchrun has "
            f"started {ranks.size}: leave torchrun out"
        )
    arguments = BUILDERS[config["algorithm"]["name"]](config, data, device)
    if shares_updates:
        arguments["ranks"] = ranks
    algorithm: Algorithm = build(
        config["algorithm"],
        optimizer=partial(build_optimizer, config["optimizer"]),
        device=device,
        clip_norm=config["trainer"].get("clip_norm"),
        **arguments,
    )
    if not ranks.leads:
        seed_everything(derive_seed(config["seed"], "rank", ranks.number))
    return algorithm


def _of_supervised(config: dict[str, Any], data: Dataset, device: torch.device) -> dict[str, Any]:
    """Return what supervised learning is built with."""
    from mtl_bench.runtime.environment import loader_workers

    settings = config["trainer"]
    loading = {
        "workers": loader_workers(config, device),
        "pin": device.type == "cuda",
    }
    if getattr(data, "resident", False):
        data.move(device)  # type: ignore[attr-defined] # as such a data set can
        loading = {}
    tasks = [task.name for task in data.tasks]
    method = build_run_method(config, len(tasks))
    return {
        "data": data,
        "network": build_network(config, tasks).to(device),
        "method": method,
        "scheduler": config["scheduler"] and partial(build_scheduler, config["scheduler"]),
        "accumulate": settings["accumulate"],
        "warmup_epochs": settings.get("warmup_epochs", 0),
        "loading": loading,
        "precision": settings["precision"],
        "compile": settings.get("compile"),
        **config["gradients"],
    }


def _of_sac(config: dict[str, Any], suite: Suite, device: torch.device) -> dict[str, Any]:
    """Return what a soft actor-critic is built with."""
    from mtl_bench.methods.ls import LS

    tasks, seed, method_on = suite.tasks, config["seed"], config["algorithm"]["method_on"]
    critic = build_run_method(config, len(tasks), "critic")
    alone = method_on == "critic" or (method_on == "auto" and critic.reads_losses)
    actor = LS(len(tasks)) if alone else build_run_method(config, len(tasks), "actor")

    networks = _control_networks(config, suite)
    return {
        "suite": suite,
        "evaluation": build(config["dataset"], seed=seed, purpose="evaluation"),
        "policy": networks["actor"].to(device),
        "critics": networks["critic"].to(device),
        "methods": {"critic": critic, "actor": actor},
        "seed": derive_seed(seed, "algorithm"),
    }


def _control_networks(config: dict[str, Any], suite: Suite) -> dict[str, ControlNetwork]:
    """Build policy and critics, each from a seed of its own."""
    from mtl_bench.architectures.control.base import Shape

    separate: bool = class_of("method", config["method"]).separate_networks
    observation, action = suite.observation_dim, suite.action_dim
    policy = Shape(
        observation, 2 * action, output_bound=1e-3, separate=separate, observation=observation
    )
    critics = policy._replace(inputs=observation + action, outputs=1, members=2, output_bound=3e-3)
    networks: dict[str, ControlNetwork] = {}
    for name, shape in (("critic", critics), ("actor", policy)):
        with seeded(derive_seed(config["seed"], "network", name)):
            networks[name] = build(
                config["architecture"],
                tasks=suite.tasks,
                shape=shape._replace(critics=networks.get("critic")),
            )
    return networks


NETWORKS: dict[str, Callable[[dict[str, Any]], dict[str, nn.Module]]] = {
    "supervised": lambda config: {
        "": build_network(config, class_of("dataset", config["dataset"]).task_names)
    },
    "sac": lambda config: {**_control_networks(config, build_data(config))},
}
"""Name of an algorithm -> function that makes its networks, by component."""

BUILDERS: dict[str, Callable[..., dict[str, Any]]] = {"supervised": _of_supervised, "sac": _of_sac}
"""Name of an algorithm -> function that makes what it is built with besides its fields."""
