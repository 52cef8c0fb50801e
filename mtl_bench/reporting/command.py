"""What ``mtl-bench tables`` does."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl_bench.advice import command
from mtl_bench.errors import ConfigError
from mtl_bench.files import explain_write_errors, write_text
from mtl_bench.records.reader import Record
from mtl_bench.reporting.advice import choose_records, explain_no_records, require_labels
from mtl_bench.reporting.cost_tables import COST_TABLES, epoch_methods, render_cost_table
from mtl_bench.reporting.experiment_tables import render_experiment
from mtl_bench.reporting.experiments import find_experiments
from mtl_bench.reporting.run_tables import (
    RUN_TABLES,
    explain_no_table,
    find_run_tables,
    render_runs,
)
from mtl_bench.reporting.selections import render_selections
from mtl_bench.reporting.table import FORMATS, SUFFIXES, Format
from mtl_bench.reporting.tables import render_tables
from mtl_bench.values import SELECTIONS
from mtl_bench.words import parse_list, require_choice

SETTINGS = {
    "profile": None,
    "dataset": None,
    "method": None,
    "seed": None,
    "selection": None,
    "baseline": "own",
    "format": "markdown",
    "paths__results": "results",
    "paths__tables": None,
}
"""Settings of the command with their defaults."""

PAGE = 100
"""Terminal cells of a table that goes to a file or a pipe."""


def tables(names: Sequence[str], settings: dict[str, Any]) -> None:
    """Print tables, and write each in every form below ``paths.tables`` if that is given.

    What no finished run has anything to show of is not written: an empty table would pass for a
    result.

    Args:
        names: of the paper's tables and figures or of ``find_run_tables``; none for all records.
        settings: as ``SETTINGS``.

    Raises:
        ConfigError: an unknown name or choice, or one that a table takes no notice of.
    """
    fixed = (*find_experiments(), *COST_TABLES, *RUN_TABLES)
    known = {*fixed, *find_run_tables()}
    if unknown := [name for name in names if name not in known]:
        allowed = ", ".join(fixed)
        raise ConfigError(f"unknown table {unknown[0]}; allowed: {allowed}, against_METHOD")
    require_choice(settings, "baseline", ("own", "published"))
    require_choice(settings, "format", FORMATS)
    # under all rules at once there is the table of all records alone
    require_choice(settings, "selection", SELECTIONS if names else (*SELECTIONS, "all"))
    _refuse_ignored(names, settings)
    results = Path(settings["paths.results"])
    records = choose_records(results, settings)
    methods = parse_list(settings["method"])
    if records and methods:
        require_labels(methods, records)
        records = [record for record in records if record.label in methods]
    if not names and not records:
        chosen = {key: settings[key] for key in ("profile", "dataset", "seed")}
        _tell(explain_no_records(results, chosen), settings["format"])
        return
    for name in names or ["tables"]:
        shown = _render(name, records, settings, settings["format"], _width())
        if shown:
            print(shown)
        else:
            _tell(_say_missing(name, records, settings), settings["format"])
        if settings["paths.tables"]:
            _write(name, records, settings)


def _write(name: str, records: Sequence[Record], settings: dict[str, Any]) -> None:
    """Write a table in every form; nothing where there is none, of which CSV alone says nothing."""
    texts = {form: _render(name, records, settings, form, PAGE) for form in FORMATS}
    for form, text in texts.items() if texts["csv"] else ():
        path = Path(settings["paths.tables"]) / f"{name}{SUFFIXES[form]}"
        with explain_write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def _tell(text: str, form: Format) -> None:
    """Print what stands in place of a table where no program reads it as one."""
    print(text, file=sys.stdout if form == "markdown" else sys.stderr)


def _refuse_ignored(names: Sequence[str], settings: dict[str, Any]) -> None:
    """Check that every table obeys the settings, which would stand for what it doesn't show.

    Raises:
        ConfigError: it names the table and the setting.
    """
    ignored = []
    if settings["baseline"] == "published":
        known = find_experiments()
        ignored += [(name, "baseline") for name in names if name not in known]
        ignored += [("selection=all", "baseline")] * (settings["selection"] == "all")
    if settings["method"]:  # others compare rows, and say another thing of a few of them
        by_run = [name for name, table in RUN_TABLES.items() if table.by_run]
        ignored += [(name, "method") for name in names or ["tables"] if name not in by_run]
    if settings["selection"]:
        ignored += [(name, "selection") for name in names if name in COST_TABLES]
    if ignored:
        table, key = ignored[0]
        raise ConfigError(f"{table} takes no {key}={settings[key]}: leave it out")


def _render(
    name: str, records: Sequence[Record], settings: dict[str, Any], form: Format, width: int
) -> str:
    options = {"selection": settings["selection"], "form": form, "width": width}
    if name in COST_TABLES:
        return render_cost_table(name, records, form=form, width=width)
    if name in find_run_tables():
        return render_runs(name, records, **options)
    if name in find_experiments():
        return render_experiment(name, records, baseline=settings["baseline"], **options)
    if settings["selection"] == "all":
        return render_selections(records, form=form, width=width)
    return render_tables(records, baseline=settings["baseline"], **options)


def _say_missing(name: str, records: Sequence[Record], settings: dict[str, Any]) -> str:
    """Return what to say where no record has what a table shows."""
    own = find_run_tables().get(name)
    if own and (told := explain_no_table(name, records, settings["selection"])):
        return told
    experiment = find_experiments().get(name)
    place = _place_beside(records, settings, experiment.dataset if experiment else None)
    dataset = place["dataset"]
    words = [[f"dataset={dataset}", f"method={own.methods if own else 'taskforce'}"]]
    if name in COST_TABLES:
        words = [["dataset=nyuv2", f"method={','.join(epoch_methods())}"]]
    elif experiment:
        words = [[f"experiment={sweep}", f"dataset={dataset}"] for sweep in experiment.sweeps]
    usual = ",".join(map(str, range(own.seeds if own else 3)))
    seeds = f"seed={settings['seed'] or usual}"
    where = {"profile": place["profile"], "paths.results": settings["paths.results"]}
    commands = [f"`{command('train', '-m', *each, seeds, **where)}`" for each in words]
    return f"There is no finished run of {name} here. Make them with {' and '.join(commands)}\n"


def _place_beside(
    records: Sequence[Record], settings: dict[str, Any], dataset: str | None
) -> dict[str, str]:
    """Return profile and data set of a run to advise: those chosen, or of the records there are.

    Args:
        records: that are there.
        settings: of the command.
        dataset: that the table is of; None where that is left open.
    """
    alike = [record for record in records if record.dataset == dataset] or records
    chosen = {"profile": settings["profile"], "dataset": dataset or settings["dataset"]}
    usual = {"profile": "mini", "dataset": "qm9"}
    there = {key: getattr(record, key) for record in alike[:1] for key in usual}
    return usual | there | {key: value for key, value in chosen.items() if value}


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PAGE
