"""The training loop: one loop for every algorithm, data set, architecture and method."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch

from mtl_bench.advice import command
from mtl_bench.algorithms.base import Algorithm, Component, Metrics
from mtl_bench.errors import (
    ConfigError,
    Interrupted,
    LostProcessError,
    MtlBenchError,
    NonFiniteError,
    RecordError,
    TrainingError,
)
from mtl_bench.ranks import ALONE, Ranks
from mtl_bench.records.steps import CURVATURE, StepLog
from mtl_bench.records.writer import RunRecord
from mtl_bench.runtime.memory import peak_memory_bytes
from mtl_bench.seeding import generator_states, set_generator_states
from mtl_bench.signals import StopRequest
from mtl_bench.training.checkpoint import Checkpoints, restoring
from mtl_bench.training.observer import Observer
from mtl_bench.training.progress import Progress
from mtl_bench.training.update import StepResult, Update, check_finite_state


@dataclass(frozen=True)
class TrainerSettings:
    """How a training is carried out; see ``trainer`` in configs/train.yaml."""

    epochs: int
    checkpoint_minutes: float = 10.0
    on_nonfinite: Literal["abort", "skip"] = "abort"
    log_every: int = 1
    curvature_every: int | None = None

    @classmethod
    def of(cls, section: dict[str, Any]) -> TrainerSettings:
        """Return the settings among the keys of a configuration's section ``trainer``."""
        return cls(**{f.name: section[f.name] for f in fields(cls) if f.name in section})


