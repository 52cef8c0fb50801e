"""The report of a campaign, for people and for programs."""

from __future__ import annotations

from typing import Any

from mtl_bench.reporting.layout import NOTHING, markdown_table
from tools.torture.attempts import KINDS
from tools.torture.campaign import Report


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as plain values."""
    by_fault: dict[str, dict[str, int]] = {}
    for (fault, kind), times in sorted(report.faults.items()):
        by_fault.setdefault(fault, {})[kind] = times
    return {
        "seed": report.seed,
        "cells": dict(report.cells),
        "runs": report.runs,
        "faults": sum(report.faults.values()),
        "by_fault": by_fault,
        "lost": report.lost,
        "different": report.different,
        "unclear": report.unclear,
        "begun_anew": report.begun_anew,
        "step_logs_lost": report.step_logs_lost,
        "seconds": round(report.seconds),
    }


def as_markdown(content: dict[str, Any]) -> str:
    """Return what ``as_json`` returned as a table of faults by how the attempt ended."""
    by_fault = content["by_fault"]
    columns = [("fault", list(by_fault))]
    for kind in KINDS:
        columns.append((kind, [str(ends.get(kind, NOTHING)) for ends in by_fault.values()]))
    columns.append(("injected", [str(sum(ends.values())) for ends in by_fault.values()]))
    verdicts = ("lost", "different", "unclear")
    return "\n".join(
        [
            *markdown_table(columns),
            "",
            f"{content['faults']} faults in {content['runs']} runs of {len(content['cells'])} "
            f"configurations, seed {content['seed']}, {content['seconds'] / 60:.0f} minutes: "
            + ", ".join(f"{len(content[name])} {name}" for name in verdicts)
            + f"; {content['begun_anew']} begun anew because every checkpoint was damaged, "
            f"{content['step_logs_lost']} with a part of the step log missing and told so",
            *(f"- {name}: {line}" for name in verdicts for line in content[name]),
        ]
    )
