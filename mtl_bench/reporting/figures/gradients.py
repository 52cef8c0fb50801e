"""gradients: how long the task gradients are and how well they agree, over training.

Legend of shape suffixes: N updates, T tasks, P pairs of tasks, C curves of their cosines.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.looks import BLUE, GREY, Look, task_looks
from mtl_bench.reporting.figures.panels import draw_line, label_ends, page, scale_values
from mtl_bench.reporting.figures.series import (
    WINDOW,
    Array,
    nan_mean,
    row_percentiles,
    smooth_and_thin,
)
from mtl_bench.reporting.figures.steps import SeedLogs, read_row
from mtl_bench.reporting.triad import pair_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

SMOOTHING = 20
"""The moving average's window is this part of a run, and no less than the one of the weights."""

LINES = 3
"""Pairs that get a line each; of more the median and bands are drawn."""

PERCENTS = (10, 25, 50, 75, 90)
"""Of the pairs within an update; the median is the line, the others are ends of bands."""

HEIGHT = 1.9


@dataclass(frozen=True)
class Agreement:
    """Norms and cosines of one seed, or their means over the seeds of a method.

    Args:
        norms_NT: moving averages of the gradients' log10 norms.
        cosines_NC: those of every pair's cosine, or of the percentiles over the pairs.
        mean_P: mean cosines over all updates.
        below_P: shares of the updates with a cosine below zero.
    """

    norms_NT: Array
    cosines_NC: Array
    mean_P: Array
    below_P: Array


Found = tuple[SeedLogs[Agreement], Agreement]
"""A method's logs, and the mean over its seeds."""


def draw(scene: FigureContext) -> Drawing:
    """Return a line of panels per method that looks at the Gram matrix: norms, cosines, a map.

    Raises:
        CannotDrawError: no record holds a Gram matrix.
    """
    pairs = list(combinations(scene.tasks, 2))
    if not pairs:
        raise CannotDrawError("one task alone has no other gradient beside it")
    found, problems = _read(scene)
    if not found:
        what = "no method here computed the Gram matrix"
        more = scene.command_of("mgda", "taskforce")
        raise CannotDrawError("; ".join([*problems, what]) + more)
    figure, body = page(
        9.0,
        HEIGHT * len(found) + 0.75,
        f"Task gradients: {scene.subject}",
        footer(
            scene,
            [logs.row for logs, _ in found],
            "Over the shared parameters. Moving averages over a twentieth of the run, mean over "
            "the seeds (norms: geometric).",
            _about_cosines(len(pairs)),
        ),
    )
    _draw_rows(body, scene, found, pairs)
    return Drawing(figure, tuple(problems))


def _about_cosines(pairs: int) -> str:
    if pairs <= LINES:
        return (
            "A cosine below zero is a conflict; the labels say in what share of all updates a "
            "pair has one."
        )
    return (
        "Cosines: percentiles over the pairs of tasks within an update come first, the averages "
        "are of these; line: median, bands: the middle 50 and 80 % of the pairs. A cosine below "
        "zero is a conflict; above a panel stands what share of the cosines of all updates and "
        "pairs are. Maps: mean over the run."
    )


def _read(scene: FigureContext) -> tuple[list[Found], list[str]]:
    tasks = len(scene.tasks)
    columns = pair_columns(list(scene.tasks))
    found: list[Found] = []
    problems: list[str] = []
    for row, component in product(scene.rows, scene.components):
        logs = read_row(scene, row, columns, lambda n, v: _reduce(n, v, tasks), component)
        problems.extend(logs.problems)
        if logs.values:
            found.append((logs, _mean(logs.values)))
    return found, problems


