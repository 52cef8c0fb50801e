"""A recorded run from Python: its configuration, results, network and predictions."""

from __future__ import annotations

from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from mtl_bench.algorithms.base import Algorithm, Metrics
from mtl_bench.algorithms.supervised.selected_networks import load_selected
from mtl_bench.config.build import build_algorithm, build_data, build_networks
from mtl_bench.config.identity import config_hash
from mtl_bench.config.objects import class_of
from mtl_bench.config.recorded import read_config
from mtl_bench.datasets.base import Split, evaluated_splits
from mtl_bench.errors import ConfigError, RecordError
from mtl_bench.records.frames import import_pandas, load_history
from mtl_bench.records.reader import Record, find_record
from mtl_bench.records.steps import PATTERN, read_steps
from mtl_bench.reporting.advice import rerun_command
from mtl_bench.runtime.environment import choose_device
from mtl_bench.seeding import generator_states, set_generator_states
from mtl_bench.training.checkpoint import Checkpoints, explain_misfit, require_same_data

if TYPE_CHECKING:
    import pandas as pd


class Prediction(NamedTuple):
    """The predictions of a network for one task, sample by sample.

    Args:
        values: in the unit of the task's metrics, with classes instead of scores; samples first.
        targets: the true values in the same form; missing ones as the data set marks them.
    """

    values: np.ndarray
    targets: np.ndarray


