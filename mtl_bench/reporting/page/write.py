"""Puts the data and the page's own files into one HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from mtl_bench.advice import command
from mtl_bench.errors import ConfigError
from mtl_bench.files import explain_write_errors, write_text
from mtl_bench.records.reader import find_records, require_no_record
from mtl_bench.reporting.advice import explain_empty
from mtl_bench.reporting.page.data import page_data

SCRIPTS = (
    "uplot/uPlot.iife.min.js",
    "dom.js",
    "looks.js",
    "tabs.js",
    "copy.js",
    "table.js",
    "svg.js",
    "save.js",
    "plot.js",
    "controls.js",
    "results.js",
    "labels.js",
    "scatter.js",
    "heat.js",
    "paired.js",
    "weights.js",
    "training.js",
    "gradients.js",
    "difference.js",
    "runs.js",
    "overview.js",
    "main.js",
)
STYLES = ("uplot/uPlot.min.css", "style.css")


def report(settings: Mapping[str, str | None]) -> Path:
    """Write the page that the command line's paths.results, profile and output name."""
    output = settings["output"]
    results = Path(str(settings["paths.results"]))
    return write_report(results, settings["profile"], Path(output) if output else None)


def write_report(results: Path, profile: str | None, output: Path | None) -> Path:
    """Write the page of one profile and return its path.

    Args:
        results: folder of all profiles.
        profile: which one; may be None where there is only one.
        output: the file, ``results/<profile>/report.html`` by default.

    Raises:
        ConfigError: there are no records, or of several profiles and none is named; the file lies
            in a record.
        MtlBenchError: the file can't be written.
    """
    records = find_records(results)
    names = sorted({record.profile for record in records})
    if not names:
        raise ConfigError(explain_empty(results))
    if profile is None and len(names) > 1:
        raise ConfigError(f"profile= is missing; {results} has records of: {', '.join(names)}")
    chosen = profile or names[0]
    if chosen not in names:
        raise ConfigError(f"profile={chosen}: {results} has records of: {', '.join(names)}")
    path = output or results / chosen / "report.html"
    own = [record for record in records if record.profile == chosen]
    require_no_record(path, "output=")
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    same = command("tables", profile=chosen, paths__results=results)
    write_text(path, render_page(page_data(own, chosen, path.parent), same))
    return path


def render_page(data: dict[str, Any], same: str) -> str:
    """Return the page: the same text for the same data.

    Text of records is data in a JSON block that no browser runs; scripts and styles are allowed by
    their hash and the network not at all.

    Args:
        data: of `page_data`.
        same: the command that prints the same numbers.
    """
    style = "\n".join(map(_asset, STYLES))
    notice = f"/* uPlot:\n{_asset('uplot/LICENSE')}*/"  # MIT asks for it in every copy
    script = "\n".join([notice, *map(_asset, SCRIPTS)])
    return Template(_asset("template.html")).substitute(
        title=html.escape(f"mtl_bench: {data['profile']}"),
        same=html.escape(same),
        style_hash=_hash(style),
        script_hash=_hash(script),
        style=style,
        script=script,
        data=embedded(data),
    )


def embedded(data: dict[str, Any]) -> str:
    """Return strict ASCII JSON in which nothing can end the script element around it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (files("mtl_bench.reporting.page") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
