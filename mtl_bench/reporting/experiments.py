"""Tables and figures of papers: the section ``report`` of ``configs/experiment/NAME.yaml``.

A row is a label of run records: a method and the variant that ``configs/ablation`` gives it. Where
no rows are named, they are what the sweep of the same file makes, in its order. Published numbers
stand in CSV files, as printed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from mtl_bench.config.groups import Source, find_choices, find_sources, read_choice
from mtl_bench.errors import ConfigError
from mtl_bench.reporting.comparison import Setting
from mtl_bench.reporting.display import find_display, method_name

KEYS = (
    *("title", "rows", "reference", "metrics", "note", "sweeps"),
    *("published", "where", "columns", "architecture"),
)
"""What a section ``report`` may have."""

RAW = "taskforce-raw"
"""The label of a row that is computed: no machine has the memory to run it."""

OF_ROW = ("method", "ablation", "variant", "title", "printed")
"""What a row may have."""


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Args:
        title: what the row is called.
        label: the records' label.
        printed: the first cell of its row in the published table.
    """

    title: str
    label: str
    printed: str


@dataclass(frozen=True)
class Experiment:
    """One table or figure.

    Args:
        title: what its heading begins with.
        lines: its rows.
        reference: label of the row that training cost is relative to.
        published: file of the published table, or None.
        where: data set and network of the published numbers.
        columns: published columns by header; {dataset} stands for the records' data set.
        note: what a reader must know.
        dataset: the only one that it is about, or None.
        architecture: that of the published numbers, where they are shown in every table of the
            data set.
        metrics: whether every metric has a column.
        sweeps: the sweeps of ``configs/experiment`` that make its runs.
    """

    title: str
    lines: tuple[Line, ...]
    reference: str
    published: Path | None
    where: str
    columns: tuple[tuple[str, str], ...]
    note: str
    dataset: str | None
    architecture: str | None
    metrics: bool
    sweeps: tuple[str, ...]


FOLDERS = (("published",), ("results", "published"))
"""Where the tables are beside a folder of configs: in a package, and in our checkout."""


def find_published(configs: Path, name: str) -> Path:
    """Return the file of a published table.

    Args:
        configs: the folder of configs that names it.
        name: of the file.

    Raises:
        ConfigError: there is no such file.
    """
    paths = [configs.parent.joinpath(*folder, name) for folder in FOLDERS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ConfigError(f"there is no published table {paths[0]}")
    return path


@cache
def read_published(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a published table by their first cell."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {next(iter(row.values())): row for row in rows}


def as_number(text: str) -> float | None:
    """Return a printed number, None for what is no number."""
    try:
        return float(text)
    except ValueError:
        return None


def find_experiments() -> dict[str, Experiment]:
    """Return name -> table or figure, for every experiment that has a report.

    Raises:
        ConfigError: a section ``report`` that will not do.
    """
    return _read_all(find_sources())


@cache
def _read_all(_: tuple[Source, ...]) -> dict[str, Experiment]:
    """Read what is installed once; it stays as it is while ``sys.path`` does."""
    found = {}
    for name, choice in find_choices("experiment").items():
        text = read_choice("experiment", name)
        if "report" in text:
            try:
                found[name] = _experiment(name, text, choice.path)
            except (TypeError, ValueError, AttributeError) as error:
                raise ConfigError(f"{choice.path}: report: {error}") from error
    return found


def published_numbers(setting: Setting) -> tuple[tuple[tuple[str, str], ...], dict[str, Any]]:
    """Return columns by header, and label -> row, of what is printed for a data set and network.

    Drawn data have nothing printed.
    """
    place = setting.dataset, setting.architecture
    for experiment in find_experiments().values():
        mine = (experiment.dataset, experiment.architecture) == place
        if mine and experiment.published and setting.data_kind == "real":
            table = read_published(experiment.published)
            rows = {line.label: table.get(line.printed, {}) for line in experiment.lines}
            return experiment.columns, rows
    return (), {}


def published_delta(setting: Setting, label: str) -> str | None:
    """Return the printed Δm of a method, if there is one for this data set and network."""
    _, rows = published_numbers(setting)
    text = rows.get(label, {}).get("delta_m", "")
    return text if as_number(text) is not None else None


def _experiment(name: str, text: Mapping[str, Any], path: Path) -> Experiment:
    report, params = text["report"], _params(text)
    _refuse_unknown(report, KEYS)
    rows = report.get("rows") or _swept(params)
    lines = tuple(_line(row) for row in rows)
    if not lines:
        raise ValueError("neither rows nor a sweep of methods or ablations")
    reference = report.get("reference", "ls")
    if reference not in {line.label for line in lines}:
        raise ValueError(f"reference={reference} is the label of no row")
    file = report.get("published")
    return Experiment(
        title=str(report.get("title", name)),
        lines=lines,
        reference=reference,
        published=find_published(path.parents[1], file) if file else None,
        where=str(report.get("where", "")),
        columns=tuple(pair for column in report.get("columns", []) for pair in column.items()),
        note=str(report.get("note", "")),
        dataset=_overridden(text.get("defaults", []), "dataset"),
        architecture=report.get("architecture"),
        metrics=bool(report.get("metrics", False)),
        sweeps=tuple(report.get("sweeps", [name])),
    )


def _refuse_unknown(section: Mapping[str, Any], known: Iterable[str]) -> None:
    if unknown := sorted(section.keys() - set(known)):
        raise ValueError(f"unknown key {unknown[0]}; allowed: {', '.join(known)}")


def _params(text: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what an experiment sweeps over, but for seeds."""
    params = text.get("hydra", {}).get("sweeper", {}).get("params", {})
    return {key: str(values).split(",") for key, values in params.items() if key != "seed"}


def _swept(params: Mapping[str, list[str]]) -> list[dict[str, str]]:
    return [dict(zip(params, values, strict=True)) for values in product(*params.values())]


def _overridden(defaults: Iterable[Any], group: str) -> str | None:
    """Return the choice of a group that the defaults of a file make."""
    chosen = {
        str(key).removeprefix("override ").lstrip("/"): str(choice)
        for entry in defaults
        if isinstance(entry, dict)
        for key, choice in entry.items()
    }
    return chosen.get(group)


def _line(row: Mapping[str, Any]) -> Line:
    """Return a row by the words that make its runs, as in a sweep, and what it is called."""
    words = {key: str(value) for key, value in row.items()}
    _refuse_unknown({key: value for key, value in words.items() if "." not in key}, OF_ROW)
    ablation, method, variant = (words.get(key) for key in ("ablation", "method", "variant"))
    display: Mapping[str, Any] = {}
    if ablation is not None:
        text, display = read_choice("ablation", ablation), find_display("ablation", ablation)
        method = _overridden(text.get("defaults", []), "method")
        variant = text.get("variant") and _filled(text["variant"], words)
    if method is None:
        raise ValueError(f"the row {dict(row)} has neither a method nor an ablation of one")
    label = f"{method}-{variant}" if variant else method
    usual = display.get("name") or (label if variant else method_name(method))
    title = words.get("title") or _filled(usual, words)
    return Line(title, label, words.get("printed", title))


def _filled(text: object, words: Mapping[str, str]) -> str:
    """Return a text with the values of a sweep's other words in it."""
    return re.sub(r"\$\{([\w.]+)\}", lambda found: words.get(found[1], found[0]), str(text))
