"""From command-line overrides to one resolved, checked configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from os import PathLike, fspath
from typing import Any, cast

from hydra import compose
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError  # type: ignore[import-untyped]

from mtl_bench.config.groups import (
    GROUPS,
    describe_group,
    find_choices,
    find_field,
    require_served,
)
from mtl_bench.config.identity import leaves
from mtl_bench.config.objects import (
    ANNOTATIONS,
    check_algorithm,
    check_classes,
    check_constants,
    check_objects,
    class_of,
    fields_of,
)
from mtl_bench.config.schema import check_sections, unknown_key
from mtl_bench.config.search import open_hydra
from mtl_bench.errors import ConfigError
from mtl_bench.words import unreadable

COMPOSITION_ERRORS = (
    *(HydraException, OmegaConfBaseException, YAMLError),
    *(OSError, ValueError, RecursionError),  # of words that no file name or number can be
)
"""What Hydra raises for overrides that can't be."""

LAUNCHERS = (
    "basic, processes, and with pip install 'mtl_bench[slurm]' submitit_slurm and submitit_local"
)

FOR_TABLES = ("display", "report")
"""Sections of ablations and experiments that say how tables show the runs, and nothing of them."""

OF_HYDRA = r"hydra/launcher$|hydra\.launcher\.|hydra\.sweeper\.max_batch_size$"
"""Keys of Hydra's own that change something here."""


def compose_config(
    overrides: Sequence[str],
    values: Mapping[str, Any] | None = None,
    composed: DictConfig | None = None,
) -> dict[str, Any]:
    """Return the resolved configuration of one run as plain values.

    Every section that is a group carries its choice as ``name``; of the profile only the name is
    left, of the protocol not its constants of single methods, and of the architecture the class
    that the method trains, since these values stand where they are used. What a file says to tables
    alone is left out.

    Args:
        overrides: in Hydra's grammar, as typed.
        values: what replaces keys afterwards, as a tree of Python's values: a string is taken as
            it is, whatever characters it has.
        composed: what ``compose_files`` has made of the overrides; it is used up.

    Raises:
        ConfigError: unknown key or choice, bad syntax, impossible value or combination.
    """
    return complete_config(resolve_config(overrides, values, composed))


def complete_config(plain: dict[str, Any]) -> dict[str, Any]:
    """Do what is left of ``compose_config`` after ``resolve_config``: this imports the classes.

    Raises:
        ConfigError: as there.
    """
    check_constants(plain["protocol"])
    _choose_networks(plain)
    plain["dataset"].pop("compare", None)
    plain["method"].pop("display", None)
    check_objects(plain)
    plain["protocol"] = {
        k: v for k, v in plain["protocol"].items() if not isinstance(v, dict) and k != "algorithms"
    }
    return plain


def _choose_networks(config: dict[str, Any]) -> None:
    """Make the architecture's class that of its ``single_task`` where the networks are separate.

    Fields that only the class for several tasks has are left out.
    """
    architecture = config["architecture"]
    separate = class_of("method", config["method"]).separate_networks
    if "single_task" not in architecture:
        if separate and not getattr(class_of("architecture", architecture), "separable", True):
            raise ConfigError(
                f"method={config['method']['name']}: the tasks of architecture="
                f"{architecture['name']} share parameters by its nature; take architecture=mlp"
            )
        return
    if not separate:
        del architecture["single_task"]
        return
    shared = fields_of("architecture", architecture)
    architecture["_target_"] = find_field("architecture", architecture["single_task"], "_target_")
    if architecture["_target_"] is None:
        error = missing_choice("architecture", architecture["single_task"])
        raise ConfigError(f"architecture.single_task: {error}")
    for key in shared - fields_of("architecture", architecture):
        architecture.pop(key, None)


def resolve_config(
    overrides: Sequence[str],
    values: Mapping[str, Any] | None = None,
    composed: DictConfig | None = None,
) -> dict[str, Any]:
    """Return what ``compose_config`` does, before it imports the classes that it names.

    What only they can say is not checked, and the sections hold what is left out there.
    """
    config = compose_files(overrides) if composed is None else composed
    if "serves" in (
        config.get("architecture") or {}
    ):  # first, since its values may not resolve then
        require_served(config.dataset.name, config.architecture)
    try:
        with open_dict(config):
            _put(config, values or {}, "")
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        check_algorithm(config)  # which may look up what its data sets have
        raise ConfigError(_first_line(error)) from error
    plain = cast(dict[str, Any], resolved)
    plain["profile"] = {"name": plain["profile"]["name"]}
    for key in FOR_TABLES:
        plain.pop(key, None)
    check_sections(plain)
    check_classes(plain)
    return plain


def _put(config: DictConfig, values: Mapping[str, Any], prefix: str) -> None:
    """Replace values of a configuration that isn't resolved yet; unknown keys are found later."""
    for key, value in values.items():
        if prefix and key in ANNOTATIONS:
            raise unknown_key(f"{prefix}{key}", [])
        if not prefix and isinstance(value, Mapping):
            _put(config[key], value, f"{key}.")
        else:
            config[key] = as_literal(value, f"{prefix}{key}")


