"""The folders of configs, ours and those of added packages, and what their groups offer.

An installed package adds choices by an entry point of the group ``mtl_bench.configs``, whose value
names a folder of config groups inside the package. All is read without Hydra, and without importing
the added package.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from mtl_bench.errors import ConfigError
from mtl_bench.files import read_yaml

GROUPS = {
    "datasets": "dataset",
    "algorithms": "algorithm",
    "architectures": "architecture",
    "methods": "method",
    "protocols": "protocol",
    "profiles": "profile",
    "loggers": "logger",
    "ablations": "ablation",
    "experiments": "experiment",
}
"""What ``mtl-bench list`` knows, and the config group behind each word."""

PACKAGE = "mtl_bench"
CHOOSING = ("experiment", "ablation")
"""Groups whose files may choose a profile."""

ENTRY_POINTS = "mtl_bench.configs"


class Source(NamedTuple):
    """A folder of config groups.

    Args:
        package: the top-level package that it belongs to.
        folder: where the groups are.
        distribution: the name that the package is installed under; None for our own folder.
        version: of the distribution.
    """

    package: str
    folder: Path
    distribution: str | None = None
    version: str | None = None


class Choice(NamedTuple):
    """One choice of a group: the package that offers it, and its file."""

    package: str
    path: Path


def find_config_folder() -> Path:
    """Return our folder of configs: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def find_sources() -> tuple[Source, ...]:
    """Return our folder of configs, then those of added packages in the order of their names.

    Raises:
        ConfigError: a package announces a folder that isn't there or holds no group.
    """
    return Source(PACKAGE, find_config_folder()), *_added_sources(tuple(sys.path))


@functools.cache
def _added_sources(path: tuple[str, ...]) -> tuple[Source, ...]:
    """Ask the installed packages; what is installed stays as it is while ``sys.path`` does."""
    sources = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.value):
        package, *inner = point.value.split(".")
        assert point.dist is not None
        name = point.dist.name
        folders = [folder.joinpath(*inner) for folder in package_folders(package)]
        groups = [
            folder
            for folder in folders
            if any((folder / group).is_dir() for group in GROUPS.values())
        ]
        if not groups:
            raise ConfigError(
                f"the installed package {name} announces configs in {point.value}, but there is no "
                f"such folder with {', '.join(GROUPS.values())} in it: mend its entry point "
                f"{ENTRY_POINTS}, or uninstall it"
            )
        sources.append(Source(package, groups[0], name, point.dist.version))
    return tuple(sources)


def find_choices(group: str) -> dict[str, Choice]:
    """Return name -> choice for every choice of a config group, in the order of the names.

    Raises:
        ConfigError: two files give a choice the same name, or a name can't be a folder's.
    """
    choices: dict[str, Choice] = {}
    for source in find_sources():
        for path in (source.folder / group).glob("*.yaml"):
            if not re.fullmatch(r"[\w.]+", path.stem):  # records join name and variant by a hyphen
                raise ConfigError(
                    f"{path}: the name of a choice has letters, digits, underscores and dots alone"
                )
            if path.stem in choices:
                raise ConfigError(
                    f"{group}={path.stem} is in two files, {choices[path.stem].path} and {path}: "
                    "rename one"
                )
            choices[path.stem] = Choice(source.package, path)
    return dict(sorted(choices.items()))


def find_field(group: str, name: str, key: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return what the file of a choice, or else the one that it extends, has under a key.

    Nothing is resolved. A choice or a key that isn't there has None.

    Raises:
        ConfigError: a file can't be read.
    """
    text = read_choice(group, name)
    section = text.get(group, text)
    if isinstance(section, dict) and key in section:
        return section[key]
    for entry in reversed(text.get("defaults", [])):
        if isinstance(entry, str) and entry not in ("_self_", name):
            return find_field(group, entry, key)
    return None


def read_choice(group: str, name: str) -> dict[str, Any]:
    """Return the contents of a choice's file, nothing resolved; empty where there is no choice.

    Raises:
        ConfigError: the file can't be read.
    """
    choice = find_choices(group).get(name)
    if choice is None:
        return {}
    try:
        text = read_yaml(choice.path) or {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{choice.path}: {' '.join(str(error).split())}") from error
    if not isinstance(text, dict) or not isinstance(text.get("defaults", []), list):
        raise ConfigError(f"{choice.path}: must be a mapping, its defaults a list")
    return text


def describe_group(group: str) -> dict[str, str]:
    """Return name -> one-line description of every choice of a config group.

    The description is the file's first comment, ``# Name: what it is``, below Hydra's header.
    """
    choices = {}
    for name, choice in find_choices(group).items():
        lines = choice.path.read_text(encoding="utf-8").splitlines()
        comment = next((line for line in lines if not line.startswith("# @")), "")
        choices[name] = comment.removeprefix("#").strip()
    return choices


def require_profile(overrides: Sequence[str]) -> None:
    """Check that somebody chose the sizes of a training: those of ``paper`` take days.

    Args:
        overrides: of a run or a sweep; an experiment or ablation may make the choice.

    Raises:
        ConfigError: nobody did; the line says what each profile costs.
    """
    for word in overrides:
        key, _, value = word.partition("=")
        defaults = read_choice(key, value).get("defaults", []) if key in CHOOSING else []
        if key == "profile" or any("override /profile" in entry for entry in defaults):
            return
    offered = [
        f"profile={name} ({about.partition(': ')[2]})"
        for name, about in describe_group("profile").items()
    ]
    raise ConfigError(f"profile is missing; give {' or '.join(offered)}")


def require_served(dataset: str, architecture: Mapping[str, Any]) -> None:
    """Check that an architecture is one for a data set.

    Raises:
        ConfigError: it is not.
    """
    if dataset not in architecture["serves"]:
        raise ConfigError(
            f"architecture={architecture['name']} can't serve dataset={dataset}; it serves "
            + ", ".join(architecture["serves"])
        )


def package_folders(package: str) -> list[Path]:
    """Return the folders of a top-level package; none if there is no such package."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


def find_source(module: str) -> Path | None:
    """Return the file of ``package.module``, or None.

    ``importlib.util.find_spec`` would import every package on the way, and what these import.
    """
    top, *inner = module.split(".")
    if not inner:
        spec = importlib.util.find_spec(top) if top else None
        return Path(spec.origin) if spec and spec.has_location and spec.origin else None
    for folder in package_folders(top):
        place = folder.joinpath(*inner)
        for path in (place.parent / f"{place.name}.py", place / "__init__.py"):
            if path.is_file():
                return path
    return None
