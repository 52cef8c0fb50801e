"""A step of a recorded run, made again and looked at closely."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mtl_bench.config.build import build_data
from mtl_bench.config.identity import config_hash
from mtl_bench.config.recorded import read_config
from mtl_bench.datasets.base import Batch
from mtl_bench.errors import ConfigError, Interrupted, RecordError, TrainingError
from mtl_bench.files import read_json
from mtl_bench.records.processes import latest_process
from mtl_bench.records.writer import RunRecord, spell_out
from mtl_bench.tracking.console import make_console
from mtl_bench.training.checkpoint import load_checkpoint, require_same_data
from mtl_bench.training.environment import prepare_process
from mtl_bench.training.probe import (
    bad_parameters,
    bad_targets,
    largest_parameter,
    watch_outputs,
)
from mtl_bench.training.trainer import Trainer
from mtl_bench.training.update import Step, Update


class Replay(NamedTuple):
    """What an update was made of when it was made again.

    Args:
        step: number of the update in the run.
        start: the update after which the replay began.
        incident: as ``Trainer.incident`` tells it.
        fault: what was refused, None if the update could be made.
        origins: where numbers stopped being finite, first things first.
        largest: the parameter with the largest absolute value before the update, and that value.
        same: whether these are the recorded numbers, bit for bit; None where none are recorded.
    """

    step: int
    start: int
    incident: dict[str, Any]
    fault: str | None
    origins: list[str]
    largest: tuple[str, float]
    same: bool | None


def replay(path: Path, step: int | None = None, data: Path | None = None) -> Replay:
    """Make one update of a recorded run again; the record stays as it is.

    Training goes on from the newest checkpoint before the step, in a folder of its own, or begins
    anew if there is none.

    Args:
        path: the record.
        step: number of the update, by default the one that failed.
        data: folder of prepared data, by default the one that the run read.

    Raises:
        RecordError: no run is there, or none that failed and no step was given.
        ConfigError: the run has no such step.
        TrainingError: the run failed at another step than before.
        Interrupted: a signal came before the step was reached.
    """
    config, environment = read_config(path), _environment(path / "environment.json")
    failure = _failed_update(path)
    step = step if step is not None else failure.get("step", -1) + 1
    if step < 1:
        raise RecordError(f"{path} has no update that failed: give step=N for the N-th of the run")
    if data is not None:
        config["dataset"]["root"] = str(data / config["dataset"]["name"])
    config["trainer"]["threads"] = environment["threads"]  # sums depend on how they are shared out
    config["trainer"].setdefault("determinism", "off")  # the way before the key existed
    device = prepare_process(config["trainer"])
    dataset = build_data(config)
    require_same_data(path, environment["data"], dataset.origin)
    with tempfile.TemporaryDirectory() as folder, RunRecord(Path(folder)) as record:
        _take_checkpoint(path, record, config, step)
        with make_console("off") as console, _of_record(path, record):
            trainer = Trainer(config, config_hash(config), device, dataset, record, console)
            found = _find(trainer, step)
    recorded = failure.get("update") if failure.get("step") == step - 1 else None
    same = None if recorded is None else recorded == spell_out(found.incident["update"])
    return found._replace(same=same)


class _Found(BaseException):
    """Carries a replay out of the training; nothing on the way takes it for a failure."""


class _Look(Update):
    """Makes updates as a trainer does, and looks closely at one of them."""

    def __init__(self, trainer: Trainer, step: int) -> None:
        before = trainer.update
        super().__init__(
            before.network,
            before.names,
            before.gradients,
            before.method,
            before.learners,
            before.restore,
        )
        self.trainer, self.step, self.start = trainer, step, trainer.progress.step

    def __call__(self, batches: Sequence[Batch]) -> Step:
        if self.trainer.progress.step + 1 < self.step:
            return super().__call__(batches)
        fault = None
        parameters, largest = bad_parameters(self.network), largest_parameter(self.network)
        with watch_outputs(self.network) as outputs:
            try:
                super().__call__(batches)
            except TrainingError as error:
                fault = str(error)
        incident = self.trainer.incident()
        targets = bad_targets(batches, incident["update"]["samples"])
        origins = [
            *(f"target {target}" for target in targets),
            *(f"parameter {name}" for name in parameters),
            *(f"output of {name}" for name in outputs),
        ]
        raise _Found(Replay(self.step, self.start, incident, fault, origins, largest, None))


@contextmanager
def _of_record(path: Path, copy: RunRecord) -> Iterator[None]:
    """Tell of a run's record what is told of the folder in which it is replayed."""
    try:
        yield
    except Interrupted as error:
        signal = str(error).partition(":")[0]
        raise Interrupted(
            f"{signal}: stopped before the step was reached; {path} is as it was, and the same "
            "command begins the replay again"
        ) from None
    except TrainingError as error:
        raise TrainingError(str(error).replace(str(copy.path), str(path))) from error


def _find(trainer: Trainer, step: int) -> Replay:
    steps = trainer.settings["epochs"] * trainer.steps_per_epoch
    if step > steps:
        raise ConfigError(f"step={step}: the run has {steps} steps")
    trainer.resume()
    trainer.update = _Look(trainer, step)
    try:
        trainer.run()
    except _Found as found:
        result: Replay = found.args[0]
        return result
    raise ConfigError(f"step={step}: the run has {trainer.progress.step} steps")


def _failed_update(path: Path) -> dict[str, Any]:
    if not (path / "FAILED.json").exists():
        return {}
    failure = _read(path / "FAILED.json")
    return failure if isinstance(failure.get("update"), dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path} holds no object")
    return content


def _environment(path: Path) -> dict[str, Any]:
    """Return what the process ran on that made the update that failed."""
    try:
        return latest_process(_read(path))
    except TypeError as error:
        raise RecordError(f"{path} can't be read: {error}") from error


def _take_checkpoint(path: Path, record: RunRecord, config: dict[str, Any], step: int) -> None:
    """Copy the run's checkpoints, if the newest that can be read was made before the step."""
    if not (path / "checkpoint").is_dir():
        return
    shutil.copytree(path / "checkpoint", record.checkpoints, dirs_exist_ok=True)
    state = load_checkpoint(record.checkpoints, config, config_hash(config), lambda _: None)
    if state is not None and state["progress"]["step"] >= step:
        for copy in record.checkpoints.iterdir():
            copy.unlink()
