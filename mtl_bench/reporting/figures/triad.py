"""triad: curvature, conflicts and their conditions, and returns, as in PCGrad's figure 4.

Legend of shape suffixes: N updates, Q shares.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.records.steps import CURVATURE
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.curves import clock_of, draw_means, read_lines
from mtl_bench.reporting.figures.looks import DASHED, DOTTED, GREY, SOLID, Look, row_looks
from mtl_bench.reporting.figures.panels import (
    draw_line,
    grid,
    legend_below,
    page,
    say_nothing_here,
    scale_values,
    split,
)
from mtl_bench.reporting.figures.series import (
    WINDOW,
    Array,
    moving_average,
    nan_mean,
    smooth_and_thin,
    thin,
)
from mtl_bench.reporting.figures.steps import Reduce, SeedLogs, read_row
from mtl_bench.reporting.triad import pair_columns, pair_statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

SMOOTHING = 20
"""The moving average's window is this part of a run, for shares no less than ten updates."""

LINES = (
    ("conflicts", SOLID),
    ("(a) among the conflicts", DOTTED),
    ("ξ ≤ 1 among the conflicts", DASHED),
)

RETURN = "return"
PANELS = 4
"""Tasks up to which each has a panel of its returns."""

Curves = dict[tuple[str, str], SeedLogs[Array]]
"""Row's name and component -> what is drawn of its seeds, (N, Q) each."""


def draw(scene: FigureContext) -> Drawing:
    """Return a line of panels for each component, and one with the tasks' returns.

    Raises:
        CannotDrawError: no record holds a Gram matrix of two tasks.
    """
    tasks = list(scene.tasks)
    if len(tasks) < 2:
        raise CannotDrawError("one task alone has no other gradient beside it")
    shares, problems = _read(scene, pair_columns(tasks), partial(_shares, tasks=len(tasks)))
    curvatures, _ = _read(scene, [CURVATURE], _smooth)
    if not shares:
        what = "no method here computed the Gram matrix"
        more = scene.command_of("pcgrad", "mgda")
        raise CannotDrawError("; ".join([*problems, what]) + more)
    components = sorted({component for _, component in shares})
    rows = [
        next(logs.row for (name, _), logs in shares.items() if name == row.name)
        for row in scene.rows
        if any(name == row.name for name, _ in shares)
    ]
    looks = row_looks(rows)
    returns = [c for c in scene.comparison.columns if c.metric == RETURN]
    returned = 0 < len(returns) <= PANELS
    figure, body = page(
        9.0,
        2.1 * (len(components) + returned) + 0.75,
        f"Conflict, unequal gradients, curvature: {scene.subject}",
        footer(
            scene,
            rows,
            "Over the shared parameters and all pairs of tasks. Conflict: a cosine below zero; "
            "(a): cos ≤ -Φ, Φ = 2|g₁||g₂| / (|g₁|² + |g₂|²); ξ = (1 - cos²)|g₁ - g₂|² / "
            "|g₁ + g₂|². Shares and curvature are moving means over a twentieth of the run, mean "
            "over the seeds.",
            "H = 2 [L(θ') - L(θ) - ∇L(θ)ᵀ(θ' - θ)] of the sum of the losses over all parameters."
            if curvatures
            else "No curvature: trainer.curvature_every=10 measures it.",
        ),
    )
    parts = split(body, [1.0] * (len(components) + returned))
    for part, component in zip(parts, components, strict=False):
        _draw_component(part, component, shares, curvatures, looks)
    if returned:
        epochs, more_problems = read_lines(scene)
        problems += [text for text in more_problems if text not in problems]
        clock = clock_of(epochs)
        told = {name: look for name, look in looks.items() if name in epochs}
        for axis, column in zip(grid(parts[-1], len(returns), PANELS), returns, strict=True):
            keys = ("test", column.task, column.metric)
            draw_means(axis, keys, epochs, told, banded=True, clock=clock)
            axis.set_title(f"{column.label}: return ↑", fontsize=8.5, loc="left")
            axis.set_xlabel(clock)
    legend_below(body, list(looks), looks)
    return Drawing(figure, tuple(problems))


