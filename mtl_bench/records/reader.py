"""Reads run records: which runs there are, how far they got, and what they found.

Reading never writes, never waits, and never trusts a file: a record that is damaged is listed with
the name of the file at fault, so that one bad disk block can't hide the other runs.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mtl_bench.config.identity import settings_of
from mtl_bench.config.overrides import find_overrides
from mtl_bench.errors import ConfigError, ExplodedError, RecordError, warn
from mtl_bench.files import (
    all_printable,
    printable,
    read_json,
    read_yaml,
    take_lock,
)
from mtl_bench.records.environment import devices_of, latest_process, machines_of
from mtl_bench.records.epochs import complete_lines, parse_epoch
from mtl_bench.records.seal import SEAL, changed_files, is_sealed
from mtl_bench.records.summary import check_identity, check_summary
from mtl_bench.scores import Score, score_of

State = Literal["finished", "running", "failed", "exploded", "interrupted"]

ENDED = ("finished", "exploded")
"""States of runs that are over: to train one again, somebody has to move its folder away."""

FOLDER = re.compile(r"seed(?P<seed>\d+)-(?P<hash>[0-9a-f]{8})")


@dataclass(frozen=True)
class Record:
    """One run as its folder tells it.

    Args:
        path: the folder ``results/<profile>/<dataset>/<label>/seed<k>-<hash8>``.
        profile: name of the profile.
        dataset: name of the data set.
        method: name of the method.
        variant: what distinguishes this configuration of the method, or None.
        seed: seed of the run.
        hash: first eight digits of the configuration's hash.
        state: ``failed`` also covers a record that can't be read; ``exploded`` is a run that a loss
            above its bound has ended, which is a result of its method.
        summary: contents of ``summary.json``; None unless the run is finished.
        epochs_done: the last epoch in ``metrics.jsonl``.
        epochs_total: epochs of the whole run, None when no file says so.
        error: one line about a failed run, else None.
        sealed: False for a finished run whose files have no hashes to be checked against.
    """

    path: Path
    profile: str
    dataset: str
    method: str
    variant: str | None
    seed: int
    hash: str
    state: State
    summary: dict[str, Any] | None = None
    epochs_done: int = 0
    epochs_total: int | None = None
    error: str | None = None
    sealed: bool = True

    @property
    def label(self) -> str:
        """``method`` or ``method-variant``, as in the folder's name."""
        return self.method if self.variant is None else f"{self.method}-{self.variant}"

    @property
    def title(self) -> str:
        """What tables call the run: its configuration's ``label``, or else that of the folder."""
        return str(self.config.get("label") or self.label)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The contents of config.yaml; empty if they can't be read."""
        try:
            config = all_printable(read_yaml(self.path / "config.yaml"))
        except (OSError, ValueError, TypeError):
            return {}
        return config if isinstance(config, dict) else {}

    @cached_property
    def score(self) -> Score:
        """What says how good the run is: as its summary, or else environment.json, tells."""
        if self.summary is not None:
            return score_of(self.summary.get("score"), self.summary["tasks"])
        try:
            return score_of(latest_process(read_json(self.path / "environment.json")).get("score"))
        except (OSError, ValueError, TypeError):
            return score_of(None)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All of the configuration that can change a number but the seed."""
        try:
            return settings_of(self.config)
        except (ValueError, TypeError, AttributeError):
            return {}

    @cached_property
    def overrides(self) -> dict[str, Any]:
        """The settings that differ from those of the profile and the other choices, by dotted key.

        As environment.json tells. Of a record from before it did they are those beside the method's
        own, and the profile is that of today.
        """
        try:
            told = read_json(self.path / "environment.json").get("overrides")
        except (OSError, ValueError, AttributeError):
            told = None
        if told is None:
            usual = find_overrides(self.settings | {"method.name": "ls"})
            told = {key: usual[key] for key in usual if not key.startswith("method.")}
        return (
            {key: told[key] for key in sorted(told) if "." in key} if isinstance(told, dict) else {}
        )

    @cached_property
    def device(self) -> str | None:
        """What environment.json calls the device, such as a GPU's model, or else the summary.

        Of a run whose processes had different devices it is all their names.
        """
        try:
            return ", then ".join(devices_of(read_json(self.path / "environment.json")))
        except (OSError, ValueError, TypeError, KeyError):
            return None if self.summary is None else str(self.summary.get("device"))

    @cached_property
    def machine(self) -> str | None:
        """Device and system of environment.json, or else the device; times are compared within one.

        A processor's name and the version of the system tell machines apart, as far as they do.
        """
        try:
            return ", then ".join(machines_of(read_json(self.path / "environment.json")))
        except (OSError, ValueError, TypeError, KeyError):
            return self.device


def find_records(
    results: Path,
    *,
    profile: str | None = None,
    dataset: str | None = None,
    method: str | None = None,
) -> list[Record]:
    """Return the records below ``results``, ordered by profile, data set, label and seed.

    Args:
        results: the folder of all profiles; one that doesn't exist holds no records.
        profile: only this profile.
        dataset: only this data set.
        method: only this method with all its variants, or only this label.

    Raises:
        ConfigError: ``results`` is a file.
    """
    if results.is_file():
        raise ConfigError(f"paths.results={results}: must be a folder of run records, not a file")
    records = []
    folders = [results]
    for _level in ("profile", "data set", "label", "run"):
        folders = [inner for folder in folders for inner in _folders(folder)]
    for path in folders:
        run_profile, run_dataset, label = path.parts[-4:-1]
        wanted = (
            profile in (None, run_profile)
            and dataset in (None, run_dataset)
            and method in (None, label.partition("-")[0], label)
        )
        if wanted and (record := find_record(path)):
            records.append(record)
    return sorted(records, key=lambda r: (r.profile, r.dataset, r.label, r.seed, r.hash))


def _folders(folder: Path) -> list[Path]:
    """Return the folders in one; what can't be read is told, since its runs are missing then."""
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        warn(f"{folder} can't be read, so that its runs are missing here: {error.strerror}")
        return []


