"""Parts that the figures share: the page with its footer, axes, legends, direct labels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_bench.reporting.drawing import new_figure
from mtl_bench.reporting.figures.label_placement import spread_out
from mtl_bench.reporting.figures.looks import GREY, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Array = np.ndarray

SMALL = 6.5
"""Points of labels inside a picture."""

LETTERS_PER_INCH = 22
LINE = 0.11
"""Inches of a line in the footer."""

GOLDEN = 0.618034
"""Multiples of it, modulo 1, lie apart however many there are."""

Page = tuple["Figure", "SubFigure"]


def page(width: float, height: float, title: str, footer: str) -> Page:
    """Return a figure and the part of it, ``height`` inches tall, that is above the footer."""
    lines = textwrap.wrap(footer, int(width * LETTERS_PER_INCH), break_on_hyphens=False)
    low = LINE * len(lines) + 0.06
    figure = new_figure(width, height + low)
    body, foot = split(figure, [height, low])
    body.suptitle("\n".join(textwrap.wrap(title, int(width * 12.5))), fontsize=9.5)
    text = "\n".join(lines)
    foot.text(0.06 / width, 1.0, text, va="top", fontsize=6, color="#444444", linespacing=1.25)
    return figure, body


def split(whole: Figure | SubFigure, heights: Sequence[float]) -> list[SubFigure]:
    """Divide a figure into parts below each other, of these relative heights."""
    return list(whole.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])


def grid(body: SubFigure, count: int, columns: int) -> list[Axes]:
    """Return ``count`` panels, row by row; the last row may be short."""
    columns = min(columns, count)
    every = list(body.subplots(-(-count // columns), columns, squeeze=False).flat)
    for panel in every[count:]:
        panel.remove()
    return every[:count]


def legend_below(body: SubFigure, names: Sequence[str], looks: dict[str, Look]) -> None:
    """Put one legend of lines with markers under all panels."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], **looks[name].line, marker=looks[name].marker, ms=4.5, label=name)
        for name in names
    ]
    body.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(names), 8),
        fontsize=7,
        frameon=False,
        handlelength=3.4,
    )


def draw_line(panel: Axes, x_N: Array, y_N: Array, look: Look, index: int) -> None:
    """Draw a line with a few markers.

    Args:
        panel: the axes.
        x_N: places.
        y_N: values.
        look: colour, dashes and marker.
        index: number of the line in its panel; lines have their markers in different places.
    """
    every = max(1, len(x_N) // 5)
    panel.plot(
        x_N,
        y_N,
        **look.line,
        linewidth=1.1,
        marker=look.marker,
        ms=6.0 if look.marker == "*" else 4.4,
        mec="white",
        mew=0.5,
        markevery=(int(index * GOLDEN % 1 * every), every),
    )


def scale_values(panel: Axes, values: Array) -> None:
    """Make the value axis logarithmic where positive values span more than a factor of four."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    seen = values[np.isfinite(values)]
    if not seen.size or seen.min() <= 0 or seen.max() < 4 * seen.min():
        return
    decades = np.log10(seen.max() / seen.min())
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


def label_ends(
    panel: Axes,
    steps_N: Array,
    values_NK: Array,
    names: Sequence[str],
    looks: Sequence[Look],
    height: float,
) -> None:
    """Name lines at the panel's right edge, the names spread out where lines end close together.

    The axes' limits are final then. A line without a finite value has no name.

    Args:
        panel: the axes.
        steps_N: places of the lines' points.
        values_NK: the lines.
        names: of the K lines.
        looks: of the lines.
        height: of the panel in inches, about.
    """
    panel.margins(x=0)
    panel.set_ylim(panel.get_ylim())
    ends = [
        (float(steps_N[-1]), float(values_N[seen[-1]]), name, look)
        for values_N, name, look in zip(values_NK.T, names, looks, strict=False)
        if (seen := np.flatnonzero(np.isfinite(values_N))).size
    ]
    to_axes = panel.transScale + panel.transLimits
    points = [to_axes.transform((x, y)) for x, y, _, _ in ends]
    gap = 1.15 * SMALL / 72 / height
    heights = spread_out([float(y) for _, y in points], gap, 0.0, 1.0)
    for (_, y), placed, (_, _, name, look) in zip(points, heights, ends, strict=True):
        panel.plot(
            [1.0, 1.04, 1.08],
            [y, placed, placed],
            transform=panel.transAxes,
            clip_on=False,
            linewidth=0.6,
            color=look.colour,
            marker=look.marker,
            ms=3.4,
            markevery=[2],
            scalex=False,
            scaley=False,
        )
        panel.text(1.11, placed, name, transform=panel.transAxes, va="center", fontsize=SMALL)


def say_nothing_here(panel: Axes, text: str = "no values") -> None:
    """Write into an empty panel why it is empty."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color=GREY)


WHITE: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
"""A box behind a label that lies on lines."""


def spread_bars(
    panel: Axes, x: float, mean: float, sd: float | None, look: Look, size: float
) -> None:
    """Draw a marker with a whisker of one standard deviation, none of a single seed."""
    panel.errorbar(
        [x],
        [mean],
        yerr=None if sd is None else [sd],
        color=look.colour,
        marker=look.marker,
        capsize=2.5,
        elinewidth=1.0,
        mec="black",
        mew=0.5,
        linestyle="none",
        ms=size,
    )
