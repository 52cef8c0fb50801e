"""One run of a sweep: what there is of it, and carrying it out without raising."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig

from mtl_bench.config.build import require_method
from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import (
    BusyError,
    ExplodedError,
    Interrupted,
    MissingExtraError,
    MtlBenchError,
    describe_refusal,
)
from mtl_bench.records.reader import ENDED, find_record
from mtl_bench.records.writer import record_path
from mtl_bench.training.run import run


class SweepRun(NamedTuple):
    """One run of a sweep: its overrides, its record and how far that is, and what failed.

    ``state`` is that of the record, or ``missing``; ``path`` is None where no record can be. A run
    is ``left out`` if its method was chosen by a pattern and needs what isn't installed.
    """

    overrides: list[str]
    path: str | None
    state: str
    error: str | None


STATES = {Interrupted: "interrupted", BusyError: "running", ExplodedError: "exploded"}
"""What an error makes of a run; any other is a failure."""

SweepRunner = Callable[[list[str], int | None], SweepRun]
"""What a launcher does with the overrides of a cell and the slot that it runs in, if it has one."""


def inspect_run(overrides: Sequence[str], composed: DictConfig | None = None) -> SweepRun:
    """Tell what there is of one run; nothing is trained or written for it.

    Args:
        overrides: of the run.
        composed: what ``compose_files`` has made of them; it is used up.

    Raises:
        ConfigError: there can be no such run.
    """
    resolved: dict[str, Any] = compose_config(overrides, composed=composed)
    path = record_path(resolved, config_hash(resolved))
    record = find_record(path.absolute())
    if record is None or record.state not in ENDED:
        require_method(resolved)
    if record is None:
        return SweepRun(list(overrides), str(path), "missing", None)
    return SweepRun(list(overrides), str(path), record.state, record.error)


def inspect_cell(overrides: list[str], composed: DictConfig, optional: bool) -> SweepRun:
    """Tell what there is of one run of a sweep, or why there can be none.

    Args:
        overrides: of the run.
        composed: what ``compose_files`` has made of them; it is used up.
        optional: whether nobody named its method, so that it is left out where it can't run.
    """
    try:
        return inspect_run(overrides, composed)
    except MissingExtraError as error:
        return SweepRun(overrides, None, "left out" if optional else "failed", str(error))
    except MtlBenchError as error:
        return SweepRun(overrides, None, "failed", str(error))


def run_cell(overrides: list[str], slot: int | None = None) -> SweepRun:
    """Carry out one run of a sweep and answer instead of raising, so that the sweep goes on.

    Args:
        overrides: of the run.
        slot: a number that no other run on this machine has at the same time.
    """
    try:
        resolved: dict[str, Any] = compose_config(overrides)
        if slot is not None and resolved["logger"]["progress"] == "auto":
            resolved["logger"]["progress"] = "named"  # one terminal can't have two displays
        path, _ = run(resolved)
    except MtlBenchError as error:
        state = next((name for kind, name in STATES.items() if isinstance(error, kind)), "failed")
        return SweepRun(overrides, None, state, str(error))
    except Exception as error:
        if "debug=true" in overrides:
            traceback.print_exc()
        told = f"{type(error).__name__}: {error}"
        if isinstance(error, OSError | MemoryError):
            told = describe_refusal(error)
        return SweepRun(overrides, None, "failed", told)
    return SweepRun(overrides, str(path), "finished", None)


def cancelled(overrides: list[str]) -> SweepRun:
    """Return the cell of a run that a request to stop came before."""
    told = "stopped before it began; the same command continues there"
    return SweepRun(overrides, None, "interrupted", told)
