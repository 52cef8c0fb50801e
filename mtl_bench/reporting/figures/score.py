"""score: how the score rises or falls over training, all methods in one panel, with bands."""

from __future__ import annotations

import numpy as np

from mtl_bench.records.epochs import CPU_MINUTES, clocks
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.curves import Lines, clock_of, draw_means, read_lines
from mtl_bench.reporting.figures.looks import FAINT, row_looks
from mtl_bench.reporting.figures.panels import grid, legend_below, page, scale_values
from mtl_bench.reporting.figures.series import epoch_series

BANDS = 8
"""Methods up to which the deviation over seeds is drawn; more bands would hide each other."""


def draw(scene: FigureContext) -> Drawing:
    """Return a panel over epochs or environment steps, and one over CPU minutes.

    Raises:
        CannotDrawError: no record has the score of an epoch.
    """
    epochs, problems = read_lines(scene)
    score = scene.comparison.score
    found = {
        split: own
        for split in ("validation", "test")
        if (own := _having(epochs, f"{score.key}_{split}"))
    }
    if not found:
        raise CannotDrawError("; ".join([*problems, f"no record has {score.label} of its epochs"]))
    split, lines = next(iter(found.items()))
    shown = [row for row in scene.rows if row.name in lines]
    timed = all(CPU_MINUTES in clocks(own) for seeds in lines.values() for own in seeds)
    axes = [clock_of(lines), *([CPU_MINUTES] if timed else [])]
    banded = len(shown) <= BANDS and any(len(row.seeds) > 1 for row in shown)
    figure, body = page(
        9.0,
        3.4,
        f"{score.label} over training: {scene.subject}",
        footer(
            scene,
            shown,
            "Lines: mean over the seeds."
            + (" Bands: ± sample standard deviation." if banded else ""),
            f"{score.note[0].upper()}{score.note[1:]}." if score.is_relative else "",
            "CPU minutes: of training, without evaluation." if timed else "",
        ),
    )
    looks = row_looks(shown)
    panels = grid(body, len(axes), len(axes))
    for panel, clock in zip(panels, axes, strict=True):
        means = draw_means(panel, (f"{score.key}_{split}",), lines, looks, banded, clock)
        if means and not score.higher_is_better:
            scale_values(panel, np.concatenate(means))
        panel.grid(color=FAINT, linewidth=0.5)
        panel.set_axisbelow(True)
        panel.margins(x=0)
        panel.set_xlabel(clock)
    panels[0].set_ylabel(f"{split} {score.heading}")
    legend_below(body, list(looks), looks)
    return Drawing(figure, tuple(problems))


def _having(epochs: dict[str, list[Lines]], key: str) -> dict[str, list[Lines]]:
    """Return the rows and seeds of which an epoch has a number under a key."""
    found = {
        name: [own for own in seeds if np.isfinite(epoch_series(own, key)[1]).any()]
        for name, seeds in epochs.items()
    }
    return {name: seeds for name, seeds in found.items() if seeds}