def _reduce(steps_N: Array, values_NK: Array, tasks: int) -> tuple[Array, Agreement]:
    """Return what is drawn of one seed; a gradient of zero has no logarithm.

    Percentiles come before the averages: tasks conflict in some updates and agree in others, and
    the averages of most pairs are above zero.
    """
    squares_NT, cosines_NP = values_NK[:, :tasks], values_NK[:, tasks:]
    positive_NT = squares_NT > 0
    logs_NT = 0.5 * np.log10(np.where(positive_NT, squares_NT, 1.0))
    logs_NT[~positive_NT] = np.nan
    crowd = cosines_NP.shape[1] > LINES
    curves_NC = row_percentiles(cosines_NP, PERCENTS) if crowd else cosines_NP
    both_NK = np.concatenate([logs_NT, curves_NC], axis=1)
    updates = max(WINDOW, int(steps_N.max(initial=0)) // SMOOTHING)
    steps_N, both_NK = smooth_and_thin(steps_N, both_NK, updates)
    below_NP = np.where(np.isfinite(cosines_NP), cosines_NP < 0, np.nan)
    return steps_N, Agreement(
        norms_NT=both_NK[:, :tasks],
        cosines_NC=both_NK[:, tasks:],
        mean_P=nan_mean(cosines_NP, axis=0),
        below_P=nan_mean(below_NP, axis=0),
    )


def _mean(seeds: list[Agreement]) -> Agreement:
    means = {
        field.name: nan_mean(np.stack([getattr(seed, field.name) for seed in seeds]), axis=0)
        for field in fields(Agreement)
    }
    return Agreement(**means)


def _draw_rows(
    body: SubFigure, scene: FigureContext, found: list[Found], pairs: list[tuple[str, str]]
) -> None:
    looks = list(task_looks(list(scene.tasks)).values())
    labels = list(scene.tasks.values())
    means = np.abs([one.mean_P for _, one in found])
    widest = max(0.1, float(np.max(means, where=np.isfinite(means), initial=0.0)))
    ratios = [1.25, 1.25, 1.0] if len(pairs) > LINES else [1.0, 1.0]
    axes = body.subplots(len(found), len(ratios), squeeze=False, width_ratios=ratios)
    for (norms, cosines, *maps), (logs, one) in zip(axes, found, strict=True):
        norms.set_title(f"{logs.title}: norms ‖gₜ‖", fontsize=8.5, loc="left")
        _draw_lines(norms, logs.steps, 10**one.norms_NT, labels, looks, log=True)
        title = "cosines of pairs"
        cosines.axhline(0.0, color=GREY, linewidth=0.9, linestyle="--")
        if len(pairs) <= LINES:
            names = [
                f"{scene.tasks[a]}, {scene.tasks[b]}{_below(share)}"
                for (a, b), share in zip(pairs, one.below_P, strict=True)
            ]
            _draw_lines(cosines, logs.steps, one.cosines_NC, names, looks, log=False)
        else:
            title += _below(float(nan_mean(one.below_P, axis=0)))
            _draw_band(cosines, logs.steps, one.cosines_NC)
        cosines.set_title(title, fontsize=8.5, loc="left")
        for table in maps:
            table.set_title("mean cosines", fontsize=8.5, loc="left")
            image = _draw_map(table, one.mean_P, labels, widest)
            body.colorbar(image, ax=table, shrink=0.9)
    for axis in axes[-1, :2]:
        axis.set_xlabel("update")


def _below(share: float) -> str:
    return f", {share:.0%} below 0".replace("%", " %") if np.isfinite(share) else ""


def _draw_lines(
    panel: Axes, steps_N: Array, values_NK: Array, names: list[str], looks: list[Look], *, log: bool
) -> None:
    for k, values_N in enumerate(values_NK.T):
        draw_line(panel, steps_N, values_N, looks[k], k)
    if log:
        scale_values(panel, values_NK)
    label_ends(panel, steps_N, values_NK, names, looks, HEIGHT - 0.55)


def _draw_band(panel: Axes, steps_N: Array, levels_NC: Array) -> None:
    low, lower, median, upper, high = levels_NC.T
    for bottom, top, alpha in ((low, high, 0.18), (lower, upper, 0.3)):
        panel.fill_between(steps_N, bottom, top, color=BLUE, alpha=alpha, lw=0)
    panel.plot(steps_N, median, color=BLUE, linewidth=1.3)
    panel.margins(x=0)
    panel.set_ylim(-1.0, 1.0)


def _draw_map(panel: Axes, mean_P: Array, labels: list[str], widest: float) -> AxesImage:
    """Draw the mean cosines as the lower triangle of a matrix of tasks."""
    tasks = len(labels)
    map_TT = np.full((tasks, tasks), np.nan)
    first_P, second_P = zip(*combinations(range(tasks), 2), strict=True)
    map_TT[second_P, first_P] = mean_P
    image = panel.imshow(
        np.ma.masked_invalid(map_TT)[1:, :-1], cmap="cividis", vmin=-widest, vmax=widest
    )
    panel.set_yticks(range(tasks - 1), labels[1:], fontsize=6.5)
    panel.set_xticks(range(tasks - 1), labels[:-1], fontsize=6.5, rotation=90)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    return image
