"""Records as pandas data frames."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_bench.errors import MissingExtraError
from mtl_bench.records.epochs import complete_lines, parse_epoch
from mtl_bench.records.reader import Record, find_records

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("profile", "dataset", "architecture", "method", "variant", "label", "seed", "hash"),
    *("protocol", "status", "error", "rule", "selected", "task", "metric", "value", "unit"),
    *("higher_is_better", "reference", "trained", "epochs", "steps", "parameters"),
    *("shared_parameters", "seconds", "seconds_per_epoch", "device", "data", "path"),
)


def load_results(
    results: str | PathLike[str] = "results",
    *,
    profile: str | None = None,
    dataset: str | None = None,
    method: str | None = None,
) -> pd.DataFrame:
    """Return the records below a folder, one row per run, selection rule, task and metric.

    A run that isn't finished, or whose record is damaged, is one row with its ``status`` (running,
    interrupted, failed or exploded), its ``error`` and the epochs that it has done, but no value.

    Args:
        results: folder of all profiles; one that doesn't exist holds no records.
        profile: only this profile.
        dataset: only this data set.
        method: only this method with all its variants, or only this label.

    Returns:
        The columns of ``COLUMNS``. ``value`` and ``reference`` (the published single-task value)
        are in ``unit``; ``selected`` marks the rule that the run reports; ``trained`` is False
        for a task that had no training label; ``seconds`` is the whole run's time and
        ``seconds_per_epoch`` the median time of training for an epoch; ``data`` is real,
        procedural or simulated.

    Raises:
        MissingExtraError: pandas is not installed.

    >>> results = load_results("no such folder")
    >>> len(results), list(results.columns[:3])
    (0, ['profile', 'dataset', 'architecture'])
    """
    pd = import_pandas()
    records = find_records(Path(results), profile=profile, dataset=dataset, method=method)
    rows = [row for record in records for row in _rows(record)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    run = {
        **{key: getattr(record, key) for key in ("profile", "dataset", "method", "variant")},
        **{key: getattr(record, key) for key in ("label", "seed", "hash", "error")},
        "status": record.state,
        "epochs": record.epochs_done,
        "path": str(record.path),
    }
    summary = record.summary
    if summary is None:
        yield run
        return
    seconds, parameters = summary["seconds"], summary.get("parameters", {})
    phases = [spent for name, spent in seconds.items() if not name.startswith("train_epoch")]
    run |= {
        **{key: summary[key] for key in ("architecture", "protocol", "epochs", "device")},
        "steps": summary.get("steps"),
        "parameters": parameters.get("total"),
        "shared_parameters": parameters.get("shared"),
        "seconds": sum(spent or 0.0 for spent in phases),
        "seconds_per_epoch": seconds.get("train_epoch"),
        "data": summary["data"].get("kind"),
    }
    for rule, tasks in summary["metrics"].items():
        for task, metrics in tasks.items():
            told = summary["tasks"].get(task, {}).get("metrics", {})
            for metric, value in metrics.items():
                fields = told.get(metric, {})
                yield run | {
                    "rule": rule,
                    "selected": rule == summary["selection"],
                    "task": task,
                    "metric": metric,
                    "value": value,
                    **{key: fields.get(key) for key in ("unit", "higher_is_better", "reference")},
                    "trained": task not in summary.get("untrained", []),
                }


def load_history(record: Path) -> pd.DataFrame:
    """Return metrics.jsonl, one row per epoch, with columns such as ``test/mu/mae``.

    Args:
        record: folder of the run, which may be in training.

    Raises:
        ValueError: a line can't be read.
        MissingExtraError: pandas is not installed.
    """
    lines = [parse_epoch(line) for line in complete_lines(record / "metrics.jsonl")]
    frame: pd.DataFrame = import_pandas().json_normalize(lines, sep="/")
    return frame


def import_pandas() -> Any:  # noqa: ANN401 - a module
    """Return pandas.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas is missing: pip install 'mtl_bench[report]'") from error
    return pd
