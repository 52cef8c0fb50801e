"""Commands that are advised about records: what made them, what lists them, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_bench.advice import command
from mtl_bench.config.overrides import find_overrides
from mtl_bench.errors import ConfigError
from mtl_bench.files import printable
from mtl_bench.records.reader import FOLDER, Record, find_record, find_records
from mtl_bench.reporting.grouping import shared_overrides
from mtl_bench.words import parse_list, parse_seeds

METHODS_OWN = "method."
"""Beginning of the keys in which the methods of a comparison may differ."""

DEPTH = 3
"""Folders between a record and the one of all profiles."""


def train_command(records: Sequence[Record], *words: str, seeds: Iterable[int]) -> str:
    """Return the command that trains something else beside records: with all that these share.

    Args:
        records: one or more of one profile and data set.
        words: what to train, for instance ``method=ls,mgda``.
        seeds: with which seeds.
    """
    shared = shared_overrides([_beside(record) for record in records])
    return _train(records[0], list(words), sorted(set(seeds)), shared)


def rerun_command(path: Path) -> str:
    """Return the command whose run has its record in this folder."""
    record = find_record(path if len(path.parents) > DEPTH else path.absolute())
    assert record is not None
    words = [f"method={record.method}"]
    words += [f"variant={record.variant}"] if record.variant else []
    return _train(record, words, [record.seed], find_overrides(record.settings))


def status_command(records: Sequence[Record]) -> str:
    """Return the command that lists these records."""
    profiles = {record.profile for record in records}
    datasets = {record.dataset for record in records}
    return command(
        "status",
        profile=profiles.pop() if len(profiles) == 1 else None,
        dataset=datasets.pop() if len(datasets) == 1 else None,
        paths__results=results_of(records[0].path),
    )


def results_of(record: Path) -> Path:
    """Return the folder of all profiles."""
    return record.parents[DEPTH]


def _beside(record: Record) -> dict[str, Any]:
    """Return the overrides that don't depend on the method."""
    overrides = find_overrides(record.settings | {"method.name": "ls"})
    return {key: value for key, value in overrides.items() if not key.startswith(METHODS_OWN)}


def _train(record: Record, words: list[str], seeds: list[int], overrides: dict[str, Any]) -> str:
    words.append(f"seed={','.join(map(str, seeds))}")
    several = any("," in word or word.startswith("experiment=") for word in words)
    return command(
        *("train", *["-m"] * several, *words),
        dataset=record.dataset,
        profile=record.profile,
        **overrides,
        paths__data=_data_of(record),
        paths__results=results_of(record.path),
    )


def _data_of(record: Record) -> str | None:
    """Return where the run's data were, if there still is such a folder."""
    try:
        folder = str(record.config["paths"]["data"])
    except (TypeError, KeyError):
        return None
    return folder if Path(folder).is_dir() else None


def choose_records(results: Path, settings: Mapping[str, str | None]) -> list[Record]:
    """Return the records of a command's profile, data set and seeds; without one, of all.

    Raises:
        ConfigError: seeds that are no whole numbers.
    """
    found = find_records(results, profile=settings["profile"], dataset=settings["dataset"])
    seeds = parse_seeds(settings["seed"])
    return [record for record in found if not seeds or record.seed in seeds]


def require_labels(methods: Sequence[str], records: Sequence[Record]) -> None:
    """Check that every method has a record, be it unfinished.

    Raises:
        ConfigError: it names the first that has none, and those that there are.
    """
    there = sorted({record.label for record in records})
    if unknown := [method for method in methods if method not in there]:
        raise ConfigError(f"no run record has method={unknown[0]}; there are {', '.join(there)}")


def explain_no_records(results: Path, chosen: Mapping[str, str | None]) -> str:
    """Return which choice no record has and those that there are, or how to make the first record.

    Args:
        results: the folder of all profiles.
        chosen: profile, dataset, method or seed -> what was typed, None for all; a method is one
            with all its variants, or a label.
    """
    places = [_names_of(path) for path in results.glob("*/*/*/seed*-*")]
    left, before = [place for place in places if place], ""
    for key, value in chosen.items():
        if value is None or not left:
            continue
        kept = [place for place in left if _matches(key, value, place[key])]
        if not kept:
            there = sorted({place[key] for place in left})
            return f"No run record has {before}{key}={value}; there are {', '.join(there)}."
        left, before = kept, f"{before}{key}={value} and "
    return explain_empty(results)


def explain_empty(results: Path) -> str:
    """Return the command that makes the first record in a folder."""
    chosen = {"dataset": "qm9", "method": "ls", "profile": "mini", "seed": 0}
    start = command("train", **chosen, paths__results=results)
    return f"There are no run records in {results} yet. Start one with: {start}"


def _matches(key: str, value: str, name: str) -> bool:
    if key == "seed":
        return name in parse_list(value)
    return value == name or (key == "method" and value == name.partition("-")[0])


def _names_of(path: Path) -> dict[str, str]:
    """Return what a record's folder tells of it; nothing if it is none."""
    name = FOLDER.fullmatch(path.name)
    profile, dataset, label = map(printable, path.parts[-4:-1])
    if name is None:
        return {}
    return {"profile": profile, "dataset": dataset, "method": label, "seed": name["seed"]}
