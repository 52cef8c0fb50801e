"""What to say where no run record is what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mtl_bench.advice import command
from mtl_bench.files import printable
from mtl_bench.records.reader import FOLDER
from mtl_bench.words import parse_list


def say_absent(results: Path, chosen: Mapping[str, str | None]) -> str:
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
    return how_to_start(results)


def how_to_start(results: Path) -> str:
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
