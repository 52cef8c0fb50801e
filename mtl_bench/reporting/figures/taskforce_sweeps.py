"""figure2 and figure3: cells of a sweep, and why some have no score (appendices F.1 and F.2)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl_bench.reporting.comparison import Spread
from mtl_bench.reporting.costs import cost
from mtl_bench.reporting.experiments import find_experiments
from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.looks import BLUE, FAINT, GREY, SOLID, find_look
from mtl_bench.reporting.figures.panels import WHITE, page, spread_bars
from mtl_bench.reporting.statistics import MethodRow
from mtl_bench.reporting.status import describe
from mtl_bench.reporting.tables import score_text
from mtl_bench.scores import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class SweptSetting:
    """One setting of the sweep.

    Args:
        row: its row, None where there is no single one.
        state: why there is no score, empty where there is.
    """

    row: MethodRow | None
    state: str


def sweep_cells(scene: FigureContext, name: str) -> dict[str, SweptSetting]:
    """Return label -> cell for every line of an experiment.

    Raises:
        CannotDrawError: no run of it is finished here, or none has a score.
    """
    rows: dict[str, list[MethodRow]] = {}
    for row in scene.comparison.rows:
        rows.setdefault(row.label, []).append(row)
    states = {record.label: describe(record) for record in scene.unfinished}
    cells = {}
    for line in find_experiments()[name].lines:
        found = rows.get(line.label, [])
        state = states.get(line.label, "missing")
        cells[line.label] = _cell(found, state, scene.comparison.score.label)
    if all(cell.row is None for cell in cells.values()):
        counts = Counter(cell.state for cell in cells.values())
        counted = ", ".join(f"{count} {state}" for state, count in counts.items())
        start = scene.command(f"experiment={name}")
        raise CannotDrawError(f"no finished run of its sweep ({counted}): {start}")
    if all(cell.state for cell in cells.values()):
        raise CannotDrawError(next(n for c in cells.values() if c.row for n in c.row.notes))
    return cells


def sweep_missing(
    scene: FigureContext, cells: dict[str, SweptSetting], name: str
) -> tuple[str, ...]:
    """Return a line about the cells that have nothing to show."""
    empty = [f"{label} ({cell.state})" for label, cell in cells.items() if cell.state]
    notes = [note for cell in cells.values() if cell.row for note in cell.row.notes]
    if empty:
        unfinished = any(cell.row is None for cell in cells.values())
        start = f": {scene.command(f'experiment={name}')}" if unfinished else ""
        notes.insert(0, f"no {scene.comparison.score.label} of {', '.join(empty)}{start}")
    return tuple(dict.fromkeys(notes))


def _cell(rows: list[MethodRow], state: str, label: str) -> SweptSetting:
    if not rows:
        return SweptSetting(None, state)
    if len(rows) > 1:
        return SweptSetting(None, f"{len(rows)} configurations")
    return SweptSetting(rows[0], "" if rows[0].score else f"no {label}")


LABEL = re.compile(r"taskforce-noise_([\d.]+)_buffer_(\d+)")


def draw_noise_buffer(scene: FigureContext) -> Drawing:
    """Return figure2: the score by exploration noise and length of the replay buffer, as a grid.

    A cell holds the mean score, its deviation and the number of seeds.

    Raises:
        CannotDrawError: no cell has a score.
    """
    cells = sweep_cells(scene, "figure2")
    keys = {label: LABEL.findall(label)[0] for label in cells}
    noises = sorted({noise for noise, _ in keys.values()}, key=float)
    sizes = sorted({size for _, size in keys.values()}, key=int)
    values = np.full((len(noises), len(sizes)), np.nan)
    places = {label: (noises.index(n), sizes.index(s)) for label, (n, s) in keys.items()}
    for label, cell in cells.items():
        if cell.row is not None and cell.row.score is not None:
            values[places[label]] = cell.row.score.mean
    rows = [cell.row for cell in cells.values() if cell.row is not None]
    score = scene.comparison.score
    note = f"Cells: mean {score.label} ± sample standard deviation over n seeds; hatched: no value."
    title = f"Exploration noise and replay buffer: {scene.subject}"
    figure, body = page(5.8, 3.3, title, footer(scene, rows, note))
    panel = body.subplots()
    shown = np.ma.masked_invalid(values)
    image = panel.imshow(shown, cmap="cividis", aspect="auto", origin="lower")
    middle = (shown.min() + shown.max()) / 2
    for label, cell in cells.items():
        _write_cell(panel, places[label], cell, score, dark=bool(values[places[label]] < middle))
    panel.set_xticks(range(len(sizes)), [f"{int(size):,}" for size in sizes])
    panel.set_yticks(range(len(noises)), noises)
    panel.set_xlabel("length of the replay buffer [transitions]")
    panel.set_ylabel("initial scale of the exploration noise")
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    body.colorbar(image, ax=panel, label=score.heading)
    return Drawing(figure, sweep_missing(scene, cells, "figure2"))


def _write_cell(
    panel: Axes, place: tuple[int, int], cell: SweptSetting, score: Score, dark: bool
) -> None:
    """Write a cell's numbers, or hatch it and write why it has none."""
    y, x = place
    if cell.row is not None and cell.row.score is not None:
        mean, _, sd = score_text(cell.row.score, score).partition(" ± ")
        lines = [mean, f"± {sd}"] if sd else [mean]
        text = "\n".join([*lines, f"n = {len(cell.row.seeds)}"])
        panel.text(
            x, y, text, ha="center", va="center", fontsize=7, color="white" if dark else "black"
        )
        return
    from matplotlib.patches import Rectangle

    panel.add_patch(
        Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor=FAINT, hatch="////")
    )
    text = cell.state.replace(" ", "\n", 1)
    panel.text(
        x, y, text, ha="center", va="center", fontsize=7, color="#444444",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip


def draw_update_every(scene: FigureContext) -> Drawing:
    """Return figure3: the score over ``update_every``, and below it the speed-up of a step.

    Raises:
        CannotDrawError: no run of the sweep has a score.
    """
    cells = sweep_cells(scene, "figure3")
    intervals = {label: int(label.rpartition("_")[2]) for label in cells}
    speeds, note = _speeds(cells)
    score = scene.comparison.score
    rows = [cell.row for cell in cells.values() if cell.row is not None]
    title = f"Update frequency of the agents: {scene.subject}"
    deviation = "Whiskers: sample standard deviation over n seeds."
    figure, body = page(4.8, 4.0 if speeds else 2.6, title, footer(scene, rows, deviation, note))
    panels = body.subplots(2 if speeds else 1, 1, sharex=True, squeeze=False)[:, 0]
    above, lowest = panels[0], panels[-1]
    points = {i: cells[label].row for label, i in intervals.items()}
    deltas = {i: row.score for i, row in points.items() if row and row.score}
    means = [deltas[i].mean for i in deltas]
    look = find_look("taskforce")
    assert look is not None
    look = look._replace(marker="D")
    above.plot(list(deltas), means, color=look.colour, linewidth=1.2)
    for interval, delta in deltas.items():
        spread_bars(above, interval, delta.mean, delta.sd, look, 5)
    tops = {i: delta.mean + (delta.sd or 0.0) for i, delta in deltas.items()}
    _write(
        above,
        {i: (top, score_text(Spread(deltas[i].mean, None), score)) for i, top in tops.items()},
    )
    if speeds:
        _draw_speeds(lowest, {intervals[label]: speed for label, speed in speeds.items()})
    for label, cell in cells.items():
        if cell.state:
            for panel in panels:
                _mark_missing(panel, intervals[label], cell.state if panel is above else "")
    above.set_ylabel(score.heading)
    lowest.set_xscale("log")
    lowest.set_xticks(list(points), [str(interval) for interval in points])
    lowest.minorticks_off()
    lowest.set_xlabel("interval between updates of the agents [updates of the network]")
    for panel in panels:
        panel.margins(x=0.08, y=0.28)
        panel.grid(axis="y", color=FAINT, linewidth=0.5, linestyle=SOLID)
        panel.set_axisbelow(True)
    return Drawing(figure, sweep_missing(scene, cells, "figure3"))


def _speeds(cells: dict[str, SweptSetting]) -> tuple[dict[str, float], str]:
    """Return label -> speed-up of those whose times can be compared, and what to say of it."""
    reference = cells[find_experiments()["figure3"].reference].row
    if reference is None:
        return {}, "No speeds: the run with update_every=1 isn't there."
    speeds, reasons = dict[str, float](), dict[str, None]()
    for label, cell in cells.items():
        found = cell.row and cost(cell.row.step_times, reference.step_times, "update_every=1")
        if found and found.ratio:
            speeds[label] = 1 / found.ratio
        elif found:
            reasons[found.reason] = None
    note = "Speed: training time of a step, same seed, device and load, median over seeds."
    return speeds, " ".join([note, *(f"No speed: {reason}." for reason in reasons)])


def _draw_speeds(panel: Axes, speeds: dict[int, float]) -> None:
    panel.plot(list(speeds), list(speeds.values()), "-D", color=BLUE, ms=4.5, mec="black", mew=0.5)
    _write(panel, {i: (speed, f"×{speed:.2f}") for i, speed in speeds.items()})
    panel.axhline(1.0, color=GREY, linewidth=0.8, linestyle="--")
    panel.set_ylabel("speed of a step,\nrelative to interval 1 ↑")


def _write(panel: Axes, points: dict[int, tuple[float, str]]) -> None:
    """Write each text above its point."""
    for x, (y, text) in points.items():
        panel.annotate(
            text, (x, y), xytext=(0, 6), textcoords="offset points", fontsize=7, ha="center",
            bbox=WHITE,
        )  # fmt: skip


def _mark_missing(panel: Axes, x: float, state: str) -> None:
    panel.axvline(x, color=FAINT, linewidth=8, zorder=0)
    panel.annotate(
        state, (x, 0.5), xycoords=("data", "axes fraction"), rotation=90, fontsize=7,
        ha="center", va="center", color="#444444",
    )  # fmt: skip
