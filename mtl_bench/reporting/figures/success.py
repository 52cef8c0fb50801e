"""success: the share of successful episodes of every task and system, as a map."""

from __future__ import annotations

import numpy as np

from mtl_bench.advice import command
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.panels import page

SUCCESS = "success"
ROW = 0.27
"""Inches of a system."""

DARK = 0.55
"""Success up to which the colour below is dark, and the number on it white."""


def draw(scene: FigureContext) -> Drawing:
    """Return a map with a row per system and a column per task, the means last.

    However many rows there are, a map keeps them apart.

    Raises:
        CannotDrawError: tasks have no success.
    """
    at = [c for c, column in enumerate(scene.comparison.columns) if column.metric == SUCCESS]
    rows = scene.rows if scene.asked else scene.comparison.rows
    if not at or not rows:
        words = command("train", dataset="pendulum6", method="ls")
        raise CannotDrawError(f"these tasks have no success; those of environments do: `{words}`")
    labels = [scene.comparison.columns[c].label for c in at]
    found = [[row.metrics[c] for c in at] for row in rows]
    values_MT = np.array([[np.nan if s is None else s.mean for s in own] for own in found])
    values_MC = np.concatenate([values_MT, values_MT.mean(axis=1, keepdims=True)], axis=1)
    figure, body = page(
        9.0,
        ROW * len(rows) + 1.9,
        f"Success: {scene.subject}",
        footer(scene, list(rows), "Share of the evaluation's episodes, mean over the seeds."),
    )
    axes = body.subplots()
    image = axes.imshow(
        np.ma.masked_invalid(values_MC), cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto"
    )
    for (m, c), value in np.ndenumerate(values_MC):
        text = f"{value:.2f}" if np.isfinite(value) else "–"
        colour = "white" if value <= DARK else "black"
        axes.text(c, m, text, ha="center", va="center", fontsize=6.5, color=colour)
    axes.axvline(len(at) - 0.5, color="white", linewidth=3)
    names = [f"{row.name}, n\u00a0=\u00a0{len(row.seeds)}" for row in rows]
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xticks(
        range(len(at) + 1), [*labels, "mean"], fontsize=7, rotation=30, ha="right",
        rotation_mode="anchor",
    )  # fmt: skip
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    body.colorbar(image, ax=axes, shrink=0.9)
    return Drawing(figure)
