"""The command ``mtl-bench figures``: every figure that the records allow, as PNG and SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl_bench.errors import ConfigError
from mtl_bench.files import printable
from mtl_bench.records.reader import Record
from mtl_bench.reporting.advice import (
    choose_records,
    explain_no_records,
    require_labels,
    status_command,
)
from mtl_bench.reporting.drawing import save, style
from mtl_bench.reporting.figures import (
    compositions,
    cost,
    curves,
    explosion,
    gradients,
    ranking,
    score,
    success,
    taskforce_sweeps,
    triad,
    weights,
)
from mtl_bench.reporting.figures.context import (
    CannotDrawError,
    Drawing,
    FigureContext,
    find_scenes,
)
from mtl_bench.values import SELECTIONS
from mtl_bench.words import parse_list, parse_settings, require_choice

FIGURES: dict[str, Callable[[FigureContext], Drawing]] = {
    "figure2": taskforce_sweeps.draw_noise_buffer,
    "figure3": taskforce_sweeps.draw_update_every,
    "figure4": weights.draw,
    "score": score.draw,
    "curves": curves.draw,
    "gradients": gradients.draw,
    "triad": triad.draw,
    "cost": cost.draw,
    "ranking": ranking.draw,
    "success": success.draw,
    "compositions": compositions.draw,
    "explosion": explosion.draw,
}
"""Name -> how it is drawn."""


@dataclass(frozen=True)
class DrawnFigure:
    """What became of one figure of one comparison.

    Args:
        name: of ``FIGURES``.
        scene: what it was drawn from.
        paths: the files; none where it could not be drawn.
        missing: why it could not, or what isn't in it, with the command that makes it.
    """

    name: str
    scene: FigureContext
    paths: tuple[Path, ...]
    missing: tuple[str, ...]


def run(words: Sequence[str]) -> int:
    """Draw the named figures, all by default; say what was written and what could not be drawn.

    Raises:
        ConfigError: an unknown figure, setting or method, or matplotlib is missing.
    """
    names = [word for word in words if "=" not in word]
    if unknown := [name for name in names if name not in FIGURES]:
        raise ConfigError(f"unknown figure {unknown[0]}; allowed: {', '.join(FIGURES)}")
    settings = parse_settings(
        [word for word in words if "=" in word],
        profile=None,
        dataset=None,
        method=None,
        seed=None,
        selection=None,
        paths__results="results",
        paths__figures=None,
    )
    require_choice(settings, "selection", SELECTIONS)
    results, folder = Path(str(settings["paths.results"])), settings["paths.figures"]
    records = choose_records(results, settings)
    if not records:
        chosen = {key: settings[key] for key in ("profile", "dataset", "seed")}
        print(explain_no_records(results, chosen))
        return 0
    methods = parse_list(settings["method"])
    require_labels(methods, records)
    scenes = find_scenes(records, settings["selection"], methods)
    several = len({scene.setting.profile for scene in scenes}) > 1
    for scene in scenes:
        profile = scene.setting.profile
        target = results / profile / "figures"
        if folder:
            target = Path(folder, profile) if several else Path(folder)
        for outcome in draw_figures(scene, target, names):
            print(_report(outcome), end="")
    print(_left_out(records, scenes), end="")
    return 0


def draw_figures(
    scene: FigureContext, folder: Path, names: Sequence[str] = ()
) -> Iterator[DrawnFigure]:
    """Draw figures of one comparison and yield each one's outcome.

    Args:
        scene: as ``find_scenes`` returns it.
        folder: where ``<name>_<scene's suffix>.png`` and ``.svg`` go.
        names: of ``FIGURES``, all by default.

    Raises:
        ConfigError: matplotlib is missing.
        MtlBenchError: the folder can't be written.
    """
    for name in names or FIGURES:
        with style():
            try:
                drawing = FIGURES[name](scene)
            except CannotDrawError as error:
                yield DrawnFigure(name, scene, (), (str(error),))
                continue
        paths = save(drawing.figure, folder, f"{name}_{scene.suffix}")
        yield DrawnFigure(name, scene, tuple(paths), drawing.missing)


def _report(outcome: DrawnFigure) -> str:
    if outcome.paths:
        lines = [*map(str, outcome.paths), *(f"  {text}" for text in outcome.missing)]
        return "".join(f"{printable(line)}\n" for line in lines)
    where = f"{outcome.scene.setting.profile} / {outcome.scene.suffix}"
    return printable(f"{outcome.name} of {where} not drawn: {'; '.join(outcome.missing)}") + "\n"


def _left_out(records: Sequence[Record], scenes: Sequence[FigureContext]) -> str:
    """Return a line for each profile and data set with runs that no figure shows, and why."""
    drawn = {run.record.path for scene in scenes for runs in scene.runs.values() for run in runs}
    places: dict[str, list[Record]] = {}
    for record in records:
        if record.path not in drawn:
            places.setdefault(f"{record.profile} / {record.dataset}", []).append(record)
    lines = [
        f"{place}: not shown: {_count_states(own)} (see `{status_command(own)}`)\n"
        for place, own in places.items()
    ]
    return "".join(lines)


def _count_states(records: Sequence[Record]) -> str:
    finished = "finished without metrics under this selection"
    counts = Counter(finished if r.summary is not None else r.state for r in records)
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
