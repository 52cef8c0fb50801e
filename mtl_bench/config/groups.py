"""The configuration folder and what its groups offer, read without Hydra."""

from __future__ import annotations

from pathlib import Path

GROUPS = {
    "datasets": "dataset",
    "architectures": "architecture",
    "methods": "method",
    "protocols": "protocol",
    "profiles": "profile",
    "loggers": "logger",
    "ablations": "ablation",
    "experiments": "experiment",
}
"""What ``mtl-bench list`` knows, and the config group behind each word."""


def find_config_folder() -> Path:
    """Return the folder of configs: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def describe_group(group: str) -> dict[str, str]:
    """Return name -> one-line description of every choice of a config group.

    The description is the file's first comment, ``# Name: what it is``, below Hydra's header.
    """
    choices = {}
    for path in sorted((find_config_folder() / group).glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = next((line for line in lines if not line.startswith("# @")), "")
        choices[path.stem] = comment.removeprefix("#").strip()
    return choices
