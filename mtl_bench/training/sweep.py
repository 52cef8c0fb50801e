"""Many runs: a Hydra sweep whose cells fail or finish on their own."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
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
from mtl_bench.config.search import open_hydra
from mtl_bench.errors import Interrupted, MtlBenchError
from mtl_bench.training.run import run


class Cell(NamedTuple):
    """One run of a sweep: its overrides and its end."""

    overrides: list[str]
    path: str | None
    state: str
    error: str | None


class _Stop(BaseException):
    """Carries Interrupted past Hydra, which keeps an Exception and starts the next run."""


def sweep(overrides: Sequence[str]) -> list[Cell]:
    """Carry out every run of a sweep; one that fails does not stop the others.

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
                task_function=run_cell,
                overrides=list(overrides),
                with_log_configuration=False,
            )
        except COMPOSITION_ERRORS as error:
            raise translate_error(error, overrides) from error
        except _Stop as stop:
            raise Interrupted(*stop.args) from None
    return [job.return_value for batch in batches for job in batch]


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