def _read(
    scene: FigureContext, columns: list[str], reduce: Reduce[Array]
) -> tuple[Curves, list[str]]:
    found, problems = Curves(), list[str]()
    for row, component in product(scene.rows, scene.components):
        logs = read_row(scene, row, columns, reduce, component)
        problems.extend(text for text in logs.problems if text not in problems)
        if logs.values:
            found[row.name, component] = logs
    return found, problems


def _shares(steps_N: Array, values_NK: Array, tasks: int) -> tuple[Array, Array]:
    """Return the shares of ``LINES`` within a moving window, of all its pairs or conflicts."""
    found = pair_statistics(values_NK, tasks)
    counts = (found.known_NP, found.conflicting_NP, found.dominated_NP, found.bounded_NP)
    means_N4 = moving_average(
        np.stack([count_NP.sum(axis=1) for count_NP in counts], axis=1),
        max(WINDOW, len(steps_N) // SMOOTHING),
    )
    pairs_N, conflicts_N = means_N4[:, :1], means_N4[:, 1:2]
    wholes_NQ = np.concatenate([pairs_N, conflicts_N, conflicts_N], axis=1)
    seen_NQ = wholes_NQ > 1e-9  # of sums of cumulative sums
    shares_NQ = np.where(seen_NQ, means_N4[:, 1:] / np.where(seen_NQ, wholes_NQ, 1.0), np.nan)
    kept = thin(len(shares_NQ))
    return steps_N[len(steps_N) - len(shares_NQ) :][kept], shares_NQ[kept]


def _smooth(steps_N: Array, values_N1: Array) -> tuple[Array, Array]:
    """Return the moving means of the updates of which the curvature was measured."""
    known_N = np.isfinite(values_N1[:, 0])
    updates = int(steps_N.max(initial=0)) // SMOOTHING
    return smooth_and_thin(steps_N[known_N], values_N1[known_N], updates)


def _draw_component(
    part: SubFigure, component: str, shares: Curves, curvatures: Curves, looks: dict[str, Look]
) -> None:
    from matplotlib.lines import Line2D

    of = f"{component}: " if component else ""
    left, right = grid(part, 2, 2)
    left.set_title(f"{of}curvature H", fontsize=8.5, loc="left")
    right.set_title(f"{of}share of conflicts and of their conditions", fontsize=8.5, loc="left")
    drawn = list[Array]()
    for name, look in looks.items():
        if logs := curvatures.get((name, component)):
            mean_N = nan_mean(np.stack(logs.values), axis=0)[:, 0]
            draw_line(left, logs.steps, mean_N, look, len(drawn))
            drawn.append(mean_N)
        if logs := shares.get((name, component)):
            mean_NQ = nan_mean(np.stack(logs.values), axis=0)
            for share_N, (_, dash) in zip(mean_NQ.T, LINES, strict=True):
                right.plot(logs.steps, share_N, color=look.colour, linestyle=dash, linewidth=1.1)
    _finish_curvature(left, drawn)
    right.set_ylim(-0.03, 1.03)
    handles = [
        Line2D([], [], color=GREY, linestyle=dash, label=label, linewidth=1.1)
        for label, dash in LINES
    ]
    right.legend(handles=handles, fontsize=6, frameon=False, loc="best", handlelength=3.0)
    for axis in (left, right):
        axis.set_xlabel("update")
        axis.margins(x=0)


def _finish_curvature(panel: Axes, drawn: list[Array]) -> None:
    if not drawn:
        panel.set_axis_off()
        say_nothing_here(panel, "not measured")
        return
    values = np.concatenate(drawn)
    scale_values(panel, values)
    if (values[np.isfinite(values)] <= 0).any():
        panel.axhline(0.0, color=GREY, linewidth=0.9, linestyle="--")
