"""A step of a recorded run, made again and looked at closely."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from mtl_bench.config.build import build_algorithm, build_data
from mtl_bench.config.identity import config_hash
from mtl_bench.config.recorded import read_config
from mtl_bench.datasets.base import Batch
from mtl_bench.errors import (
    ConfigError,
    Interrupted,
    MtlBenchError,
    NonFiniteError,
    RecordError,
    warn,
)
from mtl_bench.files import read_json
from mtl_bench.inspect.probe import (
    bad_parameters,
    bad_targets,
    largest_parameter,
    watch_outputs,
)
from mtl_bench.records.environment import read_environment
from mtl_bench.records.writer import RunRecord, spell_out
from mtl_bench.runtime.environment import prepare_process
from mtl_bench.training.checkpoint import Checkpoints, require_same_data
from mtl_bench.training.observer import Observer
from mtl_bench.training.trainer import Trainer, TrainerSettings
from mtl_bench.training.update import StepResult


class ReplayedUpdate(NamedTuple):
    """What an update was made of when it was made again.

    Args:
        step: number of the update in the run.
        start: the update after which the replay began.
        incident: where the run was, and what is known of the update.
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


def replay(path: Path, step: int | None = None, data: Path | None = None) -> ReplayedUpdate:
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
    config, environment = read_config(path), read_environment(path)
    failure = _failed_update(path)
    step = step if step is not None else failure.get("step", -1) + 1
    if step < 1:
        raise RecordError(f"{path} has no update that failed: give step=N for the N-th of the run")
    if data is not None:
        config["dataset"]["root"] = str(data / config["dataset"]["name"])
    config["trainer"]["threads"] = environment["threads"]  # sums depend on how they are shared out
    config["trainer"].setdefault("determinism", "off")  # the way before the key existed
    config["trainer"]["compile"] = None  # whose modules could not be looked into
    device = prepare_process(config["trainer"])
    dataset = build_data(config)
    require_same_data(path, environment["data"], dataset.origin)
    with (
        tempfile.TemporaryDirectory() as folder,
        RunRecord(Path(folder)) as record,
        _of_record(path, record),
    ):
        _take_checkpoint(path, record, config, step)
        inspector = _StepInspector(step)
        trainer = Trainer(
            build_algorithm(config, dataset, device),
            TrainerSettings.of(config["trainer"]),
            record,
            Checkpoints(record.checkpoints, config, config_hash(config)),
            device,
            [inspector],
        )
        found = _inspect(trainer, inspector)
    recorded = failure.get("update") if failure.get("step") == step - 1 else None
    same = None if recorded is None else recorded == spell_out(found.incident["update"])
    return found._replace(same=same)


class _StepInspector(Observer):
    """Looks closely at one step of a training and ends it there."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.start = 0
        self.replay: ReplayedUpdate | None = None
        self._watching = ExitStack()
        self._where: dict[str, Any] = {}
        self._samples: list[list[str]] = []
        self._outputs: list[list[str]] = []
        self._origins: list[str] = []
        self._largest: tuple[str, float] = ("", 0.0)

    def on_train_start(self, trainer: Trainer) -> None:
        """Note where the replay begins."""
        self.start = trainer.progress.step

    def on_step_start(self, trainer: Trainer, data: Sequence[Batch]) -> None:
        """Look at targets and parameters, and begin to watch the outputs."""
        if trainer.progress.step + 1 != self.step:
            return
        networks = {c.name: c.module for c in trainer.algorithm.components}
        samples = trainer.algorithm.sample_names(trainer.progress.epoch, trainer.progress.batch)
        self._where, self._samples = trainer.incident(), samples
        largest = [(name, *largest_parameter(network)) for name, network in networks.items()]
        owner, parameter, value = max(largest, key=lambda found: abs(found[2]))
        self._largest = f"{owner} {parameter}".strip(), value
        self._origins = [
            *(f"target {target}" for target in (bad_targets(data, samples) if samples else ())),
            *(
                f"parameter {f'{owner} {name}'.strip()}"
                for owner, network in networks.items()
                for name in bad_parameters(network)
            ),
        ]
        self._outputs = [
            self._watching.enter_context(watch_outputs(network)) for network in networks.values()
        ]

    def on_step_end(
        self, trainer: Trainer, results: Sequence[StepResult], error: MtlBenchError | None
    ) -> None:
        """Keep what was found.

        Raises:
            ConfigError: the step updated nothing.
        """
        made = trainer.progress.step if error is None else trainer.progress.step + 1
        if made != self.step:
            return
        self._watching.close()
        if error is not None and not isinstance(error, NonFiniteError):
            return  # it ends a replay as it ends a training
        if error is None and not results:
            raise ConfigError(
                f"step={self.step}: all tasks were left out of it, so that nothing was updated: "
                "choose another step"
            )
        result = results[0] if error is None else error.result
        assert result is not None
        incident = self._where | {"update": {"samples": self._samples, **result.describe()}}
        origins = [*self._origins, *(f"output of {name}" for name in chain(*self._outputs))]
        self.replay = ReplayedUpdate(
            self.step,
            self.start,
            incident,
            None if error is None else str(error),
            origins,
            self._largest,
            None,
        )
        trainer.stop("replayed")


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
    except MtlBenchError as error:
        error.args = (str(error).replace(str(copy.path), str(path)),)
        raise


def _inspect(trainer: Trainer, inspector: _StepInspector) -> ReplayedUpdate:
    """Train up to the inspected step and return what was found.

    Raises:
        ConfigError: the run has no such step.
    """
    step, steps = inspector.step, trainer.settings.epochs * trainer.algorithm.steps_per_epoch
    if step > steps:
        raise ConfigError(f"step={step}: the run has {steps} steps")
    trainer.resume()
    try:
        trainer.run()
    except MtlBenchError:
        if inspector.replay is None:
            raise
    if inspector.replay is None:
        raise ConfigError(f"step={step}: the run has {trainer.progress.step} steps")
    return inspector.replay


def _failed_update(path: Path) -> dict[str, Any]:
    path = path / "FAILED.json"
    if not path.exists():
        return {}
    try:
        failure = read_json(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} can't be read: {error}") from error
    if not isinstance(failure, dict):
        raise RecordError(f"{path} holds no object")
    return failure if isinstance(failure.get("update"), dict) else {}


def _take_checkpoint(path: Path, record: RunRecord, config: dict[str, Any], step: int) -> None:
    """Copy the run's checkpoints, if the newest that can be read was made before the step."""
    if not (path / "checkpoint").is_dir():
        return
    shutil.copytree(
        path / "checkpoint",
        record.checkpoints,
        copy_function=shutil.copyfile,
        dirs_exist_ok=True,
    )
    record.checkpoints.chmod(0o755)  # also where the record is read-only
    checkpoints = Checkpoints(record.checkpoints, config, config_hash(config))
    try:
        state = checkpoints.load(lambda _: None)
        useless = state is not None and state["progress"]["step"] >= step
    except RecordError as error:
        reason = str(error).rpartition(": ")[0].replace(str(record.path), str(path))
        warn(f"{reason}: the replay begins at the first step")
        useless = True
    if useless:
        for copy in record.checkpoints.glob("*.pt"):
            copy.unlink()
