"""Runs of a sweep as jobs of a cluster, by submitit; its local executor is for trying it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from mtl_bench.errors import Interrupted, MtlBenchError
from mtl_bench.launch.cell import SweepRun, SweepRunner
from mtl_bench.signals import StopRequest

if TYPE_CHECKING:
    from submitit import Job
    from submitit.helpers import DelayedSubmission

TIMEOUTS = 100
"""How often a job that reaches its time limit goes into the queue again. The plugin's 0 is for
jobs that can't go on where they stopped."""

SHARED = (
    *("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node"),
    *("tasks_per_node", "stderr_to_stdout"),
)
"""Settings that submitit knows without the executor's name before them."""


class Work:
    """What a job carries out: one cell, under the words of the sweep's command line.

    Args:
        task: what to do with the cell.
        command: ``sys.argv`` of the sweep, for environment.json.
    """

    def __init__(self, task: SweepRunner, command: list[str]) -> None:
        self.task = task
        self.command = command

    def __call__(self, overrides: list[str]) -> SweepRun:
        """Carry out the cell; a job that is stopped goes into the queue again, once it is saved.

        submitit's own handler would raise within the training step.
        """
        sys.argv = self.command
        with StopRequest() as stop:
            cell = self.task(overrides, None)
        if cell.state == "interrupted":
            stop.hand_on()
        return cell

    def checkpoint(self, overrides: list[str]) -> DelayedSubmission:
        """Return what submitit puts into the queue again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, overrides)


def launch(
    kind: Literal["slurm", "local"],
    task: SweepRunner,
    cells: Sequence[list[str]],
    settings: dict[str, Any],
) -> list[SweepRun]:
    """Submit a job for every cell and wait for all of them.

    Args:
        kind: submitit's executor.
        task: what to do with each.
        cells: overrides of each.
        settings: of ``hydra/launcher=submitit_slurm`` or ``submitit_local``.

    Raises:
        MtlBenchError: the jobs can't be submitted.
        Interrupted: this process was asked to stop; the jobs go on.
    """
    from submitit import AutoExecutor

    settings = dict(settings)
    timeouts = {f"{kind}_max_num_timeout": settings.pop("max_num_timeout", 0) or TIMEOUTS}
    folder = settings.pop("submitit_folder")
    parameters = {k if k in SHARED else f"{kind}_{k}": v for k, v in settings.items()}
    try:
        executor = AutoExecutor(folder, kind, **timeouts)
        executor.update_parameters(**parameters)
        jobs = executor.map_array(Work(task, sys.argv), cells)
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise MtlBenchError(
            f"hydra/launcher=submitit_{kind}: {first}; hydra/launcher=processes "
            "hydra.launcher.n_jobs=2 runs two at a time without it"
        ) from error
    _wait(jobs)
    return [_outcome(job, cell) for job, cell in zip(jobs, cells, strict=True)]


def _wait(jobs: Sequence[Job[SweepRun]]) -> None:
    with StopRequest() as stop:
        while not all(job.done() for job in jobs):
            if stop.name is not None:
                raise Interrupted(
                    f"{stop.name}: not waiting any longer for the jobs "
                    f"{', '.join(job.job_id for job in jobs)}; what is in the queue goes on there, "
                    "and the same command submits what is missing once they are gone"
                )
            time.sleep(1)


def _outcome(job: Job[SweepRun], overrides: list[str]) -> SweepRun:
    """Return what a job answered, or where to read how it ended."""
    try:
        return job.result()
    except Exception:  # of many kinds, with the whole log as their text
        end = f"its job {job.job_id} ended without a result (state: {job.state})"
        return SweepRun(overrides, None, "failed", f"{end}: see {job.paths.stderr}")
