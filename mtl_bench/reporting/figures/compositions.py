"""compositions: which of PaCo's parameter sets the tasks are made of, from the networks themselves.

Legend of shape suffixes: T tasks, K parameter sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.advice import command
from mtl_bench.errors import MtlBenchError
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.looks import FAINT, GREY, Look, task_looks
from mtl_bench.reporting.figures.panels import grid, legend_below, page
from mtl_bench.reporting.figures.series import Array
from mtl_bench.reporting.statistics import MethodRow, ScoredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
MOST = 12
"""Runs that have a panel."""


def draw(scene: FigureContext) -> Drawing:
    """Return a panel per run: the rows w_t on the unit circle for K = 2, their plane for more.

    Raises:
        CannotDrawError: no run has compositions, or none has kept its networks.
    """
    runs = [
        (row, run)
        for row in scene.rows
        for run in scene.runs[row.name]
        if run.record.settings.get("architecture.name") == "paco"
    ]
    if not runs:
        words = command("train", dataset="pendulum6", ablation="paco")
        raise CannotDrawError(f"no run here has compositions, those of PaCo do: `{words}`")
    found, problems = list[tuple[MethodRow, str, Array]](), list[str]()
    for row, run in runs[:MOST]:
        name = f"{row.name}, seed {run.record.seed}"
        try:
            rows_TK = _compositions(run)
        except MtlBenchError as error:
            problems.append(f"{name}: {error}")
            continue
        if rows_TK is not None and rows_TK.shape[1] > 1:
            found.append((row, name, rows_TK))
    if len(runs) > MOST:
        problems.append(f"the first {MOST} of {len(runs)} runs are drawn; method= chooses")
    if not found:
        raise CannotDrawError("; ".join(problems) or "no network is composed of two sets or more")
    looks = task_looks(list(scene.tasks))
    figure, body = page(
        9.0,
        2.9 * -(-len(found) // COLUMNS) + 0.8,
        f"Compositions w of PaCo's parameter sets: {scene.subject}",
        footer(
            scene,
            [row for row in scene.rows if any(row is drawn for drawn, _, _ in found)],
            "Of the last policy. Two sets: w / |w| on the unit circle, with |w| as the point's "
            "size; the numbered crosses are the policies of `mtl-bench show RUN between=TASK`. "
            "More: the first two principal components of the tasks' w and their share of "
            "the variance.",
        ),
    )
    panels = grid(body, len(found), COLUMNS)
    for panel, (_, name, rows_TK) in zip(panels, found, strict=True):
        panel.set_title(f"{name}, K\u00a0=\u00a0{rows_TK.shape[1]}", fontsize=8.5, loc="left")
        (_draw_circle if rows_TK.shape[1] == 2 else _draw_plane)(panel, rows_TK, looks)
    labelled = {scene.tasks[task]: look for task, look in looks.items()}
    legend_below(body, list(labelled), labelled)
    return Drawing(figure, tuple(problems))


def principal_components(rows_TK: Array) -> tuple[Array, Array]:
    """Return the rows' coordinates along two components, (T, 2), and their shares of the variance.

    Each component points to where the entry of the largest magnitude is positive.
    """
    centred_TK = rows_TK - rows_TK.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred_TK, full_matrices=False)
    directions_2K = directions[:2]
    largest_2 = np.take_along_axis(
        directions_2K, np.abs(directions_2K).argmax(axis=1)[:, None], axis=1
    )
    squares = lengths**2
    shares_2 = squares[:2] / max(squares.sum(), np.finfo(float).tiny)
    return centred_TK @ (directions_2K * np.sign(largest_2)).T, shares_2


def _compositions(run: ScoredRun) -> Array | None:
    """Return the rows of the policy's compositions, (T, K), of the critics' if it has none.

    Raises:
        MtlBenchError: the record has no network.
    """
    from mtl_bench.architectures.control.paco import PaCo  # most figures need no torch
    from mtl_bench.inspect.recorded_run import load_run

    network = load_run(run.record.path, device="cpu").load_network("last")
    for component in ("actor", "critic"):
        module = network.get_submodule(component)
        if isinstance(module, PaCo) and module.composes:
            rows_TK: Array = module.rows()[0].detach().numpy()
            return rows_TK
    return None


def _draw_circle(panel: Axes, rows_T2: Array, looks: dict[str, Look]) -> None:
    angles = np.linspace(0, 2 * np.pi, 200)
    panel.plot(np.cos(angles), np.sin(angles), color=FAINT, linewidth=1.2)
    lengths_T = np.linalg.norm(rows_T2, axis=1)
    units_T2 = rows_T2 / np.maximum(lengths_T, np.finfo(float).tiny)[:, None]
    sizes_T = 4.5 + 5.0 * lengths_T / max(lengths_T.max(), np.finfo(float).tiny)
    for number, row_2 in enumerate(_between(units_T2), start=1):
        x, y = row_2.tolist()
        panel.plot([x], [y], "x", color=GREY, ms=5)
        panel.text(
            0.86 * x, 0.86 * y, str(number), color=GREY, fontsize=7, ha="center", va="center"
        )
    for (x, y), size, look in zip(units_T2, sizes_T, looks.values(), strict=True):
        panel.plot([0, x], [0, y], color=look.colour, linewidth=0.8, alpha=0.6)
        panel.plot([x], [y], look.marker, color=look.colour, ms=size, mec="white", mew=0.5)
    panel.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xlabel="w₁", ylabel="w₂")


def _between(units_T2: Array) -> Array:
    import torch  # most figures need no torch

    from mtl_bench.architectures.control.paco import rows_between

    rows_T2: Array = rows_between(torch.from_numpy(units_T2)).numpy()
    return rows_T2


def _draw_plane(panel: Axes, rows_TK: Array, looks: dict[str, Look]) -> None:
    places_T2, shares_2 = principal_components(rows_TK)
    panel.axhline(0.0, color=FAINT, linewidth=0.8)
    panel.axvline(0.0, color=FAINT, linewidth=0.8)
    for (x, y), look in zip(places_T2, looks.values(), strict=True):
        panel.plot([x], [y], look.marker, color=look.colour, ms=7, mec="white", mew=0.5)
    panel.margins(0.12)
    panel.set_xlabel(f"first component, {100 * shares_2[0]:.0f} %")
    panel.set_ylabel(f"second, {100 * shares_2[1]:.0f} %")