def as_literal(value: Any, key: str) -> Any:  # noqa: ANN401 - a plain value
    """Return a value of Python as OmegaConf must hold it to give it back as it is.

    Raises:
        ConfigError: a value that no YAML file can hold; the key is named.
    """
    match value:
        case None | bool():
            return value
        case str() | PathLike():  # an interpolation is escaped, and backslashes before it
            return re.sub(r"(\\*)\$\{", r"\1\1\\${", fspath(value))
        case Integral():
            return int(value)
        case Real():
            return float(value)
        case Mapping():
            return {k: as_literal(v, f"{key}.{k}") for k, v in value.items()}
        case list() | tuple():
            return [as_literal(item, key) for item in value]
    shown = " ".join(repr(value).split())
    raise ConfigError(f"{key}={shown}: must be plain: numbers, strings, truth values, lists, dicts")


def refuse_reach(overrides: Sequence[str]) -> None:
    """Refuse choices that are paths, and settings of Hydra that a sweep here doesn't have.

    Hydra would read ``method=../../x`` from outside the folders of configs, and the choice's name
    is a folder's name in the results.

    Raises:
        ConfigError: it names the override.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        group = key.lstrip("+~").partition("@")[0]
        if group in GROUPS.values() and re.search(r"[/\\]", value):
            raise missing_choice(group, value)
        if group.partition(".")[0] in FOR_TABLES:
            raise ConfigError(f"{key}: it is for the file of the ablation or experiment alone")
        if re.match(r"hydra([./]|$)", group):
            if "_target_" in override:
                raise ConfigError(f"{key}: Hydra's own parts can't be replaced")
            if not re.match(OF_HYDRA, group):
                raise ConfigError(
                    f"{override}: allowed of Hydra's settings are hydra/launcher={LAUNCHERS}, "
                    "hydra.launcher.KEY= and hydra.sweeper.max_batch_size="
                )


def compose_files(overrides: Sequence[str]) -> DictConfig:
    """Return what Hydra makes of overrides and files, not resolved and not checked.

    Raises:
        ConfigError: it can't be composed, or names what there is not.
    """
    refuse_reach(overrides)
    with open_hydra():
        try:
            config = compose("train", list(overrides), return_hydra_config=True)
        except COMPOSITION_ERRORS as error:
            raise translate_error(error, overrides) from error
    choices = config.hydra.runtime.choices
    with open_dict(config):
        for group in GROUPS.values():
            if choices.get(group) and choices[group] not in find_choices(group):
                raise missing_choice(group, choices[group])
            if group in config:
                config[group].name = choices[group]
        if (
            choices.get("experiment")
            and OmegaConf.select(config, "logger.group", default="") is None
        ):
            config.logger.group = choices["experiment"]
        written: Any = OmegaConf.to_container(config, resolve=False)
        if "hydra" in str(written["variant"]):
            config.variant = config.variant  # it names a choice, which is forgotten now
        del config["hydra"]
    return config


def missing_choice(group: str, choice: str) -> ConfigError:
    """Return the error for a choice that a group doesn't have; it names those that there are."""
    allowed = LAUNCHERS if group == "hydra/launcher" else "see --help"
    if group in GROUPS.values():
        allowed = ", ".join(describe_group(group))
    return ConfigError(f"{group}={choice}: there is no such choice; allowed: {allowed}")


def translate_error(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """Turn an error of Hydra or OmegaConf into one line that names key, value and choices."""
    text = str(error)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return ConfigError(f"{mark.name}, line {mark.line + 1}: {error.problem}")
    if isinstance(error, MissingConfigException):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return missing_choice(group, choice)
    if isinstance(error, OverrideParseException):
        return unreadable(str(error.override))
    if match := re.search(r"Ambiguous value for argument '([^']+)'", text):
        return ConfigError(f"{match[1]}: several values are a sweep; give -m, or quote the value")
    if match := re.search(r"You must specify '(\w+)'", text):
        group = match[1]
        return ConfigError(f"{group} is missing; give {group}=" + "|".join(describe_group(group)))
    if match := re.search(r"Could not override '([^']+)'", text):
        if match[1].startswith("hydra."):
            return ConfigError(f"unknown key {match[1]}; the chosen hydra/launcher has no such key")
        return unknown_key(match[1], _known_keys(overrides, match[1]))
    if text.startswith("Error merging override") and error.__cause__ is not None:
        return ConfigError(_first_line(error.__cause__))
    return ConfigError(_first_line(error))


def _known_keys(overrides: Sequence[str], unknown: str) -> list[str]:
    """Return the leaf keys of the configuration without the override that can't be."""
    others = [o for o in overrides if not o.lstrip("+~").startswith((f"{unknown}=", f"{unknown}."))]
    try:
        config: Any = OmegaConf.to_container(compose_files(others), resolve=False)
    except ConfigError:
        return []
    keys = [key for key, _ in leaves(config) if key.rpartition(".")[2] not in ANNOTATIONS]
    section = unknown.rpartition(".")[0]
    return [key for key in keys if key.rpartition(".")[0] == section] or keys


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    key = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("full_key")), ""
    )
    return (f"{key}: " if key else "") + (lines[0] if lines else type(error).__name__)