def require_no_record(path: Path, word: str) -> None:
    """Raise if a file that is about to be written lies in the record of a run.

    Args:
        path: the file.
        word: what names it on the command line.

    Raises:
        ConfigError: it does.
    """
    for folder in path.absolute().parents:
        if FOLDER.fullmatch(folder.name) and (folder / "config.yaml").exists():
            raise ConfigError(f"{word}{path}: {folder} is the record of a run; name another folder")


def find_record(path: Path) -> Record | None:
    """Return the record in a folder, None where there is none."""
    name = FOLDER.fullmatch(path.name)
    if name is None or not path.is_dir():
        return None
    profile, dataset, label = map(printable, path.parts[-4:-1])
    method, _, variant = label.partition("-")
    identity: dict[str, Any] = {"profile": profile, "dataset": dataset, "method": method}
    identity |= {"variant": variant or None, "seed": int(name["seed"]), "hash": name["hash"]}
    return _read(path, identity)


def _read(path: Path, identity: dict[str, Any]) -> Record:
    """Read one record; a file that can't be read makes it failed."""
    state: State = "failed"
    progress: dict[str, Any] = {}
    try:
        if (path / SEAL).exists():
            if changed := changed_files(path):
                raise RecordError(f"{', '.join(changed)} changed after the run was finished")
            summary = check_summary(_read_json(path / "summary.json"), identity)
            epochs = summary["epochs"]
            finished = {"epochs_done": epochs, "epochs_total": epochs, "summary": summary}
            finished["sealed"] = is_sealed(path)
            return Record(path, state="finished", **finished, **identity)
        state = _unfinished_state(path)
        progress["epochs_done"] = _last_epoch(path / "metrics.jsonl")
        progress["epochs_total"] = _planned_epochs(path / "config.yaml", identity)
        if state == "failed":
            failure = _read_json(path / "FAILED.json")
            failure = failure if isinstance(failure, dict) else {}
            state = "exploded" if failure.get("kind") == ExplodedError.__name__ else "failed"
            error = failure.get("error")
            progress["error"] = " ".join(str(error or "FAILED.json doesn't say why").split())
    except (OSError, RecordError) as error:
        state = "running" if state == "running" else "failed"
        progress["error"] = " ".join(str(error).split())
    return Record(path, state=state, **progress, **identity)


def _unfinished_state(path: Path) -> State:
    if is_locked(path / ".lock"):
        return "running"
    return "failed" if (path / "FAILED.json").exists() else "interrupted"


def is_locked(lock: Path) -> bool:
    """Tell whether a living process holds the lock file of a run.

    Asks for a shared lock, which a training's exclusive one refuses, and gives it back at once: two
    readers at the same moment don't take each other for a training, and a folder that can only be
    read will do. ``lock`` is neither created nor changed.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    loss = "a run that is going on looks interrupted, and two processes may train it at once"
    try:
        return not take_lock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, lock.parent, loss)
    finally:
        os.close(descriptor)


def _read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise RecordError(f"{path.name} is missing although the run has ended") from error
    except ValueError as error:
        raise RecordError(f"{path.name} can't be read as JSON: {error}") from error


def _last_epoch(path: Path) -> int:
    """Return the last epoch in ``metrics.jsonl``, leaving out a line that is being written."""
    lines = complete_lines(path)
    try:
        return int(parse_epoch(lines[-1])["epoch"]) if lines else 0
    except ValueError as error:
        raise RecordError(f"{path.name} line {len(lines)} holds no epoch: {error}") from error


def _planned_epochs(path: Path, identity: dict[str, Any]) -> int | None:
    """Return the epochs of the run that ``identity`` names; None where no file says so yet."""
    if not path.exists():
        return None
    try:
        config = all_printable(read_yaml(path))
        epochs = int(config["trainer"]["epochs"])
        named = {group: config[group]["name"] for group in ("profile", "dataset", "method")}
        folder = {key: value for key, value in identity.items() if key != "hash"}
        check_identity(path.name, {**config, **named}, folder)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise RecordError(f"{path.name} names no run or no trainer.epochs: {error}") from error
    return epochs
