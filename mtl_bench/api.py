"""The same configurations from Python, without a command line."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from mtl_bench.config.build import build_data, build_network, build_run_method
from mtl_bench.config.compose import as_literal, compose_config, missing_choice
from mtl_bench.config.groups import find_choices, require_profile
from mtl_bench.config.objects import check_num_tasks, class_of
from mtl_bench.environments.base import Suite
from mtl_bench.errors import ConfigError

if TYPE_CHECKING:
    from mtl_bench.architectures.base import Architecture
    from mtl_bench.datasets.base import Dataset
    from mtl_bench.inspect.recorded_run import RecordedRun
    from mtl_bench.methods.base import Method


def build_dataset(
    name: str,
    *,
    profile: str = "paper",
    seed: int = 0,
    data: str | PathLike[str] = "data",
    **fields: Any,  # noqa: ANN401 - fields of the data set's configuration
) -> Dataset:
    """Build a data set as a run would.

    Args:
        name: a choice of the group ``dataset``.
        profile: sizes.
        seed: of the split and the order of batches.
        data: folder of prepared data.
        **fields: values of ``dataset.<field>``.

    Raises:
        ConfigError: an unknown name or field, a bad value.
        DataError: the data set is not prepared or damaged.
    """
    values = {"dataset": fields, "paths": {"data": data}}
    return build_data(_compose({"dataset": name}, profile, seed, values))


def build_architecture(
    dataset: str,
    architecture: str | None = None,
    *,
    profile: str = "paper",
    seed: int = 0,
    **fields: Any,  # noqa: ANN401 - fields of the architecture's configuration
) -> Architecture:
    """Build the network that a multi-task run trains; its parameters depend on the seed alone.

    Args:
        dataset: a choice of the group ``dataset``; it decides the tasks.
        architecture: a choice of the group ``architecture``, by default the data set's own.
        profile: sizes.
        seed: of the initial parameters.
        **fields: values of ``architecture.<field>``.

    Raises:
        ConfigError: an unknown name or field, a bad value, or an unfit combination.
    """
    choices = {"dataset": dataset} | ({"architecture": architecture} if architecture else {})
    config = _compose(choices, profile, seed, {"architecture": fields})
    kind = class_of("dataset", config["dataset"])
    if issubclass(kind, Suite):
        raise ConfigError(
            f"dataset={dataset} is learned by a policy and critics, not one network: build them "
            f"from {config['architecture']['_target_']}"
        )
    return build_network(config, kind.task_names)


def build_method(
    name: str,
    num_tasks: int,
    *,
    dataset: str = "qm9",
    profile: str = "paper",
    seed: int = 0,
    **fields: Any,  # noqa: ANN401 - fields of the method's configuration
) -> Method:
    """Build a method as a run would.

    Args:
        name: a choice of the group ``method``.
        num_tasks: T.
        dataset: whose protocol and sizes set the method's defaults.
        profile: sizes.
        seed: the run's seed.
        **fields: values of ``method.<field>``.

    Raises:
        ConfigError: an unknown name or field, a bad value.
    """
    num_tasks = as_literal(num_tasks, "num_tasks")
    check_num_tasks(num_tasks)
    config = _compose({"dataset": dataset, "method": name}, profile, seed, {"method": fields})
    return build_run_method(config, num_tasks)


def train(*words: str) -> RecordedRun:
    """Train or resume one run as ``mtl-bench train`` does, or load it if it is finished.

    Args:
        *words: ``KEY=VALUE`` in the grammar of the command line, such as ``"dataset=qm9"``,
            ``"method=ls"``, ``"profile=mini"``; a profile is always named.

    Returns:
        The finished run.

    Raises:
        ConfigError: an unknown key or choice, a bad value, or words of a sweep.
        DataError: the data set is not prepared or damaged.
        MtlBenchError: the run failed; FAILED.json in its record says why.
        Interrupted: it was asked to stop; the same call resumes it.
    """
    from mtl_bench.inspect.recorded_run import load_run
    from mtl_bench.training.run import run

    for word in words:
        if word.startswith(("-", "experiment=")):
            raise ConfigError(f"{word}: only one run can be trained here, not a sweep")
    require_profile(words)
    return load_run(run(compose_config(words)).path)


def _compose(
    choices: dict[str, str], profile: str, seed: int, values: dict[str, Any]
) -> dict[str, Any]:
    """Compose a configuration; the method, where none is chosen, is one that shares a network."""
    choices = {"method": "ls", "profile": profile} | choices
    for group, choice in choices.items():
        if str(choice) not in find_choices(group):
            raise missing_choice(group, str(choice))
    overrides = [f"{group}={choice}" for group, choice in choices.items()]
    return compose_config(overrides, {"seed": seed} | values)