class RecordedRun:
    """A run, read from its record.

    Args:
        path: folder ``results/PROFILE/DATASET/METHOD/RUN``.
        data: folder of prepared data, by default the one that the run read.
        device: on which networks run, by default the run's.

    Attributes:
        path: the folder.
        config: the resolved configuration.

    Raises:
        RecordError: no run is there, or its configuration can't be read.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        data: str | PathLike[str] | None = None,
        device: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.config: dict[str, Any] = read_config(self.path)
        self._digest = config_hash(self.config)
        if data is not None:
            self.config["dataset"]["root"] = str(Path(data) / self.config["dataset"]["name"])
        if device is not None:
            self.config["trainer"]["device"] = device

    def __repr__(self) -> str:
        return f"RecordedRun({str(self.path)!r}, status={self.record.state!r})"

    @property
    def record(self) -> Record:
        """How far the run is, and why it failed if it did.

        Raises:
            RecordError: the folder's name is not that of a record.
        """
        record = find_record(self.path.absolute())
        if record is None:
            raise RecordError(f"{self.path} holds no run: its name isn't that of a record")
        return record

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of summary.json.

        Raises:
            RecordError: the run isn't finished, or its record is damaged.
        """
        record = self.record
        if record.summary is None:
            why = f": {record.error}" if record.error else ""
            raise RecordError(f"{self.path} has no summary, it is {record.state}{why}")
        return record.summary

    @property
    def history(self) -> pd.DataFrame:
        """metrics.jsonl, one row per epoch, with columns such as ``test/mu/mae``.

        Raises:
            RecordError: a line can't be read.
            MissingExtraError: pandas is not installed.
        """
        try:
            return load_history(self.path)
        except ValueError as error:
            raise RecordError(f"{self.path / 'metrics.jsonl'} can't be read: {error}") from error

    def steps(self, component: str = "") -> pd.DataFrame:
        """Return the step log, one row per update; see ``mtl_bench.records.steps.StepLog``.

        Args:
            component: whose updates, such as ``critic``; empty for an algorithm with one.

        Raises:
            RecordError: there is no such log, or a part of it is missing or damaged.
            MissingExtraError: pandas is not installed.
        """
        import_pandas()
        folder = self.path / "steps"
        names = sorted(part.parent.name for part in folder.glob(f"*/{PATTERN}"))
        if component not in (names or [""]):
            raise RecordError(
                f"{self.path} has no step log of {component or 'the whole'}"
                + (f": give one of {', '.join(dict.fromkeys(names))}" if names else "")
            )
        updates = (self.record.summary or {}).get("steps")
        table = read_steps(folder / component, updates=updates)
        assert table is not None  # no column was asked for
        frame: pd.DataFrame = table.to_pandas()
        return frame

    @cached_property
    def network(self) -> nn.Module:
        """The trained network that the run reports, in evaluation mode; see ``load_network``."""
        return self.load_network()

    def load_network(self, rule: str | None = None) -> nn.Module:
        """Return a trained network, in evaluation mode.

        Args:
            rule: ``best_val`` for the network of the epoch with the best validation score, of each
                task's epoch where tasks have separate networks; ``last`` for that of the last
                epoch. By default the rule by which the run is reported; the mean over the last
                epochs (``last_k_mean``) belongs to no network, and gives the last one.

        Returns:
            The network that predicts all tasks; of an algorithm with several components
            ``ModuleDict`` of theirs.

        Raises:
            RecordError: the record has no checkpoint, or that network was not kept.
            MtlBenchError: the checkpoint can't be read.
        """
        networks, state = self._load_networks()
        if rule is None:
            rule = (self.record.summary or {}).get("selection", "last")
        if rule == "best_val":
            self._select(networks[""], state)
        elif rule not in ("last", "last_k_mean"):
            raise ConfigError(f"rule={rule}: allowed: best_val, last")
        whole = networks.get("") or nn.ModuleDict(networks)
        return whole.to(choose_device(self.config["trainer"]["device"])).eval()

    def _load_networks(self) -> tuple[dict[str, nn.Module], dict[str, Any]]:
        """Return the networks of the last checkpoint by component, and the checkpoint's state."""
        state = self._checkpoint()
        networks = build_networks(self.config)
        algorithm: type[Algorithm] = class_of("algorithm", self.config["algorithm"])
        with explain_misfit(self.path):
            for name, own in algorithm.network_states(state).items():
                networks[name].load_state_dict(own)
        return networks, state

    def _checkpoint(self) -> dict[str, Any]:
        folder = self.path / "checkpoint"
        state = Checkpoints(folder, self.config, self._digest).peek()
        if state is None:
            raise RecordError(
                f"{self.path} has no checkpoint, and records alone hold no network: move it away "
                f"and run `{rerun_command(self.path)}`"
            )
        return state

    def _select(self, network: nn.Module, state: dict[str, Any]) -> None:
        """Load the networks of the selected epochs in place of the last one."""
        selected: dict[str, int] = self.summary["selected_epochs"].get("best_val", {})
        if not selected:
            raise RecordError(f"{self.path} has no selected epoch: it had no validation data")
        with explain_misfit(self.path):
            found = load_selected(network, self.path / "checkpoint", state, selected)  # type: ignore[arg-type]
        last = state["progress"]["epoch"] - 1
        for task, epoch in selected.items():
            if found.get(task, last) != epoch:
                raise RecordError(
                    f"{self.path} has no network of epoch {epoch}, which was selected for {task}: "
                    "give rule=last for that of the last epoch, or move the record away and run "
                    f"`{rerun_command(self.path)}`"
                )

    @torch.inference_mode()
    def predict(self, split: Split = "test") -> dict[str, Prediction]:
        """Return task -> the network's predictions on a split, in the unit of the task's metrics.

        Samples come in the order of the data set's batches, those without a target left out.

        Args:
            split: ``test``, or ``validation`` where the data set has it.

        Raises:
            ConfigError: there is no such split, or the run learned from environments, in which a
                policy acts; `evaluate` plays it.
            RecordError, DataError: the network or the data are missing.
        """
        data = self._data()
        if not hasattr(data, "evaluation_batches"):
            raise ConfigError(
                f"{self.path}: dataset={self.config['dataset']['name']} has environments and no "
                "samples to predict: evaluate the policy"
            )
        self._require_split(split, evaluated_splits(data))
        found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {
            task.name: ([], []) for task in data.tasks
        }
        network, device = self.network, choose_device(self.config["trainer"]["device"])
        for batch in data.evaluation_batches(split):
            predictions = network(batch.to(device))
            for task in data.tasks:
                if task.name not in batch.targets:
                    continue
                both = predictions[task.name], batch.targets[task.name]
                for values, kept in zip(both, found[task.name], strict=True):
                    readable = task.readable(values) if task.readable is not None else values
                    kept.append(readable.cpu().numpy())
        return {
            task: Prediction(*(np.concatenate(parts) for parts in both))
            for task, both in found.items()
        }

    def evaluate(self, split: Split = "test", *, rule: str | None = None) -> Metrics:
        """Return task -> metric -> value of a network on a split, as the training computes it.

        Args:
            split: ``test``, or ``validation`` where the data set has it.
            rule: which network; see ``load_network``.

        Raises:
            ConfigError: there is no such split.
            RecordError, DataError: the network or the data are missing.
        """
        network = self.network if rule is None else self.load_network(rule)
        data, device = self._data(), choose_device(self.config["trainer"]["device"])
        before = generator_states(device)
        try:
            algorithm = build_algorithm(self.config, data, device)
        finally:
            set_generator_states(before, device)
        self._require_split(split, algorithm.splits)
        for component in algorithm.components:
            own = network.get_submodule(component.name)
            component.module.load_state_dict(own.state_dict())
        return algorithm.evaluate(split, f"the {split} split of {self.path}", lambda: None)

    def _data(self) -> Any:  # noqa: ANN401 - what the algorithm learns from
        before = self._checkpoint()["data"]
        data = build_data(self.config)
        require_same_data(self.path, before, data.origin)
        return data

    def _require_split(self, split: str, splits: tuple[str, ...]) -> None:
        if split not in splits:
            raise ConfigError(f"split={split}: allowed: {', '.join(splits)}")


load_run = RecordedRun
"""The class under a name that reads like a function."""
