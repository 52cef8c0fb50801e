"""What stands below a table: its conditions, and what keeps its rows from being compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mtl_bench.records.reader import Record
from mtl_bench.reporting.advice import status_command
from mtl_bench.reporting.comparison import Baseline, Comparison, MethodRow, RelativeCost, Setting
from mtl_bench.reporting.experiments import published_delta
from mtl_bench.reporting.inference import ENOUGH, rank_correlation
from mtl_bench.reporting.statistics import runs_under
from mtl_bench.reporting.table import wrap
from mtl_bench.scores import Score

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

MARKS = (
    "Bold: the best multi-task method, where 95 % bootstrap intervals over three or more seeds do "
    "not overlap; italic: likewise the second."
)

VERDICTS = {
    "MR ↓": "MR: mean over metrics of the rank of the means over seeds, among the methods of this "
    "table.",
    "P(> LS) ↑": "P(> LS): probability that a run beats one of LS, averaged over metrics.",
    "AUC ↑": "AUC: area under the curve of the training episodes' success, 1 for success from the "
    "first episode on. Steps to 0.8: steps of each task until 0.8 of an epoch's episodes "
    "succeeded, median over seeds; – (1 of 3): too few seeds got there for a median.",
    "exploded": "Exploded: further runs that a loss above its bound has ended.",
    "epoch cost": "Epoch cost: training time of an epoch relative to LS with the same seed on the "
    "same device under the same load; CPU: likewise of the process's CPU time; medians over the "
    "number of seeds behind them.",
}
"""Column of a verdict -> what it means."""

KINDS = {"real": "real data", "simulated": "simulated environments"}
"""Kinds of data that stand for nothing else."""

COMPARABLE = 5
"""Methods from which on a rank correlation is told."""


def conditions(found: Comparison) -> str:
    """Return what the numbers of a comparison mean, without those of cost."""
    seeds = sorted({seed for row in found.rows for seed in row.seeds})
    metric_names = {column.metric for column in found.columns}
    metric = f"metric {metric_names.pop()}, " if len(metric_names) == 1 else ""
    return (
        f"Profile {profile_text(found)}, {setting_text(found.setting)}, {metric}"
        f"selection {found.setting.selection}, {seeds_text(seeds)}; mean ± sample "
        f"standard deviation over n seeds. {score_text(found.score, found.baseline)}"
    )


def score_text(score: Score, baseline: Baseline) -> str:
    """Return what the columns of a score mean."""
    if not score.is_relative:
        return (
            f"{score.label}: mean over the tasks. IQM: interquartile mean over tasks and seeds. "
            "95 %: stratified bootstrap interval of the IQM."
        )
    against = {
        "own": "our own STL runs above, of the same seeds",
        "published": "the PUBLISHED single-task values, of other data sizes and networks",
    }[baseline]
    return f"Δm and Δt are against {against}."


def place_text(found: Comparison) -> str:
    """Return profile and data set, with what is in place of the profile's settings."""
    part = ": ablations" if found.part == "ablations" else ""
    return f"{found.setting.profile} / {found.setting.dataset}{with_text(found.overrides)}{part}"


def profile_text(found: Comparison) -> str:
    """Return the profile's name, with what is in place of its settings."""
    return f"{found.setting.profile}{with_text(found.overrides)}"


def with_text(overrides: Sequence[str]) -> str:
    """Return for instance `` with optimizer.lr=0.5``, nothing without overrides."""
    return f" with {', '.join(overrides)}" if overrides else ""


def setting_text(setting: Setting) -> str:
    """Return the data, protocol, architecture and length of runs."""
    return (
        f"{kind_text(setting.data_kind)} ({setting.data_source}), protocol "
        f"{setting.protocol}, architecture {setting.architecture}, {setting.epochs} epochs"
    )


def kind_text(kind: str) -> str:
    """Return what data of a kind are called; what stands for something real stands out."""
    return KINDS.get(kind, f"{kind.upper()} data")


