"""What a run ran on, and settings of the process that make it fast."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mtl_bench.algorithms.base import Algorithm
from mtl_bench.config.groups import GROUPS, find_choices, find_sources
from mtl_bench.config.identity import settings_of
from mtl_bench.config.overrides import find_overrides
from mtl_bench.errors import ConfigError
from mtl_bench.ranks import ALONE, Ranks, local_processes, local_rank
from mtl_bench.records.writer import now
from mtl_bench.runtime.memory import forget_peak, reuse_freed_memory
from mtl_bench.runtime.processor import processor_name

PACKAGES = ("mtl_bench", "torch", "numpy", "hydra-core", "omegaconf")

WORKERS = 8
"""Processes that prepare batches for a GPU, if there are cores for them."""


def prepare_process(settings: dict[str, Any], ranks: Ranks = ALONE) -> torch.device:
    """Set up this process as the section ``trainer`` of a configuration says; return the device.

    Args:
        settings: of the run.
        ranks: the processes that train together; on a machine with GPUs each has one of its own.

    Raises:
        ConfigError: there is no such device.
    """
    if settings["threads"] is not None:
        torch.set_num_threads(settings["threads"])
    reuse_freed_memory()
    set_tf32()
    set_determinism(settings["determinism"])
    device = choose_device(settings["device"])
    if ranks.size > 1 and device.type == "cuda":
        device = choose_device(f"cuda:{local_rank()}")
        torch.cuda.set_device(device)
    forget_peak(device)
    return device


Determinism = Literal["off", "warn", "strict"]


def set_determinism(mode: Determinism) -> None:
    """Choose the algorithms of this process; call it before the GPU is used.

    On a CPU, with the same number of threads, runs repeat themselves in every mode. On a GPU some
    operations have no deterministic algorithm: ``warn`` uses one where there is one and warns
    where there is none, ``strict`` stops there, and ``off`` takes the fastest.

    Args:
        mode: ``off``, ``warn`` or ``strict``.
    """
    torch.use_deterministic_algorithms(mode != "off", warn_only=mode == "warn")
    # else torch fills every new tensor with NaN, for mistakes that are not ours, and slowly
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = mode != "off"
    torch.backends.cudnn.benchmark = mode == "off"  # what it finds fastest varies from run to run
    if mode != "off":  # cuBLAS reads it when its first handle is made
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def set_tf32() -> None:
    """Let convolutions on a GPU round their inputs to TF32, and matrix products not.

    These are torch's defaults, with which the papers' codes ran; set here, no other version of
    torch and no environment variable changes them.
    """
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = False


def uses_tf32() -> dict[str, bool]:
    """Return what of a GPU's float32 operations rounds its inputs to TF32."""
    return {
        "convolutions": torch.backends.cudnn.allow_tf32,
        "products": torch.backends.cuda.matmul.allow_tf32,
    }


def choose_device(name: str) -> torch.device:
    """Return the device that ``trainer.device`` names.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(f"trainer.device={name}: this machine has {count} CUDA devices")
    return device


def choose_workers(workers: int | Literal["auto"], device: torch.device) -> int:
    """Return how many processes prepare batches.

    ``auto`` is none beside a CPU, which they would share with the training, and beside a GPU one
    for each usable core but the training's, `WORKERS` at most. Processes that train together on one
    machine share its cores.
    """
    if workers != "auto":
        return workers
    cores = max(1, len(os.sched_getaffinity(0)) // local_processes())
    return min(WORKERS, cores - 1) if device.type == "cuda" else 0


def loader_workers(config: dict[str, Any], device: torch.device) -> int:
    """Return how many processes prepare a run's batches: none where the data lie on its device."""
    if config["dataset"].get("resident"):
        return 0
    return choose_workers(config["trainer"]["workers"], device)


def describe_environment(
    config: dict[str, Any], device: torch.device, algorithm: Algorithm, processes: int = 1
) -> dict[str, Any]:
    """Return what environment.json says of the machine, the code and the data.

    Args:
        config: of the run.
        device: of this process.
        algorithm: what it learns from.
        processes: how many train together.
    """
    return {
        "started": now(),
        "command": ["mtl-bench", *sys.argv[1:]],
        "overrides": find_overrides(settings_of(config)),
        "git": _git_state(Path(__file__).parent),
        "added": describe_added(config),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "device": device_name(device, config["trainer"].get("compile")),
        "processes": processes,
        "threads": torch.get_num_threads(),
        "workers": loader_workers(config, device),
        "determinism": config["trainer"]["determinism"],
        "tf32": uses_tf32(),
        "data": algorithm.origin,
        "score": algorithm.score.describe(),
        "initial_parameters": parameter_hash(c.module for c in algorithm.components),
    }


def describe_added(config: dict[str, Any]) -> dict[str, Any]:
    """Return import name -> distribution, version and git state of the added packages in use."""
    chosen = {
        choices[config[group]["name"]].package
        for group in GROUPS.values()
        if group in config and config[group]["name"] in (choices := find_choices(group))
    }
    return {
        source.package: {
            "distribution": source.distribution,
            "version": source.version,
            "git": _git_state(source.folder),
        }
        for source in find_sources()
        if source.distribution is not None and source.package in chosen
    }


def device_name(device: torch.device, compile: str | None = None) -> str:
    """Return the name of the GPU, or of the processor, and how it is used.

    Costs of runs are compared where it is the same.

    Args:
        device: of this process.
        compile: ``trainer.compile``.
    """
    name = processor_name()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return name if compile is None else f"{name}, torch.compile {compile}"


def parameter_hash(networks: Iterable[nn.Module]) -> str:
    """Return a SHA-256 over all parameters; equal seeds must give equal hashes."""
    digest = hashlib.sha256()
    for name, parameter in (pair for network in networks for pair in network.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and whether files differ from it; None where git doesn't keep the folder."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", ".")  # not of a checkout around the installed package
        return {
            "commit": git("rev-parse", "HEAD"),
            "modified": bool(git("status", "--porcelain", "-uno")),
        }
    except (OSError, subprocess.SubprocessError):
        return None
