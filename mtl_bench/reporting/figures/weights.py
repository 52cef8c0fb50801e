"""figure4: the task weights over training (paper, figure 4 and appendix F.4)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.looks import GREY, Look, task_looks
from mtl_bench.reporting.figures.panels import draw_line, grid, label_ends, page
from mtl_bench.reporting.figures.series import (
    WINDOW,
    Array,
    mean_and_sd,
    shares,
    smooth_and_thin,
)
from mtl_bench.reporting.figures.steps import SeedLogs, read_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
BANDS = 5
"""Tasks up to which bands are drawn; of more they hide each other, so the labels say it."""

SMOOTHING = 40
"""The moving average's window is this part of a run, and no less than the paper's."""

CONSTANT = 1e-6


def draw(scene: FigureContext) -> Drawing:
    """Return one panel for each method whose weights change, one line for each task.

    Weights are w / Σ|w|, so that methods with other sums share an axis and 1/T is equal weights.

    Raises:
        CannotDrawError: no method has weights that change, or no step log can be read.
    """
    names = list(scene.tasks)
    constant, moving = list[SeedLogs[Array]](), list[SeedLogs[Array]]()
    problems: list[str] = []
    for row, component in product(scene.rows, scene.components):
        logs = read_row(scene, row, [f"weight/{task}" for task in names], _weights, component)
        problems.extend(logs.problems)
        if logs.values:
            still = all(np.ptp(value, axis=0).max() < CONSTANT for value in logs.values)
            (constant if still else moving).append(logs)
    same = ", ".join(logs.title for logs in constant)
    if not moving:
        reason = f"the weights of {same} are constant" if same else "no step log to draw"
        raise CannotDrawError("; ".join([*problems, reason]) + scene.command_of("taskforce"))
    banded = len(names) <= BANDS
    windows = sorted({_window(logs.updates) for logs in moving})
    notes = (
        f"Moving average over {' to '.join(map(str, dict.fromkeys((windows[0], windows[-1]))))} "
        "updates; weights are divided by the sum of their magnitudes; dotted line: 1/T, equal "
        f"weights{f' (constant weights are not shown: {same})' if same else ''}.",
        _about_seeds(moving, banded),
    )
    rows = -(-len(moving) // COLUMNS)
    height = 1.6 if banded else 1.95
    figure, body = page(
        max(4.6, 3.15 * min(len(moving), COLUMNS) + 0.4),
        height * rows + 0.75,
        f"Task weights over training: {scene.subject}",
        footer(scene, [logs.row for logs in moving], *notes),
    )
    looks = task_looks(names)
    for panel, logs in zip(grid(body, len(moving), COLUMNS), moving, strict=True):
        title = f"{logs.title}, n\u00a0=\u00a0{len(logs.values)}"
        panel.set_title(title, fontsize=8.5, loc="left")
        _draw_panel(panel, logs, list(scene.tasks.values()), list(looks.values()), height - 0.55)
    body.supxlabel("update", fontsize=8)
    body.supylabel("share of the weights, wₜ / Σ|w|", fontsize=8)
    return Drawing(figure, tuple(problems))


def _weights(steps_N: Array, weights_NT: Array) -> tuple[Array, Array]:
    return smooth_and_thin(steps_N, shares(weights_NT), _window(int(steps_N.max(initial=0))))


def _window(updates: int) -> int:
    return max(WINDOW, updates // SMOOTHING)


def _about_seeds(moving: list[SeedLogs[Array]], banded: bool) -> str:
    """Return what lines, bands and labels are; there is no deviation of a single seed."""
    if all(len(logs.values) == 1 for logs in moving):
        return ""
    spread = "bands" if banded else "labels"
    at_the_end = "" if banded else " at the end"
    return f"Lines: mean over n seeds; {spread}: ± sample standard deviation{at_the_end}."


def _draw_panel(
    panel: Axes, logs: SeedLogs[Array], labels: list[str], looks: list[Look], height: float
) -> None:
    mean_NT, sd_NT = mean_and_sd(logs.values)
    panel.axhline(1 / len(labels), color=GREY, linewidth=0.9, linestyle=":", zorder=1)
    for t, look in enumerate(looks):
        draw_line(panel, logs.steps, mean_NT[:, t], look, t)
        if sd_NT is not None and len(labels) <= BANDS:
            low_N, high_N = mean_NT[:, t] - sd_NT[:, t], mean_NT[:, t] + sd_NT[:, t]
            panel.fill_between(logs.steps, low_N, high_N, color=look.colour, alpha=0.15, lw=0)
        seen = np.flatnonzero(np.isfinite(mean_NT[:, t]))
        if sd_NT is not None and len(labels) > BANDS and seen.size:
            labels[t] += f" ±{sd_NT[seen[-1], t]:.2f}"
    label_ends(panel, logs.steps, mean_NT, labels, looks, height)
