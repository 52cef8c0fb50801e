"""The training loop: one loop for every data set, architecture and method."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import fmean
from typing import Any

import torch

from mtl_bench.config.build import build_network, build_run_method
from mtl_bench.datasets.base import Batch, Dataset, Split, evaluated_splits
from mtl_bench.errors import Interrupted, MtlBenchError, NonFiniteError, TrainingError
from mtl_bench.records.steps import StepLog
from mtl_bench.records.writer import RunRecord
from mtl_bench.seeding import generator_states, seed_everything, set_generator_states
from mtl_bench.signals import StopRequest
from mtl_bench.tracking.console import TrainingConsole
from mtl_bench.tracking.mirror import NO_MIRROR, Mirror
from mtl_bench.training.checkpoint import load_checkpoint, restoring, save_checkpoint
from mtl_bench.training.environment import choose_workers
from mtl_bench.training.evaluation import Metrics, evaluate
from mtl_bench.training.learner import conclude_epoch, make_learners
from mtl_bench.training.memory import peak_memory_bytes
from mtl_bench.training.network_checks import GradientFlow
from mtl_bench.training.progress import Progress
from mtl_bench.training.step_gradients import StepGradients
from mtl_bench.training.summary import summarize
from mtl_bench.training.update import Step, Update, require_whole


class Trainer:
    """Trains one run and can continue it bit for bit.

    Args:
        config: resolved configuration.
        digest: its hash.
        device: where the network lives.
        data: the data set.
        record: the open run record.
        console: what a person sees.
        mirror: what a dashboard sees.
    """

    def __init__(
        self,
        config: dict[str, Any],
        digest: str,
        device: torch.device,
        data: Dataset,
        record: RunRecord,
        console: TrainingConsole,
        mirror: Mirror = NO_MIRROR,
    ) -> None:
        self.config, self.digest, self.device, self.data = config, digest, device, data
        self.record, self.console, self.mirror = record, console, mirror
        self.settings = config["trainer"]
        self.loading: dict[str, Any] = {
            "workers": choose_workers(self.settings["workers"], device),
            "pin": device.type == "cuda",
        }
        seed_everything(config["seed"])
        self.tasks = data.tasks
        self.names = tuple(task.name for task in self.tasks)
        self.method = build_run_method(config, len(self.tasks))
        self.method.task_names = self.names
        separate = self.method.separate_networks
        self.network = build_network(config, self.names, separate).to(self.device)
        self.gradients = StepGradients(
            self.network,
            self.tasks,
            self.method,
            device,
            precision=self.settings["precision"],
            flow=GradientFlow(self.network, self.names, console.message),
            **config["gradients"],
        )
        self.shared = self.gradients.shared
        self.learners = make_learners(self.tasks, self.network, separate, config)
        self.update = Update(
            self.network,
            self.names,
            self.gradients,
            self.method,
            self.learners,
            restore=self.settings["on_nonfinite"] == "skip",
        )
        self.progress = Progress()
        self.steps = StepLog(record.steps, self.names)
        self.steps_per_epoch = -(-data.steps_per_epoch // self.settings["accumulate"])
        self.saved_at = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Train to the end, from where `resume` has left off, and return the summary.

        Raises:
            TrainingError: something stopped being finite.
            Interrupted: a signal asked to stop; the same command continues.
        """
        self.console.start(
            self.record.path.as_posix(),
            epochs=self.settings["epochs"],
            steps_per_epoch=self.steps_per_epoch,
            tasks=self.names,
            first_epoch=self.progress.epoch,
            history=self.progress.history,
        )
        self.mirror.look(len(self.progress.history), self.progress.step)
        with StopRequest() as stop:
            while self.progress.epoch <= self.settings["epochs"]:
                self.train_epoch(stop)
                self.end_epoch()
        return summarize(self)

    def resume(self) -> bool:
        """Go back to the newest checkpoint and return whether there is one.

        Raises:
            RecordError: there is, but not of this run; the record is as it was.
        """
        state = load_checkpoint(
            self.record.checkpoints, self.config, self.digest, self.console.message
        )
        if state is not None:
            with restoring(self.record.path, state, self.data.origin):
                self.load_state_dict(state)
        for part in self.steps.resume(state["step_log"] if state else None):
            self.console.message(
                f"{self.record.steps / part} was missing or damaged: its steps are lost to the "
                "figures, the training is not affected"
            )
        self.record.keep_epochs(self.progress.history)
        return state is not None

    def train_epoch(self, stop: StopRequest) -> None:
        """Train on the batches that are left of the running epoch."""
        progress = self.progress
        self.network.train()
        batches = self.data.train_batches(
            progress.epoch,
            start=progress.batch * self.settings["accumulate"],
            **self.loading,
        )
        begin = time.perf_counter()
        while group := self.next_group(batches):
            progress.spend("data", time.perf_counter() - begin)
            self.train_step(group)
            progress.batch += 1
            if stop.name is not None:
                self.save()
                raise Interrupted(
                    f"{stop.name}: stopped in epoch {progress.epoch} after step {progress.step}; "
                    "the same command continues there"
                )
            self.save_if_due()
            begin = time.perf_counter()

    def next_group(self, batches: Iterator[Batch]) -> list[Batch]:
        """Return the batches of the next update; what they fail on costs no update before it."""
        try:
            return list(islice(batches, self.settings["accumulate"]))
        except MtlBenchError:
            self.save()
            raise

    def train_step(self, batches: Sequence[Batch]) -> None:
        """Make one update, or refuse it when something in it is not finite.

        Raises:
            TrainingError: it is refused and ``trainer.on_nonfinite`` is ``abort``, or leaving it
                out would not help.
        """
        progress = self.progress
        try:
            step = self.update(batches)
        except NonFiniteError as fault:
            message = f"{fault} at epoch {progress.epoch}, step {progress.step + 1}"
            if self.settings["on_nonfinite"] == "abort" or not fault.recoverable:
                skip = ", with trainer.on_nonfinite=skip the run goes on without such batches"
                raise TrainingError(
                    f"{message}; nothing of this update is kept, `mtl-bench replay "
                    f"{self.record.path}` shows where it comes from{skip * fault.recoverable}"
                ) from None
            self.update.known = {}
            self.console.message(f"skipped a batch: {message}")
            progress.skipped += 1
            return
        self.log(step)
        self.update.known = {}
        for phase, spent in step.seconds.items():
            progress.spend(phase, spent)

    def incident(self) -> dict[str, Any]:
        """Return where the run is, and of an update that failed all that is known of it."""
        progress = self.progress
        where = {"epoch": progress.epoch, "batch": progress.batch, "step": progress.step}
        if not self.update.known:
            return where
        each = self.settings["accumulate"]
        samples = [
            self.data.sample_names(progress.epoch, progress.batch * each + number)
            for number in range(min(each, self.data.steps_per_epoch - progress.batch * each))
        ]
        return where | {"update": {"samples": samples, **self.update.known}}

    def log(self, step: Step) -> None:
        """Note the step in the sums, the step log and on the console."""
        gradients, progress = step.gradients, self.progress
        losses, weights = self.update.known["losses"], self.update.known["weights"]
        progress.add_step(losses, weights)
        progress.fallbacks += bool(step.diagnostics.get("solver_fallback"))
        gram_TT = gradients.known_gram_TT
        self.steps.add(
            progress.step,
            progress.epoch,
            gradients.tasks,
            gradients.losses_T.numpy(),
            step.weights_T.numpy(),
            None if gram_TT is None else gram_TT.numpy(),
            step.diagnostics | {f"seconds_{phase}": s for phase, s in step.seconds.items()},
        )
        self.console.step(progress.batch + 1, losses, weights)

    def end_epoch(self) -> None:
        """Evaluate, select, move the schedules on, and write everything down."""
        progress = self.progress
        if progress.batch == progress.skipped:
            raise TrainingError(f"every batch of epoch {progress.epoch} was skipped as not finite")
        metrics: dict[str, Metrics] = {}
        for split in evaluated_splits(self.data):
            begin = time.perf_counter() - progress.seconds["checkpoint"]
            batches = self.saving(self.data.evaluation_batches(split, **self.loading))
            where = f"the {split} split after epoch {progress.epoch}"
            metrics[split] = evaluate(self.network, batches, self.tasks, self.device, where)
            end = time.perf_counter() - progress.seconds["checkpoint"]
            progress.spend(split, end - begin)
        self.method.end_epoch()
        rates = [learner.learning_rate() for learner in self.learners]
        shown: Split = "validation" if self.data.has_validation else "test"
        delta_m = conclude_epoch(
            self.learners, progress.epoch, metrics[shown], validated=self.data.has_validation
        )
        found = {**metrics, f"delta_m_{shown}": delta_m}
        line = progress.describe_epoch(self.names, found, fmean(rates))
        progress.close_epoch(line)
        self.record.append_epoch(line)
        self.save()
        self.console.epoch(line)

    def saving(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield batches of an evaluation, and write a checkpoint between them when it is due.

        What goes on from there evaluates again: until the end of its evaluation an epoch changes
        nothing but times.
        """
        for batch in batches:
            yield batch
            self.save_if_due()

    def save_if_due(self) -> None:
        """Write a checkpoint if ``trainer.checkpoint_minutes`` have passed since the last one."""
        if time.monotonic() - self.saved_at > 60 * self.settings["checkpoint_minutes"]:
            self.save()

    def save(self) -> None:
        """Write the step log and a checkpoint from which training goes on bit for bit."""
        begin = time.perf_counter()
        peak = peak_memory_bytes(self.device)
        self.progress.peak_memory_bytes = max(self.progress.peak_memory_bytes, peak)
        self.steps.flush()
        state = self.state_dict()
        require_whole({part: state[part] for part in ("network", "method", "learners")})
        save_checkpoint(self.record.checkpoints, state, self.config, self.digest)
        self.progress.spend("checkpoint", time.perf_counter() - begin)
        self.saved_at = time.monotonic()
        self.mirror.look(len(self.progress.history), self.progress.step)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step depends on.

        The order of batches is a function of the seed and the epoch, so it needs no state.
        """
        return {
            "data": self.data.origin,
            "network": self.network.state_dict(),
            "method": self.method.state_dict(),
            "learners": [learner.state_dict() for learner in self.learners],
            "progress": self.progress.state_dict(),
            "step_log": self.steps.state_dict(),
            "generators": generator_states(self.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.network.load_state_dict(state["network"])
        self.method.load_state_dict(state["method"])
        for learner, own in zip(self.learners, state["learners"], strict=True):
            learner.load_state_dict(own)
        self.progress = Progress(**state["progress"])
        set_generator_states(state["generators"], self.device)
