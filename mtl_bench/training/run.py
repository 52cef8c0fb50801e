"""One run from its configuration to its record: skip, resume or start."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from mtl_bench.advice import command
from mtl_bench.config.build import require_method
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ExplodedError, Interrupted, RecordError
from mtl_bench.records.reader import find_record
from mtl_bench.records.seal import SEAL
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.tracking.dashboard import require_package


class RunOutcome(NamedTuple):
    """What became of a run."""

    path: Path
    state: Literal["finished", "already finished"]


def run(config: dict[str, Any]) -> RunOutcome:
    """Carry out one run, or say that it is done.

    Raises:
        MtlBenchError: the run could not begin, or failed; FAILED.json says how.
    """
    digest = config_hash(config)
    path = record_path(config, digest)
    _refuse_exploded(path)
    if (path / SEAL).exists():
        record = find_record(path.absolute())
        if record is not None and record.state == "finished":
            return RunOutcome(path, "already finished")
        from mtl_bench.training.checkpoint import LAST, PREVIOUS

        left = [name for name in (LAST, PREVIOUS) if (path / "checkpoint" / name).exists()]
        if record is not None and not left:
            raise RecordError(
                f"{path}: {record.error}, and no checkpoint is left to make it from: restore it "
                "from a copy, or move the folder away to train again"
            )
    require_package(config["logger"]["name"])
    require_method(config)
    return _train(config, digest, path)


def _train(config: dict[str, Any], digest: str, path: Path) -> RunOutcome:
    from mtl_bench.config.build import build_algorithm, build_data
    from mtl_bench.runtime.environment import describe_environment, prepare_process
    from mtl_bench.runtime.explain import explain
    from mtl_bench.tracking.console import make_console
    from mtl_bench.tracking.mirror import make_mirror
    from mtl_bench.training.checkpoint import Checkpoints
    from mtl_bench.training.observer import ConsoleObserver, EarlyStopping, MirrorObserver
    from mtl_bench.training.summary import summarize
    from mtl_bench.training.trainer import Trainer, TrainerSettings

    name = f"{path.parent.name} {path.name.partition('-')[0]}"
    patience = config["trainer"]["early_stopping"]
    device = prepare_process(config["trainer"])
    data = build_data(config)
    with RunRecord(path) as record:
        _refuse_exploded(path)
        found = find_record(path.absolute())
        if found is not None and found.state == "finished":  # by another process, in the meantime
            return RunOutcome(path, "already finished")
        with (
            make_console(config["logger"]["progress"], name) as console,
            make_mirror(config["logger"], path, console.message) as mirror,
        ):
            trainer = None
            try:
                algorithm = build_algorithm(config, data, device)
                trainer = Trainer(
                    algorithm,
                    TrainerSettings.of(config["trainer"]),
                    record,
                    Checkpoints(record.checkpoints, config, digest),
                    device,
                    [
                        *(ConsoleObserver(console), MirrorObserver(mirror)),
                        *([EarlyStopping(patience)] if patience else []),
                    ],
                )
                environment = describe_environment(config, device, algorithm)
                record.begin(config, environment, resumed=trainer.resume())
                trainer.run()
                summary = summarize(config, digest, trainer)
            except (Interrupted, KeyboardInterrupt):
                raise
            except BaseException as error:
                known = explain(error)
                told, kind = known or error, type(error).__name__
                where = trainer.incident() if trainer is not None else {}
                record.fail(f"{told}" or kind, {"kind": kind, **where})
                if known is not None:
                    raise known from error
                raise
            record.finish(summary)
            console.finish(path, summary, _next_commands(config))
    return RunOutcome(path, "finished")


def _refuse_exploded(path: Path) -> None:
    """Refuse to train again what has exploded: scores of the lucky runs alone would mislead."""
    record = find_record(path.absolute())
    if record is not None and record.state == "exploded":
        raise ExplodedError(
            f"already {record.error}; to train it again all the same, move {path} away"
        )


def _next_commands(config: dict[str, Any]) -> list[str]:
    scope = {"profile": config["profile"]["name"], "dataset": config["dataset"]["name"]}
    results = config["paths"]["results"]
    return [command(name, **scope, paths__results=results) for name in ("tables", "status")]
