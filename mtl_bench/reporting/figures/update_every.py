"""figure3: the score and the speed where the agents are updated less often (appendix F.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.reporting.comparison import Spread
from mtl_bench.reporting.costs import cost
from mtl_bench.reporting.experiments import find_experiments
from mtl_bench.reporting.figures.looks import BLUE, FAINT, GREY, SOLID, find_look
from mtl_bench.reporting.figures.panels import WHITE, page, spread_bars
from mtl_bench.reporting.figures.scene import Drawing, FigureContext, footer
from mtl_bench.reporting.figures.sweep import SweptSetting, sweep_cells, sweep_missing
from mtl_bench.reporting.tables import score_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(scene: FigureContext) -> Drawing:
    """Return the score over ``update_every``, and below it the speed-up of a step where known.

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
