"""The picture of all trajectories on the two-task toy problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mtl_bench.reporting.display import method_name
from mtl_bench.reporting.drawing import COLOURS, new_figure, style
from mtl_bench.toy.two_tasks import STARTS, losses, pareto_front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 5
EDGE = 10.5
GRID = 120
MARKERS = "osD^v"
FRONT = "#000000"


def draw(trajectories: dict[str, Tensor]) -> Figure:
    """Return one panel per method: contours of L_1 + L_2, Pareto front, and five trajectories.

    The first loss is scaled as in the trajectories' own problem.

    Args:
        trajectories: method -> (5, N, 2) points.
    """
    with style():
        rows = -(-(len(trajectories) + 1) // COLUMNS)
        figure = new_figure(2.0 * COLUMNS, 2.05 * rows + 0.2)
        panels: Any = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flat
        contours = _contours()
        front_N2 = pareto_front()
        for panel, (name, points_5N2) in zip(panels, trajectories.items(), strict=False):
            _draw_panel(panel, contours, front_N2, points_5N2)
            panel.set_title(method_name(name), fontsize=9, pad=3)
        for panel in panels[len(trajectories) :]:
            panel.axis("off")
        _draw_legend(panels[len(trajectories)])
        for panel in panels[: len(trajectories)]:
            panel.set(xticks=(-8, 0, 8), yticks=(-8, 0, 8))
            panel.tick_params(length=2)
        figure.supxlabel("θ₁", fontsize=9)
        figure.supylabel("θ₂", fontsize=9, rotation=0)
    return figure


def _contours() -> tuple[Tensor, Tensor, Tensor]:
    axis_G = torch.linspace(-EDGE, EDGE, GRID, dtype=torch.float64)
    across_GG, along_GG = torch.meshgrid(axis_G, axis_G, indexing="xy")
    first_GG, second_GG = losses(torch.stack([across_GG, along_GG], dim=-1))
    return across_GG, along_GG, first_GG + second_GG


def _draw_panel(
    panel: Any,  # noqa: ANN401 - matplotlib's axes
    contours: tuple[Tensor, Tensor, Tensor],
    front_N2: Tensor,
    points_5N2: Tensor,
) -> None:
    panel.contour(*(part.numpy() for part in contours), levels=14, colors="#C9C9C9", linewidths=0.5)
    panel.plot(*front_N2.T.numpy(), color=FRONT, linewidth=3.5, alpha=0.25, solid_capstyle="round")
    for points_N2, colour, marker in zip(points_5N2, COLOURS, MARKERS, strict=True):
        across_N, along_N = points_N2.T.numpy()
        panel.plot(across_N, along_N, color=colour, linewidth=1.2)
        panel.plot(across_N[:1], along_N[:1], marker, color="white", mec=colour, ms=4.5, mew=1.1)
        panel.plot(across_N[-1:], along_N[-1:], marker, color=colour, mec="black", ms=5, mew=0.6)
    panel.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal")


def _draw_legend(panel: Any) -> None:  # noqa: ANN401 - matplotlib's axes
    for (across, along), colour, marker in zip(STARTS, COLOURS, MARKERS, strict=True):
        label = f"from ({across:g}, {along:g})"
        panel.plot([], [], f"-{marker}", color=colour, mfc="white", ms=4.5, label=label)
    panel.plot([], [], "o", color="#888888", mec="black", ms=5, mew=0.6, label="end (filled)")
    panel.plot([], [], color=FRONT, linewidth=3.5, alpha=0.25, label="Pareto front")
    panel.plot([], [], color="#C9C9C9", linewidth=0.8, label="L₁ + L₂")
    panel.legend(loc="center", frameon=False, fontsize=8)
