"""figure4: the task weights over training (paper, figure 4 and appendix F.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.reporting.figures.looks import GREY, Look, task_looks
from mtl_bench.reporting.figures.panels import draw_line, end_labels, grid, page
from mtl_bench.reporting.figures.scene import CannotDrawError, Drawing, Scene, footer
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

CONSTANT = 1e-6


def draw(scene: Scene) -> Drawing:
    """Return one panel for each method whose weights change, one line for each task.

    Weights are w / Σ|w|, so that methods with other sums share an axis and 1/T is equal weights.

    Raises:
        CannotDrawError: no method has weights that change, or no step log can be read.
    """
    names = list(scene.tasks)
    constant, moving = list[SeedLogs[Array]](), list[SeedLogs[Array]]()
    problems: list[str] = []
    for row in scene.rows:
        logs = read_row(scene, row, [f"weight/{task}" for task in names], _weights)
        problems.extend(logs.problems)
        if logs.values:
            still = all(np.ptp(value, axis=0).max() < CONSTANT for value in logs.values)
            (constant if still else moving).append(logs)
    same = ", ".join(logs.row.name for logs in constant)
    if not moving:
        reason = f"the weights of {same} are constant" if same else "no step log to draw"
        more = scene.command("method=taskforce")
        raise CannotDrawError("; ".join([reason, *problems]) + f": {more}")
    banded = len(names) <= BANDS
    notes = (
        f"Moving average over {WINDOW} updates; weights are divided by the sum of their "
        "magnitudes; dotted line: 1/T, equal weights"
        + (f" (constant weights are not shown: {same})." if same else "."),
        f"Lines: mean over the seeds; {'bands' if banded else 'labels'}: ± sample standard "
        f"deviation{'' if banded else ' at the end'}.",
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
        panel.set_title(logs.row.name, fontsize=8.5, loc="left")
        _draw_panel(panel, logs, list(scene.tasks.values()), list(looks.values()), height - 0.55)
    body.supxlabel("update", fontsize=8)
    body.supylabel("share of the weights, wₜ / Σ|w|", fontsize=8)
    return Drawing(figure, tuple(problems))


def _weights(steps_N: Array, weights_NT: Array) -> tuple[Array, Array]:
    return smooth_and_thin(steps_N, shares(weights_NT), WINDOW)


def _draw_panel(
    panel: Axes, logs: SeedLogs[Array], labels: list[str], looks: list[Look], height: float
) -> None:
    mean_NT, sd_NT = mean_and_sd(logs.values)
    panel.axhline(1 / len(labels), color=GREY, linewidth=0.9, linestyle=":", zorder=1)
    ends = []
    for t, (label, look) in enumerate(zip(labels, looks, strict=True)):
        draw_line(panel, logs.steps, mean_NT[:, t], look, t)
        if sd_NT is not None and len(labels) <= BANDS:
            low_N, high_N = mean_NT[:, t] - sd_NT[:, t], mean_NT[:, t] + sd_NT[:, t]
            panel.fill_between(logs.steps, low_N, high_N, color=look.colour, alpha=0.15, lw=0)
        seen = np.flatnonzero(np.isfinite(mean_NT[:, t]))
        if seen.size:
            if sd_NT is not None and len(labels) > BANDS:
                label = f"{label} ±{sd_NT[seen[-1], t]:.2f}"
            ends.append((float(logs.steps[-1]), float(mean_NT[seen[-1], t]), label, look))
    panel.margins(x=0)
    panel.set_ylim(panel.get_ylim())
    end_labels(panel, ends, height)
