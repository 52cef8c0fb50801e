"""The configuration of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from mtl_bench.errors import RecordError


def read_config(record: Path) -> dict[str, Any]:
    """Return the resolved configuration that a run's record holds.

    Args:
        record: the run's folder.

    Raises:
        RecordError: no run is there.
    """
    path = record / "config.yaml"
    if not path.is_file():
        raise RecordError(f"{record} holds no run: give results/PROFILE/DATASET/METHOD/RUN")
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))
