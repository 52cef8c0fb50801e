"""figure2: the score by exploration noise and length of the replay buffer (appendix F.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.reporting.figures.looks import FAINT
from mtl_bench.reporting.figures.panels import page
from mtl_bench.reporting.figures.scene import Drawing, FigureContext, footer
from mtl_bench.reporting.figures.sweep import SweptSetting, sweep_cells, sweep_missing
from mtl_bench.reporting.tables import score_text
from mtl_bench.scores import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL = re.compile(r"taskforce-noise_([\d.]+)_buffer_(\d+)")


def draw(scene: FigureContext) -> Drawing:
    """Return the grid; a cell holds the mean score, its deviation and the number of seeds.

    Raises:
        CannotDrawError: no cell has a score.
    """
    cells = sweep_cells(scene, "figure2")
    keys = {label: LABEL.findall(label)[0] for label in cells}
    noises = sorted({noise for noise, _ in keys.values()}, key=float)
    sizes = sorted({size for _, size in keys.values()}, key=int)
    values = np.full((len(noises), len(sizes)), np.nan)
    places = {label: (noises.index(n), sizes.index(s)) for label, (n, s) in keys.items()}
    for label, cell in cells.items():
        if cell.row is not None and cell.row.score is not None:
            values[places[label]] = cell.row.score.mean
    rows = [cell.row for cell in cells.values() if cell.row is not None]
    score = scene.comparison.score
    note = f"Cells: mean {score.label} ± sample standard deviation over n seeds; hatched: no value."
    title = f"Exploration noise and replay buffer: {scene.subject}"
    figure, body = page(5.8, 3.3, title, footer(scene, rows, note))
    panel = body.subplots()
    shown = np.ma.masked_invalid(values)
    image = panel.imshow(shown, cmap="cividis", aspect="auto", origin="lower")
    middle = (shown.min() + shown.max()) / 2
    for label, cell in cells.items():
        _write(panel, places[label], cell, score, dark=bool(values[places[label]] < middle))
    panel.set_xticks(range(len(sizes)), [f"{int(size):,}" for size in sizes])
    panel.set_yticks(range(len(noises)), noises)
    panel.set_xlabel("length of the replay buffer [transitions]")
    panel.set_ylabel("initial scale of the exploration noise")
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    body.colorbar(image, ax=panel, label=score.heading)
    return Drawing(figure, sweep_missing(scene, cells, "figure2"))


def _write(
    panel: Axes, place: tuple[int, int], cell: SweptSetting, score: Score, dark: bool
) -> None:
    """Write a cell's numbers, or hatch it and write why it has none."""
    y, x = place
    if cell.row is not None and cell.row.score is not None:
        mean, _, sd = score_text(cell.row.score, score).partition(" ± ")
        lines = [mean, f"± {sd}"] if sd else [mean]
        text = "\n".join([*lines, f"n = {len(cell.row.seeds)}"])
        panel.text(
            x, y, text, ha="center", va="center", fontsize=7, color="white" if dark else "black"
        )
        return
    from matplotlib.patches import Rectangle

    panel.add_patch(
        Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor=FAINT, hatch="////")
    )
    text = cell.state.replace(" ", "\n", 1)
    panel.text(
        x, y, text, ha="center", va="center", fontsize=7, color="#444444",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip
