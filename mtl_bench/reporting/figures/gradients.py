"""gradients: how long the task gradients are and how well they agree, over training.

Legend of shape suffixes: N updates, T tasks, P pairs of tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.reporting.figures.looks import BLUE, GREY, Look, task_looks
from mtl_bench.reporting.figures.panels import draw_line, end_labels, page, scale_values
from mtl_bench.reporting.figures.scene import CannotDrawError, Drawing, Scene, footer
from mtl_bench.reporting.figures.series import Array, nan_mean, smooth_and_thin
from mtl_bench.reporting.figures.steps import read_row
from mtl_bench.reporting.statistics import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

SMOOTHING = 20
"""The moving average's window is this part of a run, and no less than the one of the weights."""

LINES = 3
"""Pairs that get a line each; of more the median and a band are drawn."""

HEIGHT = 1.9


@dataclass(frozen=True)
class Agreement:
    """Norms and cosines of one method, mean over the seeds.

    Args:
        row: the method.
        steps: (N,) updates.
        norms_NT: geometric moving average of the gradients' norms.
        cosines_NP: moving average of the cosines.
    """

    row: Row
    steps: Array
    norms_NT: Array
    cosines_NP: Array


def draw(scene: Scene) -> Drawing:
    """Return a line of panels per method that looks at the Gram matrix: norms, cosines, a map.

    Raises:
        CannotDrawError: no record holds a Gram matrix.
    """
    pairs = list(combinations(scene.tasks, 2))
    if not pairs:
        raise CannotDrawError("one task alone has no other gradient beside it")
    found, problems = _read(scene, pairs)
    if not found:
        what = "no method here computed the Gram matrix"
        raise CannotDrawError(
            "; ".join([what, *problems]) + ": " + scene.command("method=mgda,taskforce")
        )
    crowd = (
        "Cosines: median over the pairs of tasks, and bands of 50 and 80 % of them. Maps: mean "
        "over the run. "
        if len(pairs) > LINES
        else ""
    )
    figure, body = page(
        9.0,
        HEIGHT * len(found) + 0.75,
        f"Task gradients: {scene.subject}",
        footer(
            scene,
            [one.row for one in found],
            "Over the shared parameters. Moving averages over a twentieth of the run, mean over "
            "the seeds (norms: geometric).",
            f"{crowd}A cosine below zero is a conflict.",
        ),
    )
    _draw_rows(body, scene, found, pairs)
    return Drawing(figure, tuple(problems))


def _read(scene: Scene, pairs: list[tuple[str, str]]) -> tuple[list[Agreement], list[str]]:
    tasks = len(scene.tasks)
    columns = [f"gram/{task}" for task in scene.tasks]
    columns += [f"cosine/{first}/{second}" for first, second in pairs]
    found: list[Agreement] = []
    problems: list[str] = []
    for row in scene.rows:
        logs = read_row(scene, row, columns, lambda n, v: _reduce(n, v, tasks))
        problems.extend(logs.problems)
        if logs.values:
            mean = nan_mean(np.stack(logs.values), axis=0)
            found.append(Agreement(logs.row, logs.steps, 10 ** mean[:, :tasks], mean[:, tasks:]))
    return found, problems


def _reduce(steps_N: Array, values_NK: Array, tasks: int) -> tuple[Array, Array]:
    """Return moving averages of log10 norms and of cosines; a gradient of zero has no logarithm."""
    squares_NT = values_NK[:, :tasks]
    positive_NT = squares_NT > 0
    logs_NT = 0.5 * np.log10(np.where(positive_NT, squares_NT, 1.0))
    logs_NT[~positive_NT] = np.nan
    values_NK = np.concatenate([logs_NT, values_NK[:, tasks:]], axis=1)
    return smooth_and_thin(steps_N, values_NK, max(10, len(steps_N) // SMOOTHING))


def _draw_rows(
    body: SubFigure, scene: Scene, found: list[Agreement], pairs: list[tuple[str, str]]
) -> None:
    looks = list(task_looks(list(scene.tasks)).values())
    labels = list(scene.tasks.values())
    means = np.abs([nan_mean(one.cosines_NP, axis=0) for one in found])
    widest = max(0.1, float(np.max(means, where=np.isfinite(means), initial=0.0)))
    ratios = [1.25, 1.25, 1.0] if len(pairs) > LINES else [1.0, 1.0]
    axes = body.subplots(len(found), len(ratios), squeeze=False, width_ratios=ratios)
    for (norms, cosines, *maps), one in zip(axes, found, strict=True):
        norms.set_title(f"{one.row.name}: norms ‖gₜ‖", fontsize=8.5, loc="left")
        _draw_lines(norms, one.steps, one.norms_NT, labels, looks, log=True)
        cosines.set_title("cosines of pairs", fontsize=8.5, loc="left")
        cosines.axhline(0.0, color=GREY, linewidth=0.9, linestyle="--")
        if len(pairs) <= LINES:
            names = [f"{scene.tasks[a]}, {scene.tasks[b]}" for a, b in pairs]
            _draw_lines(cosines, one.steps, one.cosines_NP, names, looks, log=False)
        else:
            _draw_band(cosines, one.steps, one.cosines_NP)
        for table in maps:
            table.set_title("mean cosines", fontsize=8.5, loc="left")
            image = _draw_map(table, one.cosines_NP, labels, widest)
            body.colorbar(image, ax=table, shrink=0.9)
    for axis in axes[-1, :2]:
        axis.set_xlabel("update")


def _draw_lines(
    panel: Axes, steps_N: Array, values_NK: Array, names: list[str], looks: list[Look], *, log: bool
) -> None:
    ends = []
    for k, name in enumerate(names):
        draw_line(panel, steps_N, values_NK[:, k], looks[k], k)
        seen = np.flatnonzero(np.isfinite(values_NK[:, k]))
        if seen.size:
            ends.append((float(steps_N[-1]), float(values_NK[seen[-1], k]), name, looks[k]))
    if log:
        scale_values(panel, values_NK)
    panel.margins(x=0)
    panel.set_ylim(panel.get_ylim())
    end_labels(panel, ends, HEIGHT - 0.55)


def _draw_band(panel: Axes, steps_N: Array, cosines_NP: Array) -> None:
    seen_N = np.isfinite(cosines_NP).any(axis=1)
    steps_N = steps_N[seen_N]
    levels = np.nanpercentile(cosines_NP[seen_N], [10, 25, 50, 75, 90], axis=1)
    for low, high, alpha in ((0, 4, 0.18), (1, 3, 0.3)):
        panel.fill_between(steps_N, levels[low], levels[high], color=BLUE, alpha=alpha, lw=0)
    panel.plot(steps_N, levels[2], color=BLUE, linewidth=1.3)
    panel.margins(x=0)


def _draw_map(panel: Axes, cosines_NP: Array, labels: list[str], widest: float) -> AxesImage:
    """Draw the mean cosines as the lower triangle of a matrix of tasks."""
    tasks = len(labels)
    map_TT = np.full((tasks, tasks), np.nan)
    first_P, second_P = zip(*combinations(range(tasks), 2), strict=True)
    map_TT[second_P, first_P] = nan_mean(cosines_NP, axis=0)
    image = panel.imshow(
        np.ma.masked_invalid(map_TT)[1:, :-1], cmap="cividis", vmin=-widest, vmax=widest
    )
    panel.set_yticks(range(tasks - 1), labels[1:], fontsize=6.5)
    panel.set_xticks(range(tasks - 1), labels[:-1], fontsize=6.5, rotation=90)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    return image
