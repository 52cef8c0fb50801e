"""The configuration of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl_bench.config.groups import find_field
from mtl_bench.config.objects import BUILT_WITH, check_objects, class_of
from mtl_bench.config.signatures import MissingClassError
from mtl_bench.errors import ConfigError, RecordError
from mtl_bench.files import read_yaml

SUPERVISED = {
    "_target_": "mtl_bench.algorithms.supervised.supervised.Supervised",
    "name": "supervised",
}


def read_config(record: Path) -> dict[str, Any]:
    """Return the configuration of a record, which may have come from somebody else.

    Args:
        record: the run's folder.

    Raises:
        RecordError: there is none, or it could not have been composed here: classes and their
            arguments are checked as those of a command are, before anything is built.
    """
    path = record / "config.yaml"
    if not path.is_file():
        raise RecordError(f"{record} holds no run: give results/PROFILE/DATASET/METHOD/RUN")
    try:
        config: dict[str, Any] = read_yaml(path)
        config.setdefault("algorithm", SUPERVISED)  # the only one before the key existed
        for group in BUILT_WITH:
            config[group]["_target_"] = _present_target(group, config[group])
        check_objects(config)
        for section in ("protocol", "gradients"):
            config[section].items()
        config["seed"], config["scheduler"], config["protocol"]["selection"]
    except ConfigError as error:
        raise RecordError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RecordError(f"{path} is no configuration of a run ({reason})") from error
    return config


def _present_target(group: str, section: dict[str, Any]) -> str:
    """Return the path of a section's class, which may have moved since the record was made."""
    try:
        class_of(group, section)
    except MissingClassError:
        choice = section.get("single_task", section["name"])
        return find_field(group, choice, "_target_") or section["_target_"]
    return section["_target_"]
