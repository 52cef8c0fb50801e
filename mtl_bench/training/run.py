"""One run from its configuration to its record: skip, resume or start."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from mtl_bench.config.compose import config_hash
from mtl_bench.errors import Interrupted
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.tracking.dashboard import require_package


class Outcome(NamedTuple):
    """What became of a run."""

    path: Path
    state: Literal["finished", "already finished"]


def run(config: dict[str, Any]) -> Outcome:
    """Carry out one run, or say that it is done.

    Raises:
        MtlBenchError: the run could not begin, or failed; FAILED.json says how.
    """
    digest = config_hash(config)
    path = record_path(config, digest)
    if (path / "DONE").exists():
        return Outcome(path, "already finished")
    require_package(config["logger"]["name"])
    return _train(config, digest, path)


def _train(config: dict[str, Any], digest: str, path: Path) -> Outcome:
    import torch

    from mtl_bench.config.build import build_data
    from mtl_bench.tracking.console import make_console
    from mtl_bench.tracking.mirror import make_mirror
    from mtl_bench.training.environment import (
        choose_device,
        describe_environment,
        reuse_freed_memory,
    )
    from mtl_bench.training.trainer import Trainer

    if config["trainer"]["threads"] is not None:
        torch.set_num_threads(config["trainer"]["threads"])
    reuse_freed_memory()
    device = choose_device(config["trainer"]["device"])
    data = build_data(config)
    with RunRecord(path) as record:
        if record.done:  # another process finished it while this one started
            return Outcome(path, "already finished")
        with (
            make_console(config["logger"]["progress"]) as console,
            make_mirror(config["logger"], path, console.message) as mirror,
        ):
            trainer = None
            try:
                trainer = Trainer(config, digest, device, data, record, console, mirror)
                environment = describe_environment(config, device, data.origin, trainer.network)
                record.begin(config, environment)
                summary = trainer.run()
            except (Interrupted, KeyboardInterrupt):
                raise
            except BaseException as error:
                where = trainer.progress if trainer is not None else None
                record.fail(
                    f"{error}" or type(error).__name__,
                    {
                        "kind": type(error).__name__,
                        "epoch": where.epoch if where else None,
                        "step": where.step if where else None,
                    },
                )
                raise
            record.finish(summary)
            console.finish(path, summary, _next_commands(config))
    return Outcome(path, "finished")


def _next_commands(config: dict[str, Any]) -> list[str]:
    where = (
        ""
        if config["paths"]["results"] == "results"
        else f" paths.results={config['paths']['results']}"
    )
    scope = f"profile={config['profile']['name']} dataset={config['dataset']['name']}{where}"
    return [f"mtl-bench tables {scope}", f"mtl-bench status {scope}"]
