"""How methods look on the page: as in the figures, in the page's own shades and marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtl_bench.reporting.figures.looks import (
    BLACK,
    BLUE,
    DASH_DOT,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    SOLID,
    VERMILION,
    method_looks,
)

SHADES = {
    VERMILION: "--line-0",
    BLUE: "--line-1",
    GREEN: "--line-2",
    PURPLE: "--line-3",
    ORANGE: "--line-4",
    SKY: "--line-5",
    BLACK: "--ink",
    GREY: "--muted",
}
"""Colour of the figures -> property of the page's style, whose values are for light and dark."""

DASHES = {SOLID: [], DASHED: [7, 4], DOTTED: [2, 3], DASH_DOT: [10, 3, 2, 3]}

MARKS = dict.fromkeys("oh8H", "circle") | {
    **dict.fromkeys("sp", "square"),
    **dict.fromkeys("^v<>", "triangle"),
    **dict.fromkeys("Dd", "diamond"),
    **dict.fromkeys("PX*", "cross"),
}
"""Marker of the figures -> the nearest of the page's five."""


def page_looks(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return label -> colour, dash and mark of the page."""
    return {
        label: {
            "colour": SHADES[look.colour],
            "dash": DASHES[look.dash],
            "mark": MARKS[look.marker],
            "width": 1.75,
        }
        for label, look in method_looks(labels).items()
    }
