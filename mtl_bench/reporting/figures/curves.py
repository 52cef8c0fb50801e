"""curves: losses and metrics of every task over training, all methods in each panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_bench.errors import RecordError
from mtl_bench.records.epochs import ENVIRONMENT_STEPS, clocks, components_of, read_epochs
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.looks import Look, row_looks
from mtl_bench.reporting.figures.panels import (
    draw_line,
    grid,
    legend_below,
    page,
    say_nothing_here,
    scale_values,
    split,
)
from mtl_bench.reporting.figures.series import Array, epoch_series, mean_and_sd
from mtl_bench.reporting.tables import metric_header

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
BANDS = 4
"""Methods up to which the deviation over seeds is drawn; more bands would hide each other."""

EPOCH = "epoch"
Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class PanelKey:
    """A panel's title, and where its numbers are in a line of ``metrics.jsonl``."""

    title: str
    keys: tuple[str, ...]
    higher_is_better: bool = False


def draw(scene: FigureContext) -> Drawing:
    """Return a panel for each task's training loss, then one for each metric on the test set.

    Raises:
        CannotDrawError: no record has epochs.
    """
    epochs, problems = read_lines(scene)
    if not epochs:
        raise CannotDrawError("; ".join(problems) or "no method to show")
    losses = _loss_panels(scene, epochs)
    metrics = _metric_panels(scene)
    rows = [-(-len(panels) // COLUMNS) for panels in (losses, metrics)]
    shown = [row for row in scene.rows if row.name in epochs]
    banded = len(shown) <= BANDS and any(len(row.seeds) > 1 for row in shown)
    figure, body = page(
        9.0,
        1.5 * sum(rows) + 1.2,
        f"Training loss and test metrics: {scene.subject}",
        footer(
            scene,
            shown,
            "Lines: mean over the seeds."
            + (" Bands: ± sample standard deviation." if banded else ""),
            "Loss: mean over the epoch's updates. Axes of errors and losses are logarithmic where "
            "values span a factor of four.",
        ),
    )
    looks = row_looks(shown)
    clock = clock_of(epochs)
    upper, lower = split(body, rows)
    axes = [*grid(upper, len(losses), COLUMNS), *grid(lower, len(metrics), COLUMNS)]
    for axis, panel in zip(axes, [*losses, *metrics], strict=True):
        axis.set_title(panel.title, fontsize=8, loc="left")
        _draw_panel(axis, panel, epochs, looks, banded, clock)
    lower.supxlabel(clock, fontsize=8)
    legend_below(body, list(looks), looks)
    return Drawing(figure, tuple(problems))


def read_lines(scene: FigureContext) -> tuple[dict[str, list[Lines]], list[str]]:
    """Return row's name -> lines of each seed, and what could not be read."""
    found: dict[str, list[Lines]] = {}
    problems = []
    for row in scene.rows:
        for run in scene.runs[row.name]:
            try:
                lines = read_epochs(run.record.path / "metrics.jsonl")
            except RecordError as error:
                problems.append(f"{row.name}: {error}")
            else:
                found.setdefault(row.name, []).append(lines)
    return found, problems


def clock_of(epochs: dict[str, list[Lines]]) -> str:
    """Return what the horizontal axis counts: environment steps where all runs tell them."""
    runs = [lines for seeds in epochs.values() for lines in seeds]
    return ENVIRONMENT_STEPS if all(ENVIRONMENT_STEPS in clocks(r) for r in runs) else EPOCH


def mean_clock(seeds: list[Lines], clock: str, length: int) -> Array:
    """Return the places of the first epochs on an axis: the mean over the seeds.

    Seeds take the same environment steps for an epoch, and not quite the same CPU time.
    """
    if clock == EPOCH:
        return np.array([line["epoch"] for line in seeds[0][:length]])
    return np.mean([clocks(lines)[clock][:length] for lines in seeds], axis=0)


def _loss_panels(scene: FigureContext, epochs: dict[str, list[Lines]]) -> list[PanelKey]:
    """Return a panel for each task, and for each component where there are several."""
    first = (line for seeds in epochs.values() for own in seeds for line in own[:1])
    components = sorted(components_of(first, "train_loss")) or [""]
    return [
        PanelKey(
            f"{label}{f', {component}' if component else ''}: loss ↓",
            ("train_loss", f"{component}/{task}".lstrip("/")),
        )
        for component in components
        for task, label in scene.tasks.items()
    ]


def _metric_panels(scene: FigureContext) -> list[PanelKey]:
    columns = scene.comparison.columns
    several = len({column.metric for column in columns}) > 1
    return [
        PanelKey(
            metric_header(column, with_metric=several),
            ("test", column.task, column.metric),
            column.higher_is_better,
        )
        for column in columns
    ]


def _draw_panel(
    axis: Axes,
    panel: PanelKey,
    epochs: dict[str, list[Lines]],
    looks: dict[str, Look],
    banded: bool,
    clock: str,
) -> None:
    from matplotlib.ticker import MaxNLocator

    means = draw_means(axis, panel.keys, epochs, looks, banded, clock)
    if not means:
        say_nothing_here(axis)
    elif not panel.higher_is_better:
        scale_values(axis, np.concatenate(means))
    axis.tick_params(labelsize=7)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))


def draw_means(
    axis: Axes,
    keys: Sequence[str],
    epochs: dict[str, list[Lines]],
    looks: dict[str, Look],
    banded: bool,
    clock: str,
) -> list[Array]:
    """Draw each row's mean over seeds and return the means.

    Args:
        axis: the panel.
        keys: where the numbers are in a line of ``metrics.jsonl``.
        epochs: row's name -> lines of each seed.
        looks: of the rows.
        banded: whether the deviation over seeds is drawn.
        clock: what the horizontal axis counts.
    """
    means = []
    for index, (name, look) in enumerate(looks.items()):
        seeds = [epoch_series(lines, *keys)[1] for lines in epochs[name]]
        length = min(map(len, seeds))
        mean_E, sd_E = mean_and_sd([values_E[:length] for values_E in seeds])
        if not np.isfinite(mean_E).any():
            continue
        means.append(mean_E)
        places_E = mean_clock(epochs[name], clock, length)
        draw_line(axis, places_E, mean_E, look, index)
        if banded and sd_E is not None:
            low_E, high_E = mean_E - sd_E, mean_E + sd_E
            axis.fill_between(places_E, low_E, high_E, color=look.colour, alpha=0.15, lw=0)
    return means