def seeds_text(seeds: Sequence[int]) -> str:
    """Return ``seed 0`` or ``seeds 0, 1``."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def agreement(found: Comparison) -> list[str]:
    """Return a line on how far our order of the methods is the published one, where that exists."""
    pairs = [
        (row.score.mean, float(printed))
        for row in found.rows
        if row.score
        and row.label != "stl"
        and (printed := published_delta(found.setting, row.label))
    ]
    if len(pairs) < COMPARABLE:
        return []
    correlation = rank_correlation(*zip(*pairs, strict=True))
    if correlation is None:
        return []
    return [
        f"Spearman's rank correlation of Δm with the paper's, {len(pairs)} methods without STL: "
        f"{correlation:+.2f}."
    ]


def few_seeds(rows: Sequence[MethodRow | None]) -> list[str]:
    """Return what to know of the intervals where they come from few seeds."""
    counts = [len(row.scored) for row in rows if row and row.score_interval]
    if not counts or min(counts) >= ENOUGH:
        return []
    return [
        f"An interval of fewer than {ENOUGH} seeds is too narrow: bootstrap intervals of 2, 3 and "
        "5 seeds hold the true mean in about 50, 75 and 84 % of cases instead of 95 %."
    ]


def cautions(found: Comparison) -> Iterator[str]:
    """Yield what keeps the rows of a comparison from being compared."""
    if len(found.manifests) > 1:
        yield f"- The runs read different data files: {', '.join(found.manifests)}."
    for difference in found.differences:
        yield f"- The rows differ in more than the method. {difference}."


def costless(costs: Mapping[str, RelativeCost]) -> list[str]:
    """Return why rows have no cost, a line per reason.

    Args:
        costs: by the names of the rows.
    """
    names: dict[str, list[str]] = {}
    for name, found in costs.items():
        if found.reason:
            names.setdefault(found.reason, []).append(name)
    lines = []
    for reason, rows in names.items():
        of = "" if len(rows) == len(costs) else f" of {', '.join(rows)}"
        lines.append(f"- No cost{of}: {reason}.")
    return lines


def numbered_notes(found: Comparison) -> tuple[list[str], list[str]]:
    """Return the marks of the notes on each row, between commas, and the notes."""
    usual = usual_seeds(found.rows)
    numbers: dict[str, str] = {}
    marks = []
    for row in found.rows:
        own = [*row.notes, *remarks(row, usual)]
        for note in own:
            numbers.setdefault(note, str(len(numbers) + 1).translate(SUPERSCRIPTS))
        marks.append(",".join(numbers[note] for note in own))
    return marks, [f"- {mark} {note}." for note, mark in numbers.items()]


def usual_seeds(rows: Sequence[MethodRow]) -> tuple[int, ...]:
    """Return the seeds that most rows have; of several such sets the largest."""
    counts = Counter(row.seeds for row in rows)
    return max(counts, key=lambda seeds: (counts[seeds], len(seeds)), default=())


def remarks(row: MethodRow, usual: tuple[int, ...]) -> Iterator[str]:
    """Yield a note on a row that has other seeds than most, and one on records without hashes."""
    if row.seeds != usual:
        yield f"{'only ' if set(row.seeds) < set(usual) else ''}{seeds_text(row.seeds)}"
    yield from unsealed_note(row.unsealed)


def unsealed_note(seeds: Sequence[int]) -> list[str]:
    """Return a note on seeds whose records have no hashes to be checked against, if there are."""
    if not seeds:
        return []
    return [f"{seeds_text(seeds)} unsealed: a change of the record would go unnoticed"]


def left_out(records: Sequence[Record], selection: str | None, width: int) -> list[str]:
    """Return what to say about records that no table shows."""
    finished = [record for record in records if record.summary is not None]
    lines = []
    if len(finished) < len(records):
        states = Counter(record.state for record in records if record.summary is None)
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        lines.append(f"Not shown: {counts} (see `{status_command(records)}`).")
    without = len(finished) - len(runs_under(finished, selection))
    if without:
        rules = sorted({rule for r in finished if r.summary for rule in r.summary["metrics"]})
        lines.append(
            f"Not shown: {without} without metrics under the selection {selection}; "
            f"there are: {', '.join(rules)}."
        )
    return [wrap(line, width) for line in lines]
