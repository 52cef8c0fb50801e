"""What a dashboard is, what it is told of a run, and how a record gets there."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mtl_bench.errors import ConfigError, RecordError
from mtl_bench.files import read_json, read_yaml
from mtl_bench.records.environment import latest_process
from mtl_bench.records.reader import FOLDER
from mtl_bench.scores import Score, score_of
from mtl_bench.tracking.feed import Feed, UpdateRow

BROKEN = 2
"""Exit status with which a page is closed that doesn't hold the whole record."""

MAX_ID = 64
"""Characters of a W&B run id."""


class DashboardKind(NamedTuple):
    """A dashboard that ``logger`` can name.

    Args:
        title: its name for a person.
        package: what must be importable, and the extra of pip that brings it.
    """

    title: str
    package: str


KINDS = {
    "wandb": DashboardKind("W&B", "wandb"),
    "tensorboard": DashboardKind("TensorBoard", "tensorboard"),
}


@dataclass(frozen=True)
class DashboardRun:
    """A run as its record names it.

    Args:
        path: folder of the record.
        label: method, or method and variant.
        seed: of the run.
        digest: hash of its configuration.
        config: the resolved configuration.
        environment: contents of environment.json.
    """

    path: Path
    label: str
    seed: int
    digest: str
    config: dict[str, Any]
    environment: dict[str, Any]

    @property
    def title(self) -> str:
        """What tables call the run."""
        return str(self.config.get("label") or self.label)

    @property
    def results(self) -> Path:
        """The folder of all profiles."""
        return self.path.parents[3]

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Profile, data set, label and folder name."""
        profile, dataset, label, name = self.path.parts[-4:]
        return profile, dataset, label, name

    @property
    def run_id(self) -> str:
        """An identifier that depends on the record alone, so that a resumed run keeps it."""
        whole = "-".join(self.place)
        if len(whole) <= MAX_ID:
            return whole
        return f"{whole[: MAX_ID - len(self.digest) - 1]}-{self.digest}"

    @property
    def tags(self) -> list[str]:
        """Data set, architecture, method, protocol, profile, and the kind of the data."""
        groups = ("dataset", "architecture", "method", "protocol", "profile")
        return [*(self.config[group]["name"] for group in groups), self.data]

    @property
    def data(self) -> str:
        """The kind of the data, for instance ``real data``."""
        return f"{self.environment.get('data', {}).get('kind', 'unknown')} data"

    @property
    def name(self) -> str:
        """What a person reads; data that aren't real are named."""
        return f"{self.title} seed {self.seed}" + (
            "" if self.data == "real data" else f", {self.data}"
        )

    @property
    def about(self) -> str:
        """What the numbers mean."""
        return f"Profile {self.place[0]}, {self.data}. {self.score.note}."

    @property
    def score(self) -> Score:
        """What says how good the run is."""
        return score_of(latest_process(self.environment).get("score"))


class Dashboard(Protocol):
    """Shows one run; every call but the first comes after ``start``."""

    def start(self, run: DashboardRun) -> None:
        """Open the run's page, new or as an earlier process left it."""

    def send(self, rows: Iterable[UpdateRow]) -> None:
        """Show rows, in the order of their updates."""

    def finish(self, summary: dict[str, Any], picture: Path | None) -> None:
        """Show what came out of a finished run, and its picture of predictions."""

    def close(self, exit_status: int) -> None:
        """Close the page.

        Args:
            exit_status: 0 of a finished run, 1 of a failed one, 75 of one that was interrupted,
                ``BROKEN`` if not all of the record is there.
        """


def require_package(logger: str) -> None:
    """Check, without importing it, that the package of a logger is installed.

    Raises:
        ConfigError: it isn't.
    """
    if logger not in KINDS:
        return
    package = KINDS[logger].package
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # a folder of that name in the way has no origin
        raise ConfigError(
            f"logger={logger}: the package {package} isn't installed: "
            f"pip install 'mtl_bench[{package}]'"
        )


def make_dashboard(logger: dict[str, Any]) -> Dashboard:
    """Return the dashboard of a ``logger`` section; this imports its package."""
    if logger["name"] == "wandb":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its makers, even offline
        os.environ.setdefault("WANDB_SILENT", "true")
        from mtl_bench.tracking.to_wandb import WandbDashboard

        settings = {key: logger[key] for key in ("mode", "project", "entity", "group")}
        return WandbDashboard(**settings)
    from mtl_bench.tracking.to_tensorboard import TensorBoardDashboard

    return TensorBoardDashboard()


def read_run(record: Path) -> DashboardRun:
    """Read what names a run.

    Raises:
        RecordError: the folder holds no record, or a damaged one.
    """
    path = record.resolve()
    name = FOLDER.fullmatch(path.name)
    try:
        config, environment = read_yaml(path / "config.yaml"), read_json(path / "environment.json")
    except (OSError, ValueError) as error:
        raise RecordError(f"{record} can't be read: {' '.join(str(error).split())}") from error
    if name is None or not isinstance(config, dict) or not isinstance(environment, dict):
        raise RecordError(f"{record} holds no run record")
    return DashboardRun(
        path, path.parent.name, int(name["seed"]), name["hash"], config, environment
    )


def show(
    record: Path, dashboard: Dashboard, every: int, points: Iterable[tuple[float, float]]
) -> None:
    """Show a record on a dashboard, the last of it when ``points`` are exhausted.

    Args:
        record: the run's folder.
        dashboard: not yet started.
        every: see ``Feed``.
        points: epochs and updates at which the whole record was written, as they come.
    """
    run = read_run(record)
    dashboard.start(run)
    status = BROKEN
    try:
        feed = Feed(record, every, run.score)
        for epochs, step in points:
            dashboard.send(feed.read(epochs, step))
        if (record / "DONE").exists():
            dashboard.send(feed.read())
            summary = read_json(record / "summary.json")
            picture = record / "predictions.png"
            dashboard.finish(summary, picture if picture.exists() else None)
            status = 0
        else:
            status = 1 if (record / "FAILED.json").exists() else 75
    finally:
        dashboard.close(status)
