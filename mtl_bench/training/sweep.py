"""Many runs: a Hydra sweep whose cells fail or finish on their own."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mtl_bench.config.compose import (
    COMPOSITION_ERRORS,
    compose_config,
    refuse_paths,
    translate_error,
)
from mtl_bench.config.identity import config_hash
from mtl_bench.config.search import open_hydra
from mtl_bench.errors import Interrupted, MtlBenchError
from mtl_bench.records.reader import find_record
from mtl_bench.records.writer import record_path
from mtl_bench.training.run import run


class Cell(NamedTuple):
    """One run of a sweep: its overrides, its record and how far that is, and what failed."""

    overrides: list[str]
    path: str | None
    state: str
    error: str | None


class _Stop(BaseException):
    """Carries Interrupted past Hydra, which keeps an Exception and starts the next run."""


def run_cell(config: DictConfig) -> Cell:
    """Carry out one run of a sweep and answer instead of raising, so that the sweep goes on."""
    overrides = list(HydraConfig.get().overrides.task)
    try:
        resolved: dict[str, Any] = compose_config(overrides)
        path, state = run(resolved)
    except Interrupted as error:
        raise _Stop(*error.args) from error
    except MtlBenchError as error:
        return Cell(overrides, None, "failed", str(error))
    except Exception as error:
        if config.get("debug"):
            traceback.print_exc()
        return Cell(overrides, None, "failed", f"{type(error).__name__}: {error}")
    return Cell(overrides, str(path), state, None)


def look_cell(config: DictConfig) -> Cell:
    """Tell what there is of one run of a sweep; nothing is trained or written for it."""
    overrides = list(HydraConfig.get().overrides.task)
    try:
        return look(overrides)
    except MtlBenchError as error:
        return Cell(overrides, None, "failed", str(error))


def look(overrides: Sequence[str]) -> Cell:
    """Tell what there is of one run: the state of its record, or ``missing``."""
    resolved: dict[str, Any] = compose_config(overrides)
    path = record_path(resolved, config_hash(resolved))
    record = find_record(path.absolute())
    if record is None:
        return Cell(list(overrides), str(path), "missing", None)
    return Cell(list(overrides), str(path), record.state, record.error)


def sweep(overrides: Sequence[str], task: Callable[[DictConfig], Cell] = run_cell) -> list[Cell]:
    """Carry out every run of a sweep; one that fails does not stop the others.

    Args:
        overrides: words of the command line, with Hydra's syntax for several values.
        task: what to do with each, ``run_cell`` or ``look_cell``.

    Raises:
        ConfigError: the sweep itself can't be composed.
        Interrupted: a run was asked to stop, and with it the sweep.
    """
    refuse_paths(overrides)
    with open_hydra():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        try:
            batches = hydra.multirun(
                config_name="train",
                task_function=task,
                overrides=list(overrides),
                with_log_configuration=False,
            )
        except COMPOSITION_ERRORS as error:
            raise translate_error(error, overrides) from error
        except _Stop as stop:
            raise Interrupted(*stop.args) from None
    return [job.return_value for batch in batches for job in batch]
