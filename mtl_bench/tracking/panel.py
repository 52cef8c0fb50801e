"""What the terminal shows while a training runs: two bars, the tasks, the validation score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mtl_bench.tracking.status_line import ProgressDisplay, number_text, score_text, speed_parts

EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR_CELLS = 4
GAP = "   "


def panel(
    progress: ProgressDisplay,
    losses: Mapping[str, float] | None,
    weights: Mapping[str, float] | None,
    width: int,
) -> Group:
    """Return the display of one moment.

    Args:
        progress: where the training is.
        losses: task -> training loss of the latest step, if known.
        weights: task -> weight that the method chose in the latest step, if known.
        width: terminal cells.
    """
    steps = progress.steps_per_epoch
    ended = progress.epoch > progress.epochs
    step = steps if ended else progress.step
    size = min(40, width // 3)
    bars = Table.grid(padding=(0, 1))
    bars.add_row(
        "epoch",
        ProgressBar(progress.epochs, progress.epoch - 1 + progress.step / steps, width=size),
        f"{min(progress.epoch, progress.epochs)}/{progress.epochs}",
        "  ".join(speed_parts(progress)),
    )
    bars.add_row(
        "step",
        ProgressBar(steps, step, width=size),
        f"{step}/{steps}",
        "evaluating" if progress.step == steps else "",
    )
    lines: list[RenderableType] = [
        Text(progress.title, style="bold", overflow="ellipsis", no_wrap=True),
        bars,
    ]
    if score := score_text(progress):
        lines.append(Text(score, style="cyan"))
    if losses or weights:
        lines.extend(task_lines(progress.tasks, losses or {}, weights or {}, width))
    return Group(*lines)


def task_lines(
    tasks: Sequence[str], losses: Mapping[str, float], weights: Mapping[str, float], width: int
) -> list[Text]:
    """Return each task's name, loss, and weight with a bar, as many to a line as fit.

    The bars are relative to the largest weight of the step; a negative weight has none.
    """
    name_width = max(len("task"), *(len(task) for task in tasks))
    top = max(weights.values(), default=0.0)
    cells = []
    for task in tasks:
        loss = number_text(losses[task]) if task in losses else "–"
        cell = Text.assemble((f"{task:<{name_width}} ", "bold"), f"{loss:>8} ")
        if weights:
            weight = weights.get(task, 0.0)
            cell.append(bar(weight / top if top > 0 else 0.0), "magenta")
            cell.append(f" {number_text(weight):<7}")
        cells.append(cell)
    head = f"{'task':<{name_width}} {'loss':>8} " + (
        f"{'weight':<{BAR_CELLS + 8}}" if weights else ""
    )
    per_line = min(len(cells), max(1, (width + len(GAP)) // (len(head) + len(GAP))))
    rows = [cells[start : start + per_line] for start in range(0, len(cells), per_line)]
    return [Text(GAP.join([head] * per_line), "dim"), *(Text(GAP).join(row) for row in rows)]


def bar(share: float) -> str:
    """Return a bar of four cells, filled to ``share`` (cut to 0..1) in eighths of a cell."""
    eighths = round(min(1.0, max(0.0, share)) * BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(BAR_CELLS)
