"""The picture of ``benchmarks.growth``: a column for each part, time above and memory below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.growth import COMMANDS, FIXED_PARAMETERS, FIXED_TASKS, QUARTERS, STREAMED
from mtl_bench.reporting.display import method_name
from mtl_bench.reporting.drawing import style
from mtl_bench.reporting.figures.looks import FAINT, Look, method_looks
from mtl_bench.reporting.figures.panels import draw_line, legend_below, page, scale_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "tasks": f"tasks, of {FIXED_PARAMETERS:,} shared parameters",
    "parameters": f"shared parameters, of {FIXED_TASKS} tasks",
    "records": "records that a command reads",
    "processes": "processes, QM9",
}
"""What the horizontal axis counts."""

NAMES = {
    QUARTERS: f"{method_name('nashmtl')}, in quarters",
    STREAMED: f"{method_name('nashmtl')}, streamed",
    **{name: name for name in COMMANDS},
}

LARGEST_TICK = 10_000
"""Above it the horizontal axis has powers of ten."""


def draw(result: dict[str, Any]) -> Figure:
    """Return a column for each part that was measured."""
    parts = {name: result["parts"][name] for name in TITLES if name in result["parts"]}
    names = list(dict.fromkeys(name for costs in parts.values() for name in costs))
    looks = method_looks(names)
    with style():
        figure, body = page(
            max(2.9 * len(parts), 9.0),
            4.6,
            "How cost and memory grow",
            f"{result['device']}. CPU time of a step, of an update in each process or of a "
            f"command: medians of {result['rounds']} interleaved rounds, of a command one run. "
            "Memory that a step or the updates add to a process that has the network; all that a "
            "command takes. In quarters: gradients.max_memory is a quarter of the Jacobian. "
            "Streamed: gradients.backend=streamed, 16 MiB a task at a time.",
        )
        panels: Any = body.subplots(2, len(parts), squeeze=False)
        for (upper, lower), (part, costs) in zip(panels.T, parts.items(), strict=True):
            _draw(upper, costs, looks, "cpu_seconds", 1.0)
            _draw(lower, costs, looks, "peak_bytes", 1e-6)
            lower.set_xlabel(TITLES[part])
        panels[0, 0].set_ylabel("CPU seconds")
        panels[1, 0].set_ylabel("memory [MB]")
        shown = {NAMES.get(name, method_name(name)): look for name, look in looks.items()}
        legend_below(body, list(shown), shown)
    return figure


def _draw(
    panel: Axes, costs: dict[str, Any], looks: dict[str, Look], key: str, factor: float
) -> None:
    values = []
    for index, (name, own) in enumerate(costs.items()):
        counts_N = np.array([*map(int, own)])
        values.append(factor * np.array([cost[key] for cost in own.values()]))
        draw_line(panel, counts_N, values[-1], looks[name], index)
    _count(panel, counts_N)
    scale_values(panel, np.concatenate(values))
    if panel.get_yscale() == "linear":
        panel.set_ylim(bottom=0)
    panel.grid(color=FAINT, linewidth=0.5)
    panel.set_axisbelow(True)


def _count(panel: Axes, counts_N: np.ndarray) -> None:
    from matplotlib.ticker import NullLocator

    if counts_N.max() > 4 * counts_N.min():
        panel.set_xscale("log")
    if counts_N.max() <= LARGEST_TICK:
        panel.set_xticks(counts_N, [f"{count:,}" for count in counts_N], fontsize=7)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.margins(x=0.08)
