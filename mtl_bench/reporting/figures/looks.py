"""How lines are told apart: colour, dashes and marker, so that grey prints work too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import product
from typing import Any, NamedTuple

from mtl_bench.errors import ConfigError
from mtl_bench.reporting.comparison import MethodRow
from mtl_bench.reporting.display import find_display
from mtl_bench.reporting.drawing import COLOURS as OKABE_ITO

GREY = "#777777"
FAINT = "#DDDDDD"
PALETTE = (*OKABE_ITO, "#56B4E9", "#000000")
"""Okabe and Ito's colours without yellow, which is lost on white paper."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
"""Solid, dashed, dotted, dash and dot."""

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

NAMED_DASHES = dict(zip(("solid", "dashed", "dotted", "dash_dot"), DASHES, strict=True))
"""Names of line styles there."""

BLUE = COLOURS["blue"]
SOLID, DASHED, DOTTED, _ = DASHES


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
    """Return a look for every method or variant; up to 28 have different ones.

    Those whose files give them none, such as variants, take what the others leave.
    """
    own = {name: look for name in names if (look := find_look(name))}
    taken = {(look.colour, look.dash) for look in own.values()}
    free = [(c, d) for d, c in product(DASHES, PALETTE) if (c, d) not in taken]
    others = [name for name in names if name not in own]
    found = {
        name: Look(*free[index % len(free)], MARKERS[index % len(MARKERS)])
        for index, name in enumerate(others)
    }
    return {name: own.get(name) or found[name] for name in names}


def task_looks(tasks: Sequence[str]) -> dict[str, Look]:
    """Return a look for every task: the colours in turn, then the same in other dashes."""
    pairs = list(product(DASHES, PALETTE))
    return {
        task: Look(colour, dash, MARKERS[index % len(MARKERS)])
        for index, (task, (dash, colour)) in enumerate(
            (task, pairs[index % len(pairs)]) for index, task in enumerate(tasks)
        )
    }
