"""The same configurations from Python, without a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtl_bench.config.build import build_data, build_network, build_run_method
from mtl_bench.config.compose import compose_config

if TYPE_CHECKING:
    from mtl_bench.architectures.base import Architecture
    from mtl_bench.datasets.base import Dataset
    from mtl_bench.methods.base import Method


def build_dataset(
    name: str,
    *,
    profile: str = "paper",
    seed: int = 0,
    data: str = "data",
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
    return build_data(_compose(name, "stl", profile, seed, "dataset", fields, paths_data=data))


def build_architecture(
    dataset: str,
    architecture: str | None = None,
    *,
    profile: str = "paper",
    seed: int = 0,
    **fields: Any,  # noqa: ANN401 - fields of the architecture's configuration
) -> Architecture:
    """Build the network of a data set, its parameters a function of the seed.

    Args:
        dataset: a choice of the group ``dataset``; it decides the tasks.
        architecture: a choice of the group ``architecture``, by default the data set's own.
        profile: sizes.
        seed: of the initial parameters.
        **fields: values of ``architecture.<field>``.

    Raises:
        ConfigError: an unknown name or field, a bad value, or an unfit combination.
    """
    from hydra.utils import get_class

    config = _compose(
        dataset, "stl", profile, seed, "architecture", fields, architecture=architecture
    )
    kind: type[Dataset] = get_class(config["dataset"]["_target_"])
    return build_network(config, kind.task_names, separate=False)


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
    return build_run_method(_compose(dataset, name, profile, seed, "method", fields), num_tasks)


def _compose(
    dataset: str,
    method: str,
    profile: str,
    seed: int,
    group: str,
    fields: dict[str, Any],
    *,
    paths_data: str = "data",
    architecture: str | None = None,
) -> dict[str, Any]:
    overrides = [f"dataset={dataset}", f"method={method}", f"profile={profile}", f"seed={seed}"]
    if architecture is not None:
        overrides.append(f"architecture={architecture}")
    overrides.append(f"paths.data='{paths_data}'")
    overrides += [f"{group}.{key}={_literal(value)}" for key, value in fields.items()]
    return compose_config(overrides)


def _literal(value: Any) -> str:  # noqa: ANN401 - a plain value
    """Return a value in the grammar of Hydra's overrides."""
    if value is None:
        return "null"
    return f"'{value}'" if isinstance(value, str) else str(value)
