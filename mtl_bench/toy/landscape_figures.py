"""The pictures of all trajectories on the landscapes of two tasks.

Legend of shape suffixes: S trajectories, N points of one, G points of a grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mtl_bench.reporting.display import method_name
from mtl_bench.reporting.drawing import COLOURS, new_figure, style
from mtl_bench.toy import two_tasks, valley
from mtl_bench.toy.trajectories import Losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 7
LEGEND = 3
"""Panels whose place the legend takes."""

WIDTH = 1.5
"""Inches of a panel."""

EDGE = 10.5
MARKERS = "osD^v"
FRONT = "#000000"
ACROSS, ALONG = (-5.0, 4.0), (-5.0, 5.0)
GRID = 240
CONTOUR, END = "#C9C9C9", "#F6D746"

Range = tuple[float, float]
Contours = tuple[Tensor, Tensor, Tensor]


def draw_two_tasks(trajectories: dict[str, Tensor]) -> Figure:
    """Return one panel per method: contours of L_1 + L_2, Pareto front, and five trajectories.

    The first loss is scaled as in the trajectories' own problem.

    Args:
        trajectories: method -> (5, N, 2) points.
    """
    contours = _contours(two_tasks.losses, (-EDGE, EDGE), (-EDGE, EDGE), 120)
    front_N2 = two_tasks.pareto_front()

    def draw(panel: Any, points_5N2: Tensor) -> None:  # noqa: ANN401 - matplotlib's axes
        _draw_contours(panel, contours)
        panel.plot(
            *front_N2.T.numpy(), color=FRONT, linewidth=3.5, alpha=0.25, solid_capstyle="round"
        )
        for points_N2, colour, marker in zip(points_5N2, COLOURS, MARKERS, strict=True):
            x_N, y_N = points_N2.T.numpy()
            panel.plot(x_N, y_N, color=colour, linewidth=1.2)
            panel.plot(x_N[:1], y_N[:1], marker, color="white", mec=colour, ms=4.5, mew=1.1)
            panel.plot(x_N[-1:], y_N[-1:], marker, color=colour, mec="black", ms=5, mew=0.6)
        panel.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal")
        panel.set(xticks=(-8, 0, 8), yticks=(-8, 0, 8))
        panel.tick_params(length=2)

    def explain(panel: Any) -> None:  # noqa: ANN401 - matplotlib's axes
        for (across, along), colour, marker in zip(two_tasks.STARTS, COLOURS, MARKERS, strict=True):
            label = f"from ({across:g}, {along:g})"
            panel.plot([], [], f"-{marker}", color=colour, mfc="white", ms=4.5, label=label)
        panel.plot([], [], "o", color="#888888", mec="black", ms=5, mew=0.6, label="end (filled)")
        panel.plot([], [], color=FRONT, linewidth=3.5, alpha=0.25, label="Pareto front")
        panel.plot([], [], color=CONTOUR, linewidth=0.8, label="L₁ + L₂")
        panel.legend(loc="center", frameon=False, ncols=2)

    return _draw_grid(trajectories, 1.56, draw, explain)


def draw_valley(trajectories: dict[str, Tensor]) -> Figure:
    """Return one panel per method: contours of L_1 + L_2, both valleys, and the trajectory.

    Args:
        trajectories: method -> (1, N, 2) points.
    """
    contours = _contours(valley.losses, ACROSS, ALONG, GRID)
    steps = len(next(iter(trajectories.values()))[0]) - 1

    def draw(panel: Any, points_1N2: Tensor) -> None:  # noqa: ANN401 - matplotlib's axes
        from matplotlib.collections import LineCollection

        (points_N2,) = points_1N2
        _draw_contours(panel, contours)
        along_G = torch.linspace(*ALONG, GRID, dtype=torch.float64)
        for across_G, colour in zip(valley.bottoms(along_G), COLOURS, strict=False):
            panel.plot(across_G, along_G, color=colour, linewidth=1.4, linestyle="--")
        segments = list(torch.stack([points_N2[:-1], points_N2[1:]], dim=1).numpy())
        path = LineCollection(segments, cmap="inferno", linewidths=1.1)
        path.set_array(torch.linspace(0, 0.9, len(segments)).numpy())
        path.set_clim(0, 1)
        panel.add_collection(path)
        for point_2, face in ((points_N2[0], "white"), (points_N2[-1], END)):
            panel.plot(*point_2, "o", color=face, mec="black", ms=4.5, mew=0.9, zorder=3)
        panel.set(xlim=ACROSS, ylim=ALONG, xticks=(-4, -2, 0, 2, 4), yticks=(-4, -2, 0, 2, 4))
        panel.tick_params(length=2)

    def explain(panel: Any) -> None:  # noqa: ANN401 - matplotlib's axes
        for number, colour in zip(("first", "second"), COLOURS, strict=False):
            label = f"bottom of the {number} valley"
            panel.plot([], [], "--", color=colour, linewidth=1.4, label=label)
        panel.plot([], [], "o", color="white", mec="black", ms=4.5, label="start")
        panel.plot([], [], "o", color=END, mec="black", ms=4.5, label=f"after {steps} steps")
        panel.plot([], [], color=CONTOUR, linewidth=0.8, label="L₁ + L₂")
        panel.legend(loc="center", frameon=False, ncols=2)

    return _draw_grid(trajectories, 1.7, draw, explain)


def _draw_grid(
    trajectories: dict[str, Tensor],
    height: float,
    draw: Callable[[Any, Tensor], None],
    explain: Callable[[Any], None],
) -> Figure:
    """Draw a panel per method, ``height`` inches each, and the legend in the last places."""
    rows = -(-(len(trajectories) + LEGEND) // COLUMNS)
    with style():
        figure = new_figure(WIDTH * COLUMNS, height * rows + 0.2)
        grid = figure.add_gridspec(rows, COLUMNS)
        first: Any = None
        for place, (name, points_SN2) in enumerate(trajectories.items()):
            row, column = divmod(place, COLUMNS)
            panel: Any = figure.add_subplot(grid[row, column], sharex=first, sharey=first)
            first = first or panel
            draw(panel, points_SN2)
            panel.set_title(method_name(name), fontsize=9, pad=3)
            below = place + COLUMNS < len(trajectories)
            panel.tick_params(labelbottom=not below, labelleft=column == 0)
        legend = figure.add_subplot(grid[-1, -LEGEND:])
        legend.axis("off")
        explain(legend)
        figure.supxlabel("θ₁", fontsize=9)
        figure.supylabel("θ₂", fontsize=9, rotation=0)
    return figure


def _contours(losses: Losses, across: Range, along: Range, count: int) -> Contours:
    """Return a grid of points and L_1 + L_2 there."""
    axes = (torch.linspace(*ends, count, dtype=torch.float64) for ends in (across, along))
    across_GG, along_GG = torch.meshgrid(*axes, indexing="xy")
    first_GG, second_GG = losses(torch.stack([across_GG, along_GG], dim=-1))
    return across_GG, along_GG, first_GG + second_GG


def _draw_contours(panel: Any, contours: Contours) -> None:  # noqa: ANN401 - matplotlib's axes
    panel.contour(*(part.numpy() for part in contours), levels=14, colors=CONTOUR, linewidths=0.5)
