"""The picture of the game: what TaskForce gains, and with which weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mtl_bench.reporting.drawing import COLOURS, new_figure, style
from mtl_bench.toy.game_runs import Played

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW = 100
"""Steps of the moving average."""

GREY = "#777777"


def draw(results: list[Played]) -> Figure:
    """Return a column per variant: the gain over training above, the weights below."""
    with style():
        figure = new_figure(2.7 * len(results), 4.6)
        panels: Any = figure.subplots(2, len(results), sharex=True, sharey="row", squeeze=False)
        for (gain, weights), played in zip(panels.T, results, strict=True):
            _draw_gain(gain, played)
            _draw_weights(weights, played)
            weights.set_xlabel("step")
        panels[0, 0].set_ylabel("gain over equal weights,\nshare of the optimum's")
        panels[1, 0].set_ylabel("task weights (median of seeds)")
        panels[0, 0].legend(frameon=False, fontsize=7, loc="lower right")
        panels[1, -1].legend(frameon=False, fontsize=7, loc="upper right", ncols=2)
    return figure


def _draw_gain(panel: Any, played: Played) -> None:  # noqa: ANN401 - matplotlib's axes
    shares = torch.stack([_smooth(played.share(run.log_losses_N)) for run in played.runs])
    steps = range(WINDOW, WINDOW + shares.shape[1])
    for share_N in shares:
        panel.plot(steps, share_N, color=COLOURS[0], linewidth=0.7, alpha=0.45)
    median_N = shares.median(0).values
    panel.plot(steps, median_N, color=COLOURS[0], linewidth=1.8, label="TaskForce: seeds, median")
    random = played.share(played.random).item()
    for level, line, label in (
        (1.0, "--", "optimum"),
        (0.0, "-.", "equal weights"),
        (random, ":", "random weights"),
    ):
        panel.axhline(level, color="black", linewidth=0.9, linestyle=line, label=label)
    panel.set_title(played.variant.title, fontsize=9)
    panel.set_ylim(-1.0, 1.15)


def _draw_weights(panel: Any, played: Played) -> None:  # noqa: ANN401 - matplotlib's axes
    weights = torch.stack([_smooth(run.weights_NT.T) for run in played.runs]).median(0).values
    steps = range(WINDOW, WINDOW + weights.shape[1])
    for task, (weight_N, colour) in enumerate(zip(weights, COLOURS, strict=False), start=1):
        panel.plot(steps, weight_N, color=colour, linewidth=1.4, label=f"task {task}")
        best = played.optimal_weights_T[task - 1].item()
        panel.axhline(best, color=colour, linewidth=0.9, linestyle="--")
    panel.plot([], [], color=GREY, linewidth=0.9, linestyle="--", label="optimum")
    panel.set_ylim(0, 1)


def _smooth(values_N: Tensor) -> Tensor:
    """Return the moving average along the last dimension."""
    return values_N.unfold(-1, WINDOW, 1).mean(-1)
