"""Pictures as files. matplotlib comes with the extra ``report``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_bench.errors import ConfigError
from mtl_bench.files import explain_write_errors, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""

DOTS_PER_INCH = 150

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "mtl-bench",  # the same picture is the same file
    "svg.fonttype": "none",
}


def style() -> AbstractContextManager[None]:
    """Return a context in which figures look alike.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    return _matplotlib().rc_context(STYLE)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def _matplotlib() -> Any:  # noqa: ANN401 - a module
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("matplotlib is missing: pip install 'mtl_bench[report]'") from error
    return matplotlib


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write ``name``.png and ``name``.svg and return their paths."""
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with style():
        _settle_layout(figure)
        return [_save(figure, folder / f"{name}.{form}", form) for form in ("png", "svg")]


def _settle_layout(figure: Figure) -> None:
    """Lay the figure out once and round the places of its parts.

    The solver's last digits vary from time to time, and an SVG's identifiers are hashes of all of
    them.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    parts = list(figure.subfigs)
    while parts:
        part = parts.pop()
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(6))
        parts.extend(part.subfigs)
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


def _save(figure: Figure, path: Path, form: str) -> Path:
    metadata = {"Date": None} if form == "svg" else None
    write_atomically(path, lambda stream: figure.savefig(stream, format=form, metadata=metadata))
    return path
