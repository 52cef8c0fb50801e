"""Many runs: a sweep in Hydra's syntax whose cells fail or finish on their own.

Hydra composes; what a launcher is told to do is done here, since Hydra's own end with the first
run that is killed or stopped, and the answers of the others with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mtl_bench.config.compose import (
    COMPOSITION_ERRORS,
    compose_files,
    missing_choice,
    refuse_reach,
    translate_error,
)
from mtl_bench.config.groups import GROUPS, describe_group
from mtl_bench.config.search import open_hydra
from mtl_bench.errors import ConfigError
from mtl_bench.launch import cluster, processes
from mtl_bench.launch.cell import SweepRun, SweepRunner, cancelled, inspect_cell, run_cell
from mtl_bench.records.reader import ENDED, is_locked
from mtl_bench.signals import StopRequest

POLL = 0.5
"""Seconds between two looks at runs that another process trains."""


class Plan(NamedTuple):
    """What a sweep is to do: the overrides of its cells, and how they are carried out.

    Args:
        cells: overrides of each run.
        composed: what ``compose_files`` has made of each.
        launch: carries out some of them.
        batch: how many at most are handed to ``launch`` together, None for all.
        optional: whether the methods were chosen by a pattern, as by ``method=glob(*)``.
    """

    cells: list[list[str]]
    composed: list[DictConfig]
    launch: Callable[[SweepRunner, Sequence[list[str]]], list[SweepRun]]
    batch: int | None
    optional: bool


def inspect_sweep(overrides: Sequence[str]) -> list[SweepRun]:
    """Tell what there is of every run of a sweep; nothing is written or launched for it.

    Raises:
        ConfigError: the sweep itself can't be composed.
    """
    return _inspect(plan_sweep(overrides))


def _inspect(plan: Plan) -> list[SweepRun]:
    return [
        inspect_cell(cell, composed, plan.optional)
        for cell, composed in zip(plan.cells, plan.composed, strict=True)
    ]


def sweep(overrides: Sequence[str], task: SweepRunner = run_cell) -> list[SweepRun]:
    """Carry out every run of a sweep that is not over; one that fails does not stop the others.

    A run that is asked to stop does: what it comes to is ``interrupted``, and no other is begun.
    What another process trains meanwhile comes last, when that process is done with it.

    Args:
        overrides: words of the command line, with Hydra's syntax for several values.
        task: what to do with each.

    Raises:
        ConfigError: the sweep itself can't be composed.
        MtlBenchError: its runs can't be launched.
        Interrupted: it was asked to stop while runs went on elsewhere.
    """
    plan = plan_sweep(overrides)
    seen = _inspect(plan)
    # by record, since cells can differ in what makes no other run
    left = {cell.path: cell.overrides for cell in seen if cell.path and cell.state not in ENDED}
    outcomes: dict[str | None, SweepRun] = {}
    while left:
        outcomes |= _carry_out(plan, task, left)
        if any(cell.state == "interrupted" for cell in outcomes.values()):
            break
        left = {path: cell for path, cell in left.items() if outcomes[path].state == "running"}
        if left and not _wait_for_one(left):
            outcomes |= {path: cancelled(cell) for path, cell in left.items()}
            break
    return [outcomes.get(cell.path, cell) for cell in seen]


def _carry_out(
    plan: Plan, task: SweepRunner, left: dict[str, list[str]]
) -> dict[str | None, SweepRun]:
    """Launch the cells, given by the path of their record, batch by batch until one is stopped."""
    paths, size = list(left), plan.batch or len(left)
    outcomes: dict[str | None, SweepRun] = {}
    stopped = False
    for begin in range(0, len(paths), size):
        batch = paths[begin : begin + size]
        cells = [left[path] for path in batch]
        answers = [*map(cancelled, cells)] if stopped else plan.launch(task, cells)
        stopped = any(cell.state == "interrupted" for cell in answers)
        outcomes |= dict(zip(batch, answers, strict=True))
    return outcomes


def _wait_for_one(paths: Iterable[str]) -> bool:
    """Wait until another process is done with one of these records; False on a request to stop."""
    locks = [Path(path) / ".lock" for path in paths]
    with StopRequest() as stop:
        print(f"waiting for {len(locks)} of the runs, which another process trains", flush=True)
        while stop.name is None:
            if not all(map(is_locked, locks)):
                return True
            time.sleep(POLL)
    return False


def plan_sweep(overrides: Sequence[str]) -> Plan:
    """Compose a sweep: its cells, which all can be composed too, and the launcher.

    Raises:
        ConfigError: it can't be composed, or names what there is not.
    """
    refuse_reach(overrides)
    with open_hydra():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        try:
            config = hydra.compose_config("train", list(overrides), RunMode.MULTIRUN)
            words = [f"{k}={v}" for k, v in (config.hydra.sweeper.params or {}).items()]
            words += config.hydra.overrides.task
            parser = OverridesParser.create(hydra.config_loader)
            parsed = {word.get_key_element(): word for word in parser.parse_overrides(words)}
            for word in parsed.values():
                _require_values(word)
            (cells,) = BasicSweeper.split_arguments(list(parsed.values()), None)
            optional = "method" in parsed and isinstance(parsed["method"].value(), Glob)
        except COMPOSITION_ERRORS as error:
            raise translate_error(error, overrides) from error
    composed = [compose_files(cell) for cell in cells]
    return Plan(cells, composed, _launcher(config), _batch(config), optional)


def _require_values(word: Override) -> None:
    """Refuse what stands for several values and names none: the sweep would have no run."""
    if not word.is_sweep_override():
        return
    try:
        values = [*islice(word.sweep_string_iterator(), 1)]
    except (HydraException, ValueError):  # an interval, or a range in steps of zero
        values = []
    if not values:
        allowed = "such as KEY=0,1,2 or KEY=range(0,3)"
        if word.get_key_element() in GROUPS.values():
            allowed = ", ".join(describe_group(word.get_key_element()))
        raise ConfigError(f"{word.input_line}: names no values; allowed: {allowed}")


def run_sequentially(task: SweepRunner, cells: Sequence[list[str]]) -> list[SweepRun]:
    """Carry out cells in this process, up to the first that is stopped."""
    outcomes: list[SweepRun] = []
    with StopRequest() as stop:
        for cell in cells:
            outcomes.append(task(cell, None) if stop.name is None else cancelled(cell))
    return outcomes


def _launcher(config: DictConfig) -> Callable[[SweepRunner, Sequence[list[str]]], list[SweepRun]]:
    """Return what carries out cells as ``hydra/launcher`` says."""
    settings = cast(dict[str, Any], OmegaConf.to_container(config.hydra.launcher, resolve=True))
    match settings.pop("_target_").rpartition(".")[2]:
        case "BasicLauncher":
            return run_sequentially
        case "launch":
            return partial(processes.launch, settings=settings)
        case "SlurmLauncher":
            return partial(cluster.launch, "slurm", settings=settings)
        case "LocalLauncher":
            return partial(cluster.launch, "local", settings=settings)
    raise missing_choice("hydra/launcher", config.hydra.runtime.choices["hydra/launcher"])


def _batch(config: DictConfig) -> int | None:
    """Return how many cells are launched together."""
    size = config.hydra.sweeper.max_batch_size
    if size is not None and size < 1:
        raise ConfigError(f"hydra.sweeper.max_batch_size={size}: must be 1 or more")
    return size
