"""The metrics of a finished run, computed again from its networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mtl_bench.errors import RecordError
from mtl_bench.inspect.recorded_run import RecordedRun
from mtl_bench.records.environment import read_environment
from mtl_bench.reporting.layout import markdown_table
from mtl_bench.runtime.environment import prepare_process

RULES = ("best_val", "last")
"""Rules for the epoch that name a network; ``last_k_mean`` is a mean over several."""


class Recomputed(NamedTuple):
    """A number of summary.json, and the same computed again.

    Args:
        rule: selects the epoch.
        task: name of the task.
        metric: name of the metric.
        recorded: what the summary says.
        now: what its network gives now.
    """

    rule: str
    task: str
    metric: str
    recorded: float
    now: float

    @property
    def difference(self) -> float:
        """|now - recorded| / |recorded|.

        >>> Recomputed("last", "mu", "mae", recorded=2.0, now=2.5).difference
        0.25
        >>> Recomputed("last", "mu", "mae", recorded=0.0, now=0.0).difference
        0.0
        """
        if self.now == self.recorded:
            return 0.0
        return abs(self.now - self.recorded) / abs(self.recorded) if self.recorded else float("inf")


def recompute(
    record: Path, data: Path | None = None, device: str | None = None
) -> tuple[list[Recomputed], list[str]]:
    """Evaluate the networks of a finished run on the test split, as the training did.

    The process computes with as many threads as the run's last one.

    Args:
        record: the run's folder.
        data: folder of prepared data, by default the one that the run read.
        device: by default the run's.

    Returns:
        The test metrics of each rule that names a network, and a line for each network that the
        record lacks though another one is there.

    Raises:
        RecordError: the run isn't finished, or has no network.
        DataError: its data are missing.
    """
    run = RecordedRun(record, data=data, device=device)
    summary, settings = run.summary, run.config["trainer"]
    settings["threads"] = read_environment(record).get("threads")
    settings.setdefault("determinism", "off")  # the way before the key existed
    prepare_process(settings)
    found, missing = list[Recomputed](), list[str]()
    for rule in RULES:
        if rule not in summary["metrics"]:
            continue
        try:
            metrics = run.evaluate(rule=rule)
        except RecordError as error:
            if rule == RULES[-1]:
                raise
            missing.append(str(error))
            continue
        found += [
            Recomputed(rule, task, metric, recorded, metrics[task][metric])
            for task, values in summary["metrics"][rule].items()
            for metric, recorded in values.items()
        ]
    return found, missing


def render_recomputed(found: Sequence[Recomputed], tolerance: float) -> str:
    """Return a line per metric, and how many differ by more than the tolerance.

    Args:
        found: recorded and recomputed metrics.
        tolerance: largest relative difference that counts as none.
    """
    columns = [
        ("rule", [each.rule for each in found]),
        ("task", [each.task for each in found]),
        ("metric", [each.metric for each in found]),
        ("recorded", [f"{each.recorded:.8g}" for each in found]),
        ("now", [f"{each.now:.8g}" for each in found]),
        ("relative difference", [f"{each.difference:.1e}" for each in found]),
    ]
    same = sum(each.difference == 0 for each in found)
    off = sum(each.difference > tolerance for each in found)
    verdict = f"{same} of {len(found)} metrics are the same to the last bit"
    verdict += f", {off} differ by more than tolerance={tolerance:g}"
    return "\n".join([*markdown_table(columns), "", verdict])
