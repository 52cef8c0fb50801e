"""Tiny trainings with the real trainer, stopped and resumed at will."""

import copy
import json
import math
import os
import signal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from torch.nn import functional

from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.config.build import build_algorithm, build_data
from mtl_bench.config.compose import compose_config, compose_files
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import Interrupted
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.runtime.environment import choose_device
from mtl_bench.training.checkpoint import Checkpoints
from mtl_bench.training.observer import Observer
from mtl_bench.training.summary import summarize
from mtl_bench.training.trainer import Trainer, TrainerSettings

SIZES = (
    "dataset=qm9",
    "profile=smoke",
    "logger.progress=off",
    "dataset.train_size=75",
    "dataset.val_size=20",
    "dataset.test_size=20",
    "dataset.batch_size=20",
    "architecture.dim=4",
    "architecture.edge_hidden=4",
    "trainer.epochs=3",
    "trainer.device=cpu",
)
STEPS = 4
"""Steps of an epoch; the last batch is smaller."""

METHODS = {
    "ls": ("method=ls",),
    "stl": ("method=stl",),
    "taskforce": ("method=taskforce", "method.batch_size=4"),
}
"""Overrides with which every part of the method is at work within the first steps."""


SMALLEST = {
    "qm9": (*SIZES[3:], "dataset.train_size=40", "dataset.val_size=5", "dataset.test_size=5"),
    "nyuv2": ("dataset.train_size=4", "dataset.test_size=1", "architecture.width=0.01"),
    "cityscapes": (
        *("dataset.train_size=4", "dataset.test_size=1", "architecture.width=0.01"),
        "dataset.batch_size=2",
    ),
    "multimnist": ("dataset.train_size=8", "dataset.test_size=4", "dataset.batch_size=4"),
    "cifar100": ("dataset.train_size=2", "dataset.test_size=1", "dataset.batch_size=20"),
    "celeba": (
        *("dataset.train_size=4", "dataset.val_size=2", "dataset.test_size=2"),
        "dataset.batch_size=2",
    ),
}
"""Overrides that leave two batches to an epoch and a few channels to a network."""


class DropoutMPNN(MPNN):
    """A network that draws from torch's global generator at every step."""

    def representation(self, batch: Any) -> torch.Tensor:
        return functional.dropout(super().representation(batch), 0.2, self.training)


def config_of(data: Path, results: Path, *overrides: str) -> dict[str, Any]:
    return compose_once(data, results, *SIZES, *overrides)


def smallest(dataset: str, data: Path, results: Path, *overrides: str) -> dict[str, Any]:
    """Return the configuration of the smallest training on one of ``small_data``'s data sets."""
    common = ("profile=smoke", "logger.progress=off", "trainer.device=cpu", "trainer.epochs=2")
    return compose_once(
        data, results, f"dataset={dataset}", *SMALLEST[dataset], *common, *overrides
    )


def compose_once(data: Path, results: Path, *overrides: str) -> dict[str, Any]:
    """Return a configuration whose files Hydra puts together once for all folders."""
    paths = {"data": data, "results": results}
    return compose_config(overrides, {"paths": paths}, copy.deepcopy(_composed(overrides)))


_composed = cache(compose_files)


class Altered:
    """A data set whose training batches ``alter(epoch, number, batch)`` changes in place."""

    def __init__(self, data: Any, alter: Any) -> None:
        self.data, self.alter = data, alter

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def train_batches(self, epoch, start=0, **options):
        for number, batch in enumerate(self.data.train_batches(epoch, start, **options), start):
            self.alter(epoch, number, batch)
            yield batch


class Watcher(Observer):
    """Sees what a training does, and may act on it."""

    def __init__(self, step=lambda step: None, epoch=lambda line: None):
        self.steps, self.messages = 0, []
        self.step, self.epoch = step, epoch

    def on_step_end(self, trainer, results, error):
        if error is None:
            self.steps += 1
            self.step(self.steps)

    def on_epoch_end(self, trainer, line):
        self.epoch(line)

    def on_message(self, text):
        self.messages.append(text)


def stop_at(step: int, number: signal.Signals = signal.SIGTERM) -> Watcher:
    """Return an observer that sends this process a signal during a step."""
    return Watcher(lambda done: os.kill(os.getpid(), number) if done == step else None)


def parameters_of(trainer: Trainer) -> list[torch.nn.Parameter]:
    return trainer.algorithm.components[0].parameters


def trainer_of(
    config: dict[str, Any], record: RunRecord, *observers: Observer, data: Any = None
) -> Trainer:
    device = choose_device(config["trainer"]["device"])
    return Trainer(
        build_algorithm(config, data if data is not None else build_data(config), device),
        TrainerSettings.of(config["trainer"]),
        record,
        Checkpoints(record.checkpoints, config, config_hash(config)),
        device,
        observers,
    )


class End(NamedTuple):
    """What is left of a training."""

    state: dict[str, Any]
    metrics: list[dict[str, Any]]
    steps: dict[str, list[Any]]
    selected: dict[str, Any] | None


def train(config: dict[str, Any], *observers: Observer, data: Any = None) -> End:
    """Train, or go on with the training, until the end or an interruption."""
    digest = config_hash(config)
    with RunRecord(record_path(config, digest)) as record:
        trainer = trainer_of(config, record, *observers, data=data)
        trainer.resume()
        try:
            trainer.run()
            summary = summarize(config, digest, trainer)
        except Interrupted:
            summary = None
        lines = (record.path / "metrics.jsonl").read_text().splitlines()
        metrics = [json.loads(line) for line in lines]
        for line in metrics:
            del line["seconds"]
        steps = read_steps(record.steps)
        told = ("metrics", "selected_epochs", "untrained")
        selected = summary and {key: summary[key] for key in told}
        state = trainer.state_dict()
        del state[
            "step_log"
        ]  # hashes of files with times in them; the rows are compared themselves
        return End(state, metrics, steps, selected)


def read_steps(folder: Path) -> dict[str, list[Any]]:
    """Return the step log without its times."""
    parts = [pq.read_table(path).to_pydict() for path in sorted(folder.glob("*.parquet"))]
    names = [name for name in parts[0] if not name.startswith("seconds")]
    return {name: [value for part in parts for value in part[name]] for name in names}


def differences(first: Any, second: Any, key: str = "") -> list[str]:
    """Return the leaves in which two states differ by a single bit; times don't count."""
    if "seconds" in key or "memory" in key:
        return []
    if isinstance(first, dict):
        if first.keys() != second.keys():
            return [f"{key}: {first.keys() ^ second.keys()}"]
        return [d for k in first for d in differences(first[k], second[k], f"{key}.{k}")]
    if isinstance(first, list | tuple):
        if len(first) != len(second):
            return [f"{key}: {len(first)} and {len(second)} values"]
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{key}.{i}")]
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [key]
    if isinstance(first, float) and math.isnan(first):
        return [] if math.isnan(second) else [key]
    return [] if first == second else [f"{key}: {first} and {second}"]
