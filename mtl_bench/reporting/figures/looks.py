"""How lines are told apart: colour, dashes and marker, so that grey prints work too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import product
from typing import Any, NamedTuple

from mtl_bench.config.groups import PACKAGE, find_choices
from mtl_bench.errors import ConfigError
from mtl_bench.reporting.comparison import MethodRow
from mtl_bench.reporting.display import find_display
from mtl_bench.reporting.drawing import COLOURS as OKABE_ITO

GREY = "#777777"
FAINT = "#DDDDDD"
PALETTE = (*OKABE_ITO, "#56B4E9", "#000000")
"""Okabe and Ito's colours without yellow, which is lost on white paper."""

NAMED_DASHES: dict[str, Any] = {
    "solid": "-",
    "dashed": (0, (5, 1.6)),
    "dotted": (0, (1.2, 1.2)),
    "dash_dot": (0, (6, 1.5, 1.2, 1.5)),
    "long_dash": (0, (10, 3)),
    "sparse": (0, (1.2, 3.5)),
    "dash_dot_dot": (0, (6, 1.5, 1.2, 1.5, 1.2, 1.5)),
    "two_dash": (0, (8, 2, 3, 2)),
}
"""Names of line styles in ``configs/method``, and matplotlib's patterns."""

DASHES = tuple(NAMED_DASHES.values())
SOLID, DASHED, DOTTED = DASHES[:3]

MARKERS = tuple("osD^v<>PXphd8*H")


class Look(NamedTuple):
    """Colour, line style and marker of one method or task."""

    colour: str
    dash: Any
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of ``plot`` for a line without markers."""
        return {"color": self.colour, "linestyle": self.dash}


NAMES = ("blue", "vermilion", "green", "purple", "orange", "sky", "black")
COLOURS = {**dict(zip(NAMES, PALETTE, strict=True)), "grey": GREY}
"""Names of colours in ``configs/method``."""

BLUE = COLOURS["blue"]


def find_look(method: str) -> Look | None:
    """Return how a method looks in every figure, None where its file doesn't say.

    Raises:
        ConfigError: it says what there is not.
    """
    display = find_display("method", method)
    if not {"colour", "dash", "marker"} <= display.keys():
        return None
    known: dict[str, Collection[str]] = {"colour": COLOURS, "dash": NAMED_DASHES, "marker": MARKERS}
    for key, allowed in known.items():
        if str(display[key]) not in allowed:
            raise ConfigError(
                f"configs/method/{method}.yaml: display.{key}={display[key]}: must be one of "
                + ", ".join(allowed)
            )
    return Look(COLOURS[display["colour"]], NAMED_DASHES[display["dash"]], str(display["marker"]))


def row_looks(rows: Sequence[MethodRow]) -> dict[str, Look]:
    """Return a look for every row of a table, by its name."""
    counts = Counter(row.label for row in rows)
    keys = {row.name: row.label if counts[row.label] == 1 else row.name for row in rows}
    looks = method_looks(list(keys.values()))
    return {name: looks[key] for name, key in keys.items()}


def method_looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for every method or variant.

    Up to 56 differ in colour or dashes, and further ones in colour, dashes or marker. Those whose
    files give them none, such as variants, take what the files of all methods leave, so that none
    takes the look of a method that another figure shows.
    """
    own = _own_looks()
    taken = {(look.colour, look.dash) for look in own.values()}
    free = [look for look in line_looks() if (look.colour, look.dash) not in taken]
    others = [name for name in names if name not in own]
    return {name: own.get(name) or _nth(free, others.index(name)) for name in names}


def _own_looks() -> dict[str, Look]:
    """Return what the methods' files say; an added method never takes the look of another."""
    looks, taken = dict[str, Look](), set[tuple[str, Any]]()
    choices = find_choices("method")
    for name in sorted(choices, key=lambda name: choices[name].package != PACKAGE):
        if look := find_look(name):
            free = (dash for dash in (look.dash, *DASHES) if (look.colour, dash) not in taken)
            looks[name] = look._replace(dash=next(free, look.dash))
            taken.add((look.colour, looks[name].dash))
    return looks


def task_looks(tasks: Sequence[str]) -> dict[str, Look]:
    """Return a look for every task: the colours in turn, then the same in other dashes."""
    looks = line_looks()
    return {task: _nth(looks, index) for index, task in enumerate(tasks)}


def line_looks() -> list[Look]:
    """Return looks that differ in colour or dashes, 56 of them."""
    pairs = enumerate(product(DASHES, PALETTE))
    return [Look(colour, dash, MARKERS[i % len(MARKERS)]) for i, (dash, colour) in pairs]


def _nth(looks: Sequence[Look], index: int) -> Look:
    """Return one of the looks; after the last one they begin again with other markers."""
    turn, place = divmod(index, len(looks))
    look = looks[place]
    return look._replace(marker=MARKERS[(MARKERS.index(look.marker) + turn) % len(MARKERS)])