class Trainer:
    """Trains one run and can continue it bit for bit.

    Of several processes that train together each has a trainer. They make the same steps; what is
    written is written by process 0, and what stops one of them stops all after the same step.

    Args:
        algorithm: what is learned from.
        settings: how.
        record: the run record, which process 0 has opened.
        checkpoints: where its states are kept.
        device: whose memory and random generator count.
        observers: listen to it.
        ranks: the processes that train together.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        settings: TrainerSettings,
        record: RunRecord,
        checkpoints: Checkpoints,
        device: torch.device,
        observers: Sequence[Observer] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        self.algorithm, self.settings, self.record = algorithm, settings, record
        self.checkpoints, self.device, self.observers = checkpoints, device, tuple(observers)
        self.ranks = ranks
        if ranks.size > 1 and settings.curvature_every is not None:
            raise ConfigError(
                f"trainer.curvature_every={settings.curvature_every}: one process measures it, and "
                f"torchrun has started {ranks.size}: leave one of the two out"
            )
        self.names = tuple(task.name for task in algorithm.tasks)
        algorithm.tell = self.tell
        if ranks.leads:
            algorithm.keep_in(checkpoints.folder)
        for component in algorithm.components:
            component.method.task_names = self.names
        self.update = Update(self.names, settings.on_nonfinite == "skip", ranks)
        self.progress = Progress()
        self.step_logs = {
            component.name: StepLog(record.steps, self.names, component.name, settings.log_every)
            for component in algorithm.components
        }
        self.saved_at = time.monotonic()
        self._others: list[dict[str, Any]] = []
        """States of the generators of processes 1, 2, ... as of the latest step to be saved."""
        self._unread: list[tuple[int, int, list[StepResult]]] = []
        """Step, epoch and updates whose losses may still be on the device."""
        self._stop = StopRequest()
        self._finished = False
        self._failed: StepResult | None = None

    def run(self) -> None:
        """Train to the end, from where `resume` has left off.

        Raises:
            TrainingError: something stopped being finite.
            Interrupted: a signal or an observer asked to stop; the same command continues.
        """
        for observer in self.observers:
            observer.on_train_start(self)
        with self._stop:
            while not self._finished and self.progress.epoch <= self.settings.epochs:
                self.train_epoch()
                self.end_epoch()

    def finish(self, reason: str) -> None:
        """Make the epoch that has ended the last one; the run is finished with it."""
        self._finished = True
        self.tell(reason)

    def stop(self, reason: str) -> None:
        """Interrupt the training after the running step, as a signal would."""
        self._stop.ask(reason)

    def resume(self) -> bool:
        """Go back to the newest checkpoint and return whether there is one.

        Raises:
            RecordError: there is, but not of this run; the record is as it was.
        """
        with self.ranks.agreeing():
            self._require_one_origin()
        state = self.ranks.lead(lambda: self.checkpoints.load(self.tell, self.algorithm.damaged))
        if state is not None:
            restored = restoring(self.record.path, state, self.algorithm.origin)
            with self.ranks.agreeing(), restored:
                self.load_state_dict(state)
        self.ranks.lead(lambda: self._resume_record(state))
        return state is not None

    def _require_one_origin(self) -> None:
        """Raise if the processes do not learn from the same data."""
        origins = self.ranks.gather(self.algorithm.origin)
        for number, origin in enumerate(origins):
            if origin != origins[0]:
                raise RecordError(
                    f"process {number} has other data ({origin}) than process 0 ({origins[0]}): "
                    "give them the same paths.data, or prepare the data anew on its machine"
                )

    def _resume_record(self, state: dict[str, Any] | None) -> None:
        """Let the record's files hold what the checkpoint knows of."""
        logged = state["step_log"] if state else None
        for log in self.step_logs.values():
            for part in log.store.resume(logged):
                self.tell(
                    f"{self.record.steps / part} was missing or damaged: its steps are lost to "
                    "the figures, the training is not affected"
                )
        self.record.keep_epochs(self.progress.history)

    def tell(self, text: str) -> None:
        """Show a line to a person."""
        for observer in self.observers:
            observer.on_message(text)

    def train_epoch(self) -> None:
        """Make the steps that are left of the running epoch."""
        progress = self.progress
        steps = self.algorithm.epoch(progress.epoch, progress.batch)
        begin = time.perf_counter()
        while (data := self._next(steps)) is not None:
            progress.add_time("data", time.perf_counter() - begin)
            self.train_step(data)
            progress.batch += 1
            asked, due = self.ranks.any(self._stop.name is not None, self._is_due())
            if asked or due:
                self.save()
            if asked:
                raise Interrupted(
                    f"{self.ranks.first(self._stop.name)}: stopped in epoch {progress.epoch} after "
                    f"step {progress.step}; the same command continues there"
                )
            begin = time.perf_counter()

    def _next(self, steps: Iterator[Any]) -> Any:  # noqa: ANN401 - the algorithm's own data
        """Return the data of the next step; what they fail on costs no step before it."""
        try:
            with self.ranks.agreeing():
                return next(steps, None)
        except LostProcessError:
            raise
        except MtlBenchError:
            self.save()
            raise

    def train_step(self, data: Any) -> None:  # noqa: ANN401 - the algorithm's own data
        """Make one step, or refuse it when something in it is not finite.

        Raises:
            TrainingError: it is refused and ``trainer.on_nonfinite`` is ``abort``, or leaving it
                out would not help.
        """
        results: list[StepResult] = []

        def update(component: Component, data: Any) -> StepResult:  # noqa: ANN401
            results.append(self.update(component, data))
            return results[-1]

        for observer in self.observers:
            observer.on_step_start(self, data)
        every = self.settings.curvature_every
        self.update.where = self._where()
        self.update.measures_curvature = every is not None and not (self.progress.step + 1) % every
        error: MtlBenchError | None = None
        try:
            self.algorithm.step(data, update)
        except MtlBenchError as refused:
            error = refused
        else:
            self.log(results)
        for observer in self.observers:
            observer.on_step_end(self, results, error)
        if isinstance(error, NonFiniteError):
            self.refuse(error)
        elif error is not None:
            raise error

    def refuse(self, error: NonFiniteError) -> None:
        """Leave a step out, or stop."""
        progress = self.progress
        component = f"{error.result.component}: " if error.result and error.result.component else ""
        where = error.result.where if error.result else self._where()
        message = f"{component}{error} at epoch {where['epoch']}, step {where['step'] + 1}"
        if self.settings.on_nonfinite == "abort" or not error.recoverable:
            self._failed = error.result
            skip = ", with trainer.on_nonfinite=skip the run goes on without such batches"
            replay = command("replay", str(self.record.path))
            raise TrainingError(
                f"{message}; nothing of this update is kept, `{replay}` shows where it comes "
                f"from{skip * error.recoverable}"
            )
        self.tell(f"skipped a batch: {message}")
        progress.skipped += 1

    def incident(self) -> dict[str, Any]:
        """Return where the run is, and of a step that failed all that is known of it."""
        if self._failed is None:
            return self._where()
        where = self._failed.where
        samples = self.algorithm.sample_names(where["epoch"], where["batch"])
        return where | {"update": {"samples": samples, **self._failed.describe()}}

    def _where(self) -> dict[str, int]:
        """Return how far the run is."""
        progress = self.progress
        return {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step}

    def log(self, results: list[StepResult]) -> None:
        """Note a step: its times at once, its losses when they are on the host."""
        progress = self.progress
        progress.step += 1
        for result in results:
            for phase, spent in result.seconds.items():
                progress.add_time(phase, spent)
        self._unread.append((progress.step, progress.epoch, results))
        if all(result.known_losses_S is not None for result in results):
            self._note_unread()
        elif progress.step % self.settings.log_every == 0:
            self.settle()

    def settle(self) -> None:
        """Bring what the steps have left on the device, and note it in sums and step logs.

        Raises:
            TrainingError: it tells of something that was not finite.
        """
        try:
            self.update.transfers.now()
        except NonFiniteError as error:
            self.refuse(error)
        self._note_unread()

    def _note_unread(self) -> None:
        """Note the steps whose losses have come to the host."""
        unread, self._unread = self._unread, []
        for step, epoch, results in unread:
            self.progress.add_step(results)
            if self.ranks.leads:
                self._keep(step, epoch, results)

    def _keep(self, step: int, epoch: int, results: Sequence[StepResult]) -> None:
        """Add a step to the step logs."""
        for result in results:
            assert result.weights_T is not None
            self.step_logs[result.component].add(
                step,
                epoch,
                result.tasks,
                result.losses_S.numpy(),
                result.weights_T.numpy(),
                None if result.gram_SS is None else result.gram_SS.numpy(),
                result.diagnostics
                | ({} if self.settings.curvature_every is None else {CURVATURE: result.curvature})
                | {f"seconds_{k}": s for k, s in result.seconds.items()},
            )

    def end_epoch(self) -> None:
        """Evaluate, select, move the schedules on, and write everything down."""
        progress, algorithm = self.progress, self.algorithm
        if progress.batch == progress.skipped:
            raise TrainingError(f"every batch of epoch {progress.epoch} was skipped as not finite")
        self.settle()
        self._note_others()
        metrics: dict[Any, Metrics] = {}
        for split in algorithm.splits:
            begin = time.perf_counter() - progress.seconds["checkpoint"]
            where = f"the {split} split after epoch {progress.epoch}"
            with self.ranks.agreeing():
                metrics[split] = algorithm.evaluate(split, where, self.pause)
            end = time.perf_counter() - progress.seconds["checkpoint"]
            progress.add_time(split, end - begin)
        metrics = self.ranks.share(metrics)
        for component in algorithm.components:
            component.method.end_epoch()
        rate = algorithm.learning_rate()
        scores = algorithm.end_epoch(progress.epoch, metrics)
        line = progress.describe_epoch({**metrics, **scores}, rate)
        progress.finish_epoch(line)
        self.ranks.lead(lambda: self.record.append_epoch(line))
        self.save()
        for observer in self.observers:
            observer.on_epoch_end(self, line)

    def _is_due(self) -> bool:
        """Tell whether ``trainer.checkpoint_minutes`` have passed since the last checkpoint."""
        return time.monotonic() - self.saved_at > 60 * self.settings.checkpoint_minutes

    def pause(self) -> None:
        """Write a checkpoint within an evaluation if one is due.

        What goes on from one within an evaluation evaluates again: until the end of its evaluation
        an epoch changes nothing but times.
        """
        if self.ranks.leads and self._is_due():
            self._write()

    def save(self) -> None:
        """Write the step log and a checkpoint from which training goes on bit for bit."""
        self.settle()
        self._note_others()
        self.ranks.lead(self._write)
        self.saved_at = time.monotonic()

    def _note_others(self) -> None:
        """Ask the other processes for what a checkpoint holds of them."""
        peak = max(self.progress.peak_memory_bytes, peak_memory_bytes(self.device))
        known = self.ranks.gather((generator_states(self.device), peak))
        self._others = [states for states, _ in known[1:]]
        self.progress.peak_memory_bytes = max(peak for _, peak in known)

    def _write(self) -> None:
        begin = time.perf_counter()
        for log in self.step_logs.values():
            log.flush()
        self.algorithm.write()
        state = self.state_dict()
        self.checkpoints.save(state)
        self.progress.add_time("checkpoint", time.perf_counter() - begin)
        self.saved_at = time.monotonic()
        for observer in self.observers:
            observer.on_checkpoint(self)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on.

        Raises:
            TrainingError: a tensor of the algorithm's state is not finite.
        """
        own = self.algorithm.state_dict()
        check_finite_state(own)
        return {
            "data": self.algorithm.origin,
            **own,
            "progress": self.progress.state_dict(),
            "step_log": {
                "parts": {
                    name: digest
                    for log in self.step_logs.values()
                    for name, digest in log.store.parts.items()
                },
                "lost": self.lost_parts,
            },
            "generators": generator_states(self.device),
            **({"other_generators": self._others} if self._others else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned, maybe of another number of processes.

        One that was not there before goes on with its generators as they are.
        """
        self.algorithm.load_state_dict(state)
        self.progress = Progress(**state["progress"])
        generators = [state["generators"], *state.get("other_generators", ())]
        if self.ranks.number < len(generators):
            set_generator_states(generators[self.ranks.number], self.device)

    @property
    def lost_parts(self) -> list[str]:
        """Names of parts of the step logs that were damaged and removed."""
        return [part for log in self.step_logs.values() for part in log.store.lost]
