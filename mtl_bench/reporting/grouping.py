"""Which runs make a row: those of one system whose configurations differ in nothing but the seed.

A system is a method or variant of one with an architecture.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mtl_bench.reporting.comparison import ScoredRun

MOST_KEYS = 4
"""Keys that a note names."""

OWN = ("method.",)
"""Beginnings of the keys in which methods may differ."""

OWN_KEYS = ("architecture._target_",)
"""Others: single-task networks are built by a class of their own."""

NETWORK = "architecture."
"""Beginning of the keys in which systems may differ, too."""


@dataclass(frozen=True)
class Group:
    """The runs of a row.

    Args:
        name: the title of the first run; its architecture stands behind it where the label has
            several, and its hash where another row would be called the same.
        label: of the records.
        runs: by seed, no seed twice.
        others: what this configuration has where those of the same system differ, by dotted key;
            None where the system has one row.
    """

    name: str
    label: str
    runs: tuple[ScoredRun, ...]
    others: Mapping[str, Any] | None

    @cached_property
    def by_seed(self) -> dict[int, ScoredRun]:
        """The runs by their seed."""
        return {run.record.seed: run for run in self.runs}

    @property
    def method(self) -> str:
        """The method of which the row is, or is a variant."""
        return self.runs[0].record.method

    @property
    def is_ablation(self) -> bool:
        """Whether the row is a variant."""
        return self.label != self.method

    @property
    def architecture(self) -> str:
        """The architecture of all runs of the row."""
        return str(self.runs[0].summary["architecture"])

    @property
    def settings(self) -> dict[str, Any]:
        """What all runs of the row were made with."""
        return self.runs[0].record.settings

    @cached_property
    def system(self) -> dict[str, Any]:
        """The settings of the method and of the network."""
        return {k: v for k, v in self.settings.items() if k.startswith((*OWN, NETWORK))}

    @cached_property
    def surroundings(self) -> dict[str, Any]:
        """The settings that are not the method's own."""
        return {
            key: value
            for key, value in self.settings.items()
            if not key.startswith(OWN) and key not in OWN_KEYS
        }

    @property
    def overrides(self) -> dict[str, Any]:
        """Those of them that differ from the profile's."""
        return self.runs[0].record.overrides

    def beside(self, groups: Iterable[Group], label: str) -> Group | None:
        """Return the row of ``label`` that this one is held against.

        Of several it is the one whose settings are this row's but for the method's own.
        """
        if self.label == label:
            return self
        found = [group for group in groups if group.label == label]
        if len(found) == 1:
            return found[0]
        alike = [group for group in found if group.surroundings == self.surroundings]
        return alike[0] if len(alike) == 1 else None


def group_runs(runs: Iterable[ScoredRun]) -> list[Group]:
    """Return the rows of a comparison, without an order."""
    systems: dict[tuple[str, str], list[list[ScoredRun]]] = {}
    for run in sorted(runs, key=lambda run: (run.record.seed, run.record.hash)):
        rows = systems.setdefault((run.record.label, run.summary["architecture"]), [])
        row = next((row for row in rows if _belongs(run, row)), None)
        if row is None:
            rows.append([run])
        else:
            row.append(run)
    return _named([group for (label, _), rows in systems.items() for group in _groups(label, rows)])


def _belongs(run: ScoredRun, row: list[ScoredRun]) -> bool:
    """Tell whether the run differs from a row in its seed alone."""
    own = run.record
    return own.settings == row[0].record.settings and own.seed not in {r.record.seed for r in row}


def _groups(label: str, rows: list[list[ScoredRun]]) -> Iterator[Group]:
    settings = [row[0].record.settings for row in rows]
    keys = varying(settings)
    for row, own in zip(rows, settings, strict=True):
        others = {key: own.get(key) for key in keys} if len(rows) > 1 else None
        yield Group(_title(row), label, tuple(row), others)


def _title(row: list[ScoredRun]) -> str:
    """Return what the row's runs are called: by the first that has a label of its own, if any."""
    titles = [run.record.title for run in row]
    return next((title for title in titles if title != row[0].record.label), titles[0])


def _named(groups: list[Group]) -> list[Group]:
    """Return the rows, each with a name that no other has."""
    systems = {(group.label, group.architecture) for group in groups}
    counts = Counter(label for label, _ in systems)
    named = [
        replace(group, name=f"{group.name} {group.architecture}")
        if counts[group.label] > 1
        else group
        for group in groups
    ]
    names = Counter(group.name for group in named)
    return [
        replace(group, name=f"{group.name} {group.runs[0].record.hash}")
        if names[group.name] > 1
        else group
        for group in named
    ]


def varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same everywhere."""
    keys = sorted({key for each in settings for key in each})
    return [key for key in keys if len({_text(each.get(key)) for each in settings}) > 1]


def differences(groups: Sequence[Group]) -> list[str]:
    """Say in what the rows differ besides method and architecture: each key with its values."""
    known = [group for group in groups if group.settings]
    within = {
        key
        for architecture in {group.architecture for group in known}
        for key in varying([g.surroundings for g in known if g.architecture == architecture])
    }
    said = []
    for key in varying([group.surroundings for group in known]):
        if key.startswith(NETWORK) and key not in within:
            continue
        names: dict[str, list[str]] = {}
        for group in known:
            names.setdefault(_text(group.surroundings.get(key)), []).append(group.name)
        *rare, (usual, _) = sorted(names.items(), key=lambda item: len(item[1]))
        told = [f"{value} in {', '.join(rows)}" for value, rows in rare]
        said.append(f"{key}: {'; '.join(told)}; {usual} elsewhere")
    return said


def shared_overrides(overrides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all runs, or rows of runs, have in place of the profile's settings.

    Args:
        overrides: of each.
    """
    first, *others = overrides
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def assignments(values: Mapping[str, Any]) -> list[str]:
    """Return for instance ``optimizer.lr=0.5`` for each setting."""
    return [f"{key}={_text(value)}" for key, value in values.items()]


def describe(values: Mapping[str, Any]) -> str:
    """Return the first of the assignments, and how many there are more."""
    told = assignments(values)
    more = [f"{len(told) - MOST_KEYS} more"] if len(told) > MOST_KEYS else []
    return ", ".join(told[:MOST_KEYS] + more)


def _text(value: object) -> str:
    return "–" if value is None else json.dumps(value, ensure_ascii=False).strip('"')
