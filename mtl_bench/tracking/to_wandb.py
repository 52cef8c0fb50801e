"""A run's record as a run of Weights & Biases."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import wandb

from mtl_bench.tracking.dashboard import BROKEN, DashboardRun
from mtl_bench.tracking.feed import UpdateRow, final_values

FOLDER = ".wandb"
"""Below the results."""

INIT_SECONDS, FINISH_SECONDS = 10.0, 5.0
"""How long W&B may take to answer at the beginning and to take the rest at the end."""

PICTURE = "predictions"
BY_EPOCH = ("train_loss", "validation", "test", "mean_weight", "seconds")
"""Sections of numbers whose horizontal axis is the epoch, as the score's is; that of others is the
update."""


class WandbDashboard:
    """Sends one run, or writes it to ``<results>/.wandb`` for later.

    A run of W&B has one identifier for good, made from the record. Online, W&B says which update it
    has last, and what is missing is sent. Offline nobody can say, and of several folders of one run
    the last that is uploaded replaces the others: a resumed run is therefore written whole, and its
    earlier folders are removed.

    Args:
        mode: ``offline`` or ``online``.
        project: project of W&B.
        entity: account or team, None for that of the key.
        group: group of the run, None for the data set and the profile.
    """

    def __init__(
        self,
        mode: Literal["offline", "online"],
        project: str,
        entity: str | None,
        group: str | None,
    ) -> None:
        self._mode, self._project, self._entity, self._group = mode, project, entity, group

    def start(self, run: DashboardRun) -> None:
        """Open the run, new or existing, and give it configuration and environment.

        Raises:
            OSError: the folder can't be made.
            wandb.Error: no connection, no key, or a refusal.
        """
        folder = run.results / FOLDER
        folder.mkdir(exist_ok=True)  # W&B would go to a temporary folder instead of failing
        config = {key: value for key, value in run.config.items() if key not in ("logger", "paths")}
        config |= {
            "label": run.title,
            "hash": run.digest,
            "record": "/".join(run.place),
            "environment": run.environment,
        }
        group = self._group or run.config["logger"].get("group")
        self._run = wandb.init(
            mode=self._mode,
            project=self._project,
            entity=self._entity,
            dir=run.results,
            id=run.run_id,
            resume="allow",
            name=run.name,
            notes=run.about,
            group=group or f"{run.config['dataset']['name']}/{run.config['profile']['name']}",
            tags=run.tags,
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                silent=True,
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        self._run.config.update(config, allow_val_change=True)
        for section in (*BY_EPOCH, run.score.panel):
            self._run.define_metric(f"{section}/*", step_metric="epoch")
        self._next = self._run.starting_step
        self._folder, self._id = folder, run.run_id

    def send(self, rows: Iterable[UpdateRow]) -> None:
        """Log rows that the run doesn't have yet."""
        for row in rows:
            if row.step >= self._next:
                self._run.log(row.values, step=row.step)
                self._next = row.step + 1

    def finish(self, summary: dict[str, Any], picture: Path | None) -> None:
        """Put the final numbers into the run's summary."""
        self._run.summary.update(final_values(summary))
        if picture is not None and PICTURE not in self._run.summary.keys():  # noqa: SIM118
            self._run.log({PICTURE: wandb.Image(str(picture))}, step=self._next)

    def close(self, exit_status: int) -> None:
        """End this process's part of the run.

        Raises:
            TimeoutError: W&B didn't take the rest in time.
        """
        own = Path(self._run.dir).parent
        self._run.finish(exit_code=exit_status)
        if self._mode == "offline" and exit_status != BROKEN:
            name = re.compile(rf"offline-run-\d+_\d+-{re.escape(self._id)}")
            for folder in self._folder.iterdir():
                if name.fullmatch(folder.name) and folder.resolve() != own.resolve():
                    shutil.rmtree(folder)
