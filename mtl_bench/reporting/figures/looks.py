"""How lines are told apart: colour, dashes and marker, so that grey prints work too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from mtl_bench.reporting.drawing import COLOURS

GREY = "#777777"
FAINT = "#DDDDDD"
PALETTE = (*COLOURS, "#56B4E9", "#000000")
"""Okabe and Ito's colours without yellow, which is lost on white paper."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
"""Solid, dashed, dotted, dash and dot."""

MARKERS = "osD^v<>PXphd8*H"


class Look(NamedTuple):
    """Colour, line style and marker of one method or task."""

    colour: str
    dash: Any
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of ``plot`` for a line without markers."""
        return {"color": self.colour, "linestyle": self.dash}


BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = PALETTE
SOLID, DASHED, DOTTED, DASH_DOT = DASHES

METHODS = {
    "stl": Look(GREY, DASHED, "s"),
    "ls": Look(BLACK, SOLID, "o"),
    "taskforce": Look(VERMILION, SOLID, "*"),
    "rlw": Look(SKY, DOTTED, "p"),
    "dwa": Look(ORANGE, DOTTED, "v"),
    "uw": Look(BLACK, DASH_DOT, "P"),
    "igbv2": Look(ORANGE, DASHED, "d"),
    "mgda": Look(BLUE, SOLID, "^"),
    "graddrop": Look(SKY, DASHED, "8"),
    "pcgrad": Look(GREEN, DASH_DOT, "<"),
    "cagrad": Look(PURPLE, SOLID, "D"),
    "imtl": Look(BLUE, DASHED, "X"),
    "nashmtl": Look(GREEN, SOLID, "H"),
    "alignedmtl": Look(PURPLE, DASHED, ">"),
    "torchjd": Look(BLUE, DOTTED, "h"),
}
"""A method looks the same in every figure."""


def method_looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for every row of a table; up to 28 have different ones.

    Rows that aren't one of our methods, such as variants, take what the others leave.
    """
    taken = {(look.colour, look.dash) for name, look in METHODS.items() if name in names}
    free = [(c, d) for d, c in product(DASHES, PALETTE) if (c, d) not in taken]
    found: dict[str, Look] = {}
    for index, name in enumerate(name for name in names if name not in METHODS):
        found[name] = Look(*free[index % len(free)], MARKERS[index % len(MARKERS)])
    return {name: METHODS.get(name) or found[name] for name in names}


def task_looks(tasks: Sequence[str]) -> dict[str, Look]:
    """Return a look for every task: the colours in turn, then the same in other dashes."""
    pairs = list(product(DASHES, PALETTE))
    return {
        task: Look(colour, dash, MARKERS[index % len(MARKERS)])
        for index, (task, (dash, colour)) in enumerate(
            (task, pairs[index % len(pairs)]) for index, task in enumerate(tasks)
        )
    }
