"""One run from its configuration to its record: skip, resume or start."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mtl_bench.advice import command
from mtl_bench.config.build import require_method
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ExplodedError, Interrupted, RecordError
from mtl_bench.ranks import ALONE, Ranks, count_processes, join
from mtl_bench.records.reader import find_record
from mtl_bench.records.seal import SEAL
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.tracking.dashboard import require_package

if TYPE_CHECKING:
    from mtl_bench.tracking.console import TrainingConsole
    from mtl_bench.training.observer import Observer


class RunOutcome(NamedTuple):
    """What became of a run."""

    path: Path
    state: Literal["finished", "already finished"]


def run(config: dict[str, Any]) -> RunOutcome:
    """Carry out one run, or say that it is done.

    Under torchrun every process calls this, and they train together: `join` finds the others. An
    update then has at least one batch for each of them, and the configuration that is recorded says
    how many: the run is the one that a single process makes with this ``trainer.accumulate``.

    Raises:
        MtlBenchError: the run could not begin, or failed; FAILED.json says how.
    """
    if count_processes() == 1:
        return _run(config, ALONE)
    from mtl_bench.config.schema import check_sections
    from mtl_bench.runtime.explain import explain

    accumulate = max(config["trainer"]["accumulate"], count_processes())
    config = {**config, "trainer": {**config["trainer"], "accumulate": accumulate}}
    check_sections(config)
    with join(explain) as ranks:
        return _run(config, ranks)


def _run(config: dict[str, Any], ranks: Ranks) -> RunOutcome:
    digest = config_hash(config)
    path = record_path(config, digest)
    if ranks.lead(lambda: _is_over(path)):
        return RunOutcome(path, "already finished")
    with ranks.agreeing():
        require_package(config["logger"]["name"])
        require_method(config)
    return _train(config, digest, path, ranks)


def _is_over(path: Path) -> bool:
    """Tell whether there is nothing left to do.

    Raises:
        RecordError: there would be, but nothing is left to do it from.
    """
    _refuse_exploded(path)
    if not (path / SEAL).exists():
        return False
    record = find_record(path.absolute())
    if record is not None and record.state == "finished":
        return True
    from mtl_bench.training.checkpoint import LAST, PREVIOUS

    left = [name for name in (LAST, PREVIOUS) if (path / "checkpoint" / name).exists()]
    if record is not None and not left:
        raise RecordError(
            f"{path}: {record.error}, and no checkpoint is left to make it from: restore it "
            "from a copy, or move the folder away to train again"
        )
    return False


def _train(config: dict[str, Any], digest: str, path: Path, ranks: Ranks) -> RunOutcome:
    from mtl_bench.config.build import build_algorithm, build_data
    from mtl_bench.runtime.environment import describe_environment, prepare_process
    from mtl_bench.runtime.explain import explain
    from mtl_bench.training.checkpoint import Checkpoints
    from mtl_bench.training.observer import EarlyStopping
    from mtl_bench.training.summary import summarize
    from mtl_bench.training.trainer import Trainer, TrainerSettings

    patience = config["trainer"]["early_stopping"]
    with ranks.agreeing():
        device = prepare_process(config["trainer"], ranks)
        data = build_data(config)
    with ExitStack() as stack:
        record = RunRecord(path)
        if ranks.lead(lambda: _open(record, stack)):  # by another process, in the meantime
            return RunOutcome(path, "already finished")
        console, shown = _displays(config, path, stack) if ranks.leads else (None, [])
        trainer = None
        try:
            with ranks.agreeing():
                algorithm = build_algorithm(config, data, device, ranks)
                trainer = Trainer(
                    algorithm,
                    TrainerSettings.of(config["trainer"]),
                    record,
                    Checkpoints(record.checkpoints, config, digest),
                    device,
                    [*shown, *([EarlyStopping(patience)] if patience else [])],
                    ranks,
                )
            environment = describe_environment(config, device, algorithm, ranks.size)
            resumed = trainer.resume()
            ranks.lead(lambda: record.begin(config, environment, resumed=resumed))
            trainer.run()
            summary = summarize(config, digest, trainer)
        except (Interrupted, KeyboardInterrupt):
            raise
        except BaseException as error:
            known = explain(error)
            told, kind = known or error, type(error).__name__
            where = trainer.incident() if trainer is not None else {}
            if ranks.leads:
                record.fail(f"{told}" or kind, {"kind": kind, **where})
            if known is not None:
                raise known from error
            raise
        if console is not None:
            record.finish(summary)
            console.finish(path, summary, _next_commands(config))
    return RunOutcome(path, "finished")


def _open(record: RunRecord, stack: ExitStack) -> bool:
    """Take the record's lock for as long as the stack is open; tell if there is nothing to do."""
    stack.enter_context(record)
    _refuse_exploded(record.path)
    found = find_record(record.path.absolute())
    return found is not None and found.state == "finished"


def _displays(
    config: dict[str, Any], path: Path, stack: ExitStack
) -> tuple[TrainingConsole, list[Observer]]:
    """Open the console and the dashboard, and return the console and what shows a training."""
    from mtl_bench.tracking.console import make_console
    from mtl_bench.tracking.mirror import make_mirror
    from mtl_bench.training.observer import ConsoleObserver, MirrorObserver

    name = f"{path.parent.name} {path.name.partition('-')[0]}"
    console = stack.enter_context(make_console(config["logger"]["progress"], name))
    mirror = stack.enter_context(make_mirror(config["logger"], path, console.message))
    return console, [ConsoleObserver(console), MirrorObserver(mirror)]


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
