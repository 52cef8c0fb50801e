"""Make the project's dashboard in W&B, or print it with --json, which needs no network and no key.

python scripts/wandb_dashboard.py dataset=qm9 entity=ME [project=mtl_bench] [--json]

It is a workspace of W&B for the runs of one data set. Workspaces are an interface of the package
wandb-workspaces. Panels of single tasks need the names of the tasks, which finished records tell.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from mtl_bench.errors import ConfigError, MtlBenchError
from mtl_bench.records.epochs import components_of, read_epochs
from mtl_bench.records.reader import Record, find_records
from mtl_bench.reporting.statistics import Column, columns_of
from mtl_bench.reporting.tables import metric_header
from mtl_bench.scores import Score, score_of
from mtl_bench.words import parse_settings

try:
    import wandb_workspaces.reports.v2 as reports
    import wandb_workspaces.workspaces as workspaces
except ImportError as error:
    sys.exit(f"wandb_dashboard: {error}: pip install 'mtl_bench[wandb]'")

RULES = ("last", "last_k_mean", "best_val")
SIGNALS = {
    "reward": "reward",
    "reward_loss": "reward of the losses",
    "reward_gradient": "reward of the gradients",
    "td_error": "TD error",
    "critic_loss": "critic loss",
    "actor_loss": "actor loss",
    "noise_scale": "scale of the exploration noise",
    "weight_entropy": "entropy of the weights",
}
"""Diagnostics of TaskForce that have a panel."""

AGAINST = " against the published STL"
PHASES = ("data", "forward", "method", "optimizer", "validation", "test", "checkpoint")
MAX_PAIRS = 10
"""With more pairs of tasks than that, all cosines share one panel."""


def build_workspace(
    entity: str,
    project: str,
    dataset: str,
    columns: Sequence[Column],
    score: Score,
    components: Sequence[str],
) -> workspaces.Workspace:
    """Return the workspace, not saved; runs are grouped by method (and variant).

    Args:
        entity: account or team.
        project: project of W&B.
        dataset: only its runs are shown.
        columns: its metrics; without them panels go by patterns instead of tasks.
        score: of its runs.
        components: of its runs, each with losses and weights of its own; "" for the only one.
    """
    tasks = list(dict.fromkeys(column.task for column in columns))

    def task_panels(section: str, what: str, x: str = "Step") -> list[Any]:
        if not tasks:
            return [_pattern(what, f"^{section}/", x)]
        return [_curves(f"{what}, {task}", section, task, components, x) for task in tasks]

    contents = {
        f"{score.label}{AGAINST * score.is_relative}": _score_panels(score),
        "Metrics": _metric_panels(columns),
        "Training losses": task_panels("train_loss", "training loss", "epoch"),
        "Weights": task_panels("weight", "weight"),
        "Cosines of task gradients": _cosine_panels(tasks, components),
        "Squared norms of task gradients": task_panels("gram", "squared gradient norm"),
        "TaskForce: rewards and agents": [
            _curves(title, "method", name, components) for name, title in SIGNALS.items()
        ],
        "Cost": _cost_panels(),
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=f"mtl_bench {dataset}",
        sections=[
            workspaces.Section(name=name, panels=panels, is_open=number < 2)
            for number, (name, panels) in enumerate(contents.items())
        ],
        runset_settings=workspaces.RunsetSettings(
            filters=[workspaces.Tags().isin([dataset])],
            groupby=[workspaces.Config("label")],
        ),
    )


def workspace_json(workspace: workspaces.Workspace) -> str:
    """Return what saving the workspace would send; this asks no server."""
    return json.dumps(json.loads(workspace._to_model().model_dump_json(by_alias=True)), indent=2)


def find_columns(records: Iterable[Record]) -> list[Column]:
    """Return every metric of the finished records once."""
    columns: dict[tuple[str, str], Column] = {}
    for record in records:
        for column in columns_of(record.summary["tasks"]) if record.summary else ():
            columns.setdefault((column.task, column.metric), column)
    return list(columns.values())


def find_score(records: Iterable[Record]) -> Score:
    """Return the score of the first finished record, Δm where there is none."""
    summaries = (record.summary for record in records if record.summary)
    return score_of(next(summaries, {}).get("score"))


def find_components(records: Iterable[Record]) -> list[str]:
    """Return the components of the finished records, "" where there is but one."""
    logs = (record.path / "metrics.jsonl" for record in records if record.summary)
    epochs = [read_epochs(log, skip_damaged=True) for log in logs]
    found = set[str]().union(*(components_of(lines[-1:], "weights") for lines in epochs))
    return sorted(found) or [""]


def main(words: Sequence[str]) -> int:
    """Build the dashboard from KEY=VALUE words and save it, or print it with ``--json``.

    Raises:
        ConfigError: a bad word, or no data set or entity.
    """
    settings = parse_settings(
        [word for word in words if word != "--json"],
        dataset=None,
        entity=None,
        project="mtl_bench",
        paths__results="results",
    )
    if not settings["dataset"] or not settings["entity"]:
        raise ConfigError("give dataset=NAME and entity=ACCOUNT_OR_TEAM")
    records = find_records(Path(str(settings["paths.results"])), dataset=settings["dataset"])
    workspace = build_workspace(
        *(settings["entity"], str(settings["project"]), settings["dataset"]),
        *(find_columns(records), find_score(records), find_components(records)),
    )
    if "--json" in words:
        print(workspace_json(workspace))
    else:
        print(workspace.save().url)
    return 0


def _score_panels(score: Score) -> list[Any]:
    finals: list[Any] = [f"final/{rule}/{score.panel}" for rule in RULES]
    title = f"final test {score.heading} under each selection rule"
    return [
        _curve(f"validation {score.heading}", f"{score.panel}/validation", "epoch"),
        _curve(f"test {score.heading}, without validation data", f"{score.panel}/test", "epoch"),
        reports.BarPlot(title=title, metrics=finals),
    ]


def _metric_panels(columns: Sequence[Column]) -> list[Any]:
    if not columns:
        return [_pattern(split, f"^{split}/", "epoch") for split in ("validation", "test")]
    with_metric = len({column.metric for column in columns}) > 1
    return [
        _curve(
            f"{split} {metric_header(column, with_metric=with_metric)}",
            f"{split}/{column.task}/{column.metric}",
            "epoch",
        )
        for split in ("validation", "test")
        for column in columns
    ]


def _cosine_panels(tasks: Sequence[str], components: Sequence[str]) -> list[Any]:
    pairs = list(combinations(tasks, 2))
    if not 0 < len(pairs) <= MAX_PAIRS:
        return [_pattern("cosines", "^cosine/")]
    return [_curves(f"{a}, {b}", "cosine", f"{a}/{b}", components) for a, b in pairs]


def _cost_panels() -> list[Any]:
    return [
        *(_curve(f"seconds of an epoch: {phase}", f"seconds/{phase}", "epoch") for phase in PHASES),
        reports.BarPlot(
            title="median seconds of training an epoch", metrics=["final/seconds/train_epoch"]
        ),
        reports.BarPlot(title="peak memory [bytes]", metrics=["final/peak_memory_bytes"]),
        reports.BarPlot(title="parameters", metrics=["final/parameters/total"]),
    ]


def _curve(title: str, key: str, x: str = "Step") -> Any:  # noqa: ANN401 - untyped package
    return reports.LinePlot(title=title, x=x, y=[key])


def _curves(title: str, section: str, name: str, components: Sequence[str], x: str = "Step") -> Any:  # noqa: ANN401
    keys = ["/".join(filter(None, [section, component, name])) for component in components]
    return reports.LinePlot(title=title, x=x, y=keys)


def _pattern(title: str, pattern: str, x: str = "Step") -> Any:  # noqa: ANN401
    return reports.LinePlot(title=title, x=x, metric_regex=pattern)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MtlBenchError as error:
        print(f"wandb_dashboard: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
