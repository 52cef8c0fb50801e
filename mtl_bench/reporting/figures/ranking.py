"""ranking: the mean rank of the methods over metrics and seeds, and how far the ranks range.

Legend of shape suffixes: M methods, C metrics, S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_bench.reporting.figures.context import CannotDrawError, Drawing, FigureContext, footer
from mtl_bench.reporting.figures.looks import FAINT, Look, row_looks
from mtl_bench.reporting.figures.panels import page
from mtl_bench.reporting.figures.series import Array
from mtl_bench.reporting.inference import column_ranks
from mtl_bench.reporting.notes import usual_seeds
from mtl_bench.reporting.statistics import MethodRow, counted_columns
from mtl_bench.reporting.verdicts import array_of, higher_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AT_THE_RIGHT: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"),
    "xytext": (4, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": 7.5,
}


@dataclass(frozen=True)
class Ranking:
    """Ranks of the methods that can be ranked together.

    Args:
        rows: the methods with the seeds that were ranked, the best mean rank first.
        ranks_MCS: their ranks within each of C metrics and S seeds.
        left_out: the other methods, with the reason.
    """

    rows: tuple[MethodRow, ...]
    ranks_MCS: Array
    left_out: tuple[str, ...]


def rank_rows(scene: FigureContext) -> Ranking:
    """Rank the multi-task methods over the seeds that most of them have, of two sets the larger.

    A rank among fewer methods would not be comparable, so a method without one of these seeds or
    without one of the metrics is left out. STL is no multi-task method and isn't ranked; nor are
    ablations, of which there may be any number.
    """
    rows = [row for row in scene.rows if row.label != "stl" and not row.is_ablation]
    seeds = usual_seeds(rows)
    columns = counted_columns(scene.comparison.columns, scene.comparison.score)
    ranked, values = [], []
    left_out = [f"{row.name} (an ablation)" for row in scene.rows if row.is_ablation]
    for row in rows:
        runs = {run.record.seed: run for run in scene.runs[row.name]}
        lacking = ", ".join(str(seed) for seed in seeds if seed not in runs)
        if lacking:
            left_out.append(f"{row.name} (no seed {lacking})")
            continue
        values_CS = array_of([runs[seed] for seed in seeds], columns).T
        if not np.isfinite(values_CS).all():
            left_out.append(f"{row.name} (a metric has no value)")
        else:
            ranked.append(replace(row, seeds=seeds))
            values.append(values_CS)
    if not ranked:
        return Ranking((), np.zeros((0, len(columns), len(seeds))), tuple(left_out))
    signs_C1 = np.where(higher_of(columns), -1.0, 1.0)[:, None]
    ranks_MCS = column_ranks(signs_C1 * np.stack(values))
    order = np.argsort(ranks_MCS.mean(axis=(1, 2)), kind="stable")
    return Ranking(tuple(ranked[i] for i in order), ranks_MCS[order], tuple(left_out))


def draw(scene: FigureContext) -> Drawing:
    """Return one line per method with its mean rank and two ranges; no test is made.

    Raises:
        CannotDrawError: fewer than two methods can be ranked.
    """
    ranking = rank_rows(scene)
    count = len(ranking.rows)
    if count < 2:
        left = f" (left out: {', '.join(ranking.left_out)})" if ranking.left_out else ""
        raise CannotDrawError(
            f"ranks need two methods besides STL, here is {count}{left}"
            + scene.command_of("ls", "mgda", "taskforce")
        )
    seeds = ranking.ranks_MCS.shape[2]
    left_out = f"Not ranked: {', '.join(ranking.left_out)}." if ranking.left_out else ""
    ranges = "Whiskers: lowest and highest rank in a single metric" + (
        " and seed; bars: lowest and highest mean rank of a seed." if seeds > 1 else "."
    )
    figure, body = page(
        5.6,
        0.23 * count + 1.15,
        f"Mean rank over {ranking.ranks_MCS.shape[1]} metrics: {scene.subject}",
        footer(
            scene,
            ranking.rows,
            "Ranks within each metric and seed (the tables rank the means over seeds).",
            ranges,
            "No significance test. Equal values share the mean of their ranks; STL is not ranked.",
            left_out,
        ),
    )
    panel = body.subplots()
    looks = row_looks(scene.comparison.rows)
    for y, (row, ranks_CS) in enumerate(zip(ranking.rows, ranking.ranks_MCS, strict=True)):
        _draw_method(panel, y, ranks_CS, looks[row.name])
    panel.set_yticks(range(count), [row.name for row in ranking.rows])
    panel.set_ylim(count - 0.5, -0.5)
    panel.set_xlim(0.7, count + 0.3)
    panel.set_xticks(range(1, count + 1))
    panel.set_xlabel("rank among the methods, 1 is best ↓")
    panel.grid(axis="x", color=FAINT, linewidth=0.5)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)
    above = AT_THE_RIGHT | {"xytext": (4, 2), "va": "bottom"}
    panel.annotate("mean", (1.0, -0.5), annotation_clip=False, **above)
    return Drawing(figure, (left_out,) if left_out else ())


def _draw_method(panel: Axes, y: int, ranks_CS: Array, look: Look) -> None:
    mean, seeds_S = float(ranks_CS.mean()), ranks_CS.mean(axis=0)
    panel.plot([ranks_CS.min(), ranks_CS.max()], [y, y], "|-", color=look.colour, lw=1.0, ms=5)
    panel.plot(
        [seeds_S.min(), seeds_S.max()],
        [y, y],
        lw=5,
        alpha=0.55,
        color=look.colour,
        solid_capstyle="butt",
    )
    panel.plot([mean], [y], marker=look.marker, color=look.colour, ms=6.5, mec="black", mew=0.6)
    panel.annotate(f"{mean:.2f}", (1.0, y), annotation_clip=False, **AT_THE_RIGHT)
