"""The picture of all trajectories through PCGrad's valleys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mtl_bench.reporting.display import method_name
from mtl_bench.reporting.drawing import COLOURS, new_figure, style
from mtl_bench.toy.valley import bottoms, losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 5
ACROSS = (-5.0, 4.0)
ALONG = (-5.0, 5.0)
GRID = 240
PATH = "inferno"


def draw(trajectories: dict[str, Tensor]) -> Figure:
    """Return one panel per method: contours of L_1 + L_2, both valleys, and the trajectory.

    Args:
        trajectories: method -> (1, N, 2) points.
    """
    with style():
        rows = -(-(len(trajectories) + 1) // COLUMNS)
        figure = new_figure(2.0 * COLUMNS, 2.2 * rows + 0.2)
        panels: Any = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flat
        contours = _contours()
        for panel, (name, points_1N2) in zip(panels, trajectories.items(), strict=False):
            _draw_panel(panel, contours, points_1N2[0])
            panel.set_title(method_name(name), fontsize=9, pad=3)
        for panel in panels[len(trajectories) :]:
            panel.axis("off")
        _draw_legend(panels[len(trajectories)], len(next(iter(trajectories.values()))[0]) - 1)
        figure.supxlabel("θ₁", fontsize=9)
        figure.supylabel("θ₂", fontsize=9, rotation=0)
    return figure


def _contours() -> tuple[Tensor, Tensor, Tensor]:
    axes = (torch.linspace(*ends, GRID, dtype=torch.float64) for ends in (ACROSS, ALONG))
    across_GG, along_GG = torch.meshgrid(*axes, indexing="xy")
    first_GG, second_GG = losses(torch.stack([across_GG, along_GG], dim=-1))
    return across_GG, along_GG, first_GG + second_GG


def _draw_panel(
    panel: Any,  # noqa: ANN401 - matplotlib's axes
    contours: tuple[Tensor, Tensor, Tensor],
    points_N2: Tensor,
) -> None:
    from matplotlib.collections import LineCollection

    panel.contour(*(part.numpy() for part in contours), levels=14, colors="#C9C9C9", linewidths=0.5)
    along_G = torch.linspace(*ALONG, GRID, dtype=torch.float64)
    for across_G, colour in zip(bottoms(along_G), COLOURS, strict=False):
        panel.plot(across_G, along_G, color=colour, linewidth=1.4, linestyle="--")
    segments = list(torch.stack([points_N2[:-1], points_N2[1:]], dim=1).numpy())
    path = LineCollection(segments, cmap=PATH, linewidths=1.1)
    path.set_array(torch.linspace(0, 0.9, len(segments)).numpy())
    path.set_clim(0, 1)
    panel.add_collection(path)
    for point_2, face in ((points_N2[0], "white"), (points_N2[-1], "#F6D746")):
        panel.plot(*point_2, "o", color=face, mec="black", ms=4.5, mew=0.9, zorder=3)
    panel.set(xlim=ACROSS, ylim=ALONG, xticks=(-4, -2, 0, 2, 4), yticks=(-4, -2, 0, 2, 4))
    panel.tick_params(length=2)


def _draw_legend(panel: Any, steps: int) -> None:  # noqa: ANN401 - matplotlib's axes
    for number, colour in zip(("first", "second"), COLOURS, strict=False):
        panel.plot(
            [], [], "--", color=colour, linewidth=1.4, label=f"bottom of the {number} valley"
        )
    panel.plot([], [], "o", color="white", mec="black", ms=4.5, label="start")
    panel.plot([], [], "o", color="#F6D746", mec="black", ms=4.5, label=f"after {steps} steps")
    panel.plot([], [], color="#C9C9C9", linewidth=0.8, label="L₁ + L₂")
    panel.legend(loc="center", frameon=False, fontsize=7)
