"""cost: how good the score of a method is against what an epoch of it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtl_bench.reporting.comparison import MethodRow, Spread
from mtl_bench.reporting.costs import NO_PAIR
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.label_placement import Box, place_boxes
from mtl_bench.reporting.figures.looks import FAINT, GREY, row_looks
from mtl_bench.reporting.figures.panels import WHITE, page, spread_bars
from mtl_bench.scores import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 0.08
"""Inches between a marker and its label."""

LETTERS = 7.5
"""Points of the labels' letters."""

Point = tuple[str, float, Spread]


def draw(scene: FigureContext) -> Drawing:
    """Return one point per method: the score over the training time of an epoch relative to LS.

    Raises:
        CannotDrawError: no method has both numbers.
    """
    score = scene.comparison.score
    points = [
        (row.name, row.epoch_cost.ratio, row.score)
        for row in scene.rows
        if row.epoch_cost.ratio and row.score
    ]
    shown = [name for name, _, _ in points]
    others = [row for row in scene.rows if row.name not in shown]
    missing = _missing(scene, others)
    if not points:
        raise CannotDrawError("; ".join(missing) or "no method to show")
    rows = [row for row in scene.rows if row.name in shown]
    without = ", ".join(row.name for row in others)
    figure, body = page(
        5.6,
        3.9,
        f"{score.label} and cost: {scene.subject}",
        footer(
            scene,
            rows,
            "Whiskers: sample standard deviation over n seeds. Cost: training time of an epoch "
            "relative to LS with the same seed on the same device under the same load, median over "
            "seeds.",
            f"Not shown: {without}." if without else "",
        ),
    )
    panel = body.subplots()
    looks = row_looks(scene.comparison.rows)
    if score.is_relative:
        panel.axhline(0.0, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
    for name, cost, delta in points:
        spread_bars(panel, cost, delta.mean, delta.sd, looks[name], 6)
    _set_axes(panel, [cost for _, cost, _ in points], score)
    _name_points(figure, panel, points)
    return Drawing(figure, missing)


def _missing(scene: FigureContext, rows: Sequence[MethodRow]) -> tuple[str, ...]:
    """Return each reason why rows aren't shown, after the names of those rows."""
    names: dict[str, list[str]] = {}
    for row in rows:
        reason = "; ".join(row.notes)
        if row.score is not None:
            unpaired = row.epoch_cost.reason == NO_PAIR.format("LS")  # what a run could mend
            command = scene.command_of("ls") if unpaired else ""
            reason = f"no cost: {row.epoch_cost.reason}{command}"
        names.setdefault(reason, []).append(row.name)
    return tuple(f"{', '.join(members)}: {reason}" for reason, members in names.items())


def _set_axes(panel: Axes, costs: list[float], score: Score) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    panel.margins(x=0.15, y=0.15)
    if max(costs) > 2 * min(costs):
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"×{value:g}"))
    panel.set_xlabel("training time of an epoch, relative to LS ↓")
    panel.set_ylabel(score.heading + "   (dashed: STL)" * score.is_relative)
    panel.grid(color=FAINT, linewidth=0.5)
    panel.set_axisbelow(True)


def _name_points(figure: Figure, panel: Axes, points: list[Point]) -> None:
    """Write each method's name beside its point, when the layout is final."""
    figure.draw_without_rendering()
    dots_per_inch = figure.dpi
    frame = panel.get_window_extent()
    places, obstacles = [], []
    for _, cost, delta in points:
        low, middle, high = (
            panel.transData.transform((cost, delta.mean + sign * (delta.sd or 0.0)))
            for sign in (-1, 0, 1)
        )
        places.append((float(middle[0]), float(middle[1])))
        half = 0.055 * dots_per_inch
        obstacles.append(_box(middle[0] - half, middle[1] - half, 2 * half, 2 * half))
        obstacles.append(_box(low[0] - 2, low[1], 4, high[1] - low[1]))
    boxes = place_boxes(
        places,
        [_size(panel, name) for name, _, _ in points],
        (frame.x0, frame.y0, frame.x1, frame.y1),
        obstacles,
        REACH * dots_per_inch,
    )
    for (name, cost, delta), (left, bottom, right, top) in zip(points, boxes, strict=True):
        x, y = panel.transAxes.inverted().transform(((left + right) / 2, (bottom + top) / 2))
        label = panel.annotate(
            name, (cost, delta.mean), (float(x), float(y)), textcoords="axes fraction",
            ha="center", va="center", fontsize=LETTERS, bbox=WHITE, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkB": 3.0},
        )  # fmt: skip
        label.set_in_layout(False)


def _size(panel: Axes, name: str) -> tuple[float, float]:
    """Return width and height of a label in dots."""
    text = panel.text(0, 0, name, fontsize=LETTERS)
    extent = text.get_window_extent()
    text.remove()
    return float(extent.width), float(extent.height)


def _box(left: float, bottom: float, width: float, height: float) -> Box:
    return float(left), float(bottom), float(left + width), float(bottom + height)
