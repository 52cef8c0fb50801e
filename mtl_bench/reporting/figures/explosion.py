"""explosion: a task that is forced to explode, and the others, with and without masks and resets.

Legend of shape suffixes: E epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_bench.advice import command
from mtl_bench.errors import RecordError
from mtl_bench.records.epochs import ENVIRONMENT_STEPS, clocks, read_epochs
from mtl_bench.records.reader import Record
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.curves import Lines
from mtl_bench.reporting.figures.looks import FAINT, GREY, Look, task_looks
from mtl_bench.reporting.figures.panels import draw_line, grid, legend_below, page
from mtl_bench.reporting.figures.series import Array, mean_and_sd

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(scene: FigureContext) -> Drawing:
    """Return a panel of the disturbed task's success, and one of the mean of the others.

    Runs that exploded count as far as they came.

    Raises:
        CannotDrawError: no task of a run was disturbed, or no epoch of one can be read.
    """
    records = [record for record in _records(scene) if _disturbance(record)]
    if not records:
        words = command("train", experiment="paco_explosion")
        raise CannotDrawError(f"no task of a run here was disturbed: `{words}`")
    disturbance = _disturbance(records[0])
    problems = list[str]()
    if any(_disturbance(record) != disturbance for record in records):
        problems.append(f"runs with another disturbance than {disturbance} are left out")
    runs: dict[str, list[tuple[Record, Lines]]] = {}
    for record in records:
        try:
            lines = read_epochs(record.path / "metrics.jsonl")
        except RecordError as error:
            problems.append(f"{record.title}: {error}")
            continue
        if _disturbance(record) == disturbance and lines:
            runs.setdefault(record.title, []).append((record, lines))
    if not runs:
        raise CannotDrawError("; ".join(problems) or "no epoch of the disturbed runs was finished")
    task = str(disturbance["task"])
    labels = {record.label for own in runs.values() for record, _ in own}
    figure, body = page(
        9.0,
        3.2,
        f"A task's compositions become {disturbance['factor']:g} times as long: {scene.subject}",
        footer(
            scene,
            [row for row in scene.comparison.rows if row.label in labels],
            "Lines: mean over the seeds. Bands: ± sample standard deviation. Cross: the epoch "
            "after which a seed's run exploded and ended. Dotted: mean over those that went on. "
            "Dashed: the disturbance.",
        ),
    )
    others = [name for name in scene.tasks if name != task]
    looks = task_looks(list(runs))  # few lines, so that all differ in colour
    panels = grid(body, 2, 2)
    for panel, tasks, title in zip(
        panels,
        ([task], others),
        (f"{scene.tasks[task]}, disturbed", "the others, mean"),
        strict=True,
    ):
        panel.set_title(title, fontsize=8.5, loc="left")
        panel.axvline(_place(records[0]), color=GREY, linewidth=0.9, linestyle="--")
        for index, (name, look) in enumerate(looks.items()):
            _draw_row(panel, runs[name], tasks, look, index)
        panel.grid(color=FAINT, linewidth=0.5)
        panel.set(ylim=(-0.03, 1.03), xlabel=ENVIRONMENT_STEPS)
    panels[0].set_ylabel("success")
    named = {
        f"{name} ({_exploded(own)} of {len(own)} exploded)": looks[name]
        for name, own in runs.items()
    }
    legend_below(body, list(named), named)
    return Drawing(figure, tuple(problems))


def _records(scene: FigureContext) -> list[Record]:
    """Return the finished and the exploded runs of a comparison, by label and seed."""
    finished = [run.record for runs in scene.runs.values() for run in runs]
    exploded = [record for record in scene.unfinished if record.state == "exploded"]
    return sorted([*finished, *exploded], key=lambda record: (record.label, record.seed))


def _disturbance(record: Record) -> dict[str, Any]:
    return record.config.get("algorithm", {}).get("disturbance") or {}


def _exploded(runs: Sequence[tuple[Record, Lines]]) -> int:
    return sum(record.state == "exploded" for record, _ in runs)


def _place(record: Record) -> float:
    """Return the environment steps of a task before the disturbance."""
    algorithm, suite = record.config["algorithm"], record.config["dataset"]
    random = algorithm["random_episodes"] * suite["horizon"]
    return float((random + algorithm["disturbance"]["update"]) * suite["copies"])


def _draw_row(
    panel: Axes, runs: Sequence[tuple[Record, Lines]], tasks: Sequence[str], look: Look, index: int
) -> None:
    places = [clocks(lines)[ENVIRONMENT_STEPS] for _, lines in runs]
    seeds = [_success(lines, tasks) for _, lines in runs]
    length = min(map(len, seeds))
    mean_E, sd_E = mean_and_sd([success_E[:length] for success_E in seeds])
    draw_line(panel, np.array(places[0][:length]), mean_E, look, index)
    if sd_E is not None:
        low_E, high_E = mean_E - sd_E, mean_E + sd_E
        panel.fill_between(places[0][:length], low_E, high_E, color=look.colour, alpha=0.15, lw=0)
    later = [n for n, success_E in enumerate(seeds) if len(success_E) > length]
    if later:
        rest = slice(length - 1, min(len(seeds[n]) for n in later))
        mean_E, _ = mean_and_sd([seeds[n][rest] for n in later])
        panel.plot(places[later[0]][rest], mean_E, color=look.colour, linestyle=":", linewidth=1.4)
    for (record, _), place, success_E in zip(runs, places, seeds, strict=True):
        if record.state == "exploded":
            panel.plot(place[-1], success_E[-1], "x", color=look.colour, ms=6, mew=1.4, zorder=5)


def _success(lines: Lines, tasks: Sequence[str]) -> Array:
    """Return the mean success of some tasks after every epoch."""
    return np.array([np.mean([line["test"][task]["success"] for task in tasks]) for line in lines])
