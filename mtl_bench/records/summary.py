"""The shape of ``summary.json``, checked before anything is computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl_bench.errors import RecordError
from mtl_bench.records.writer import FORMAT
from mtl_bench.scores import score_of

TYPES: dict[str, type | tuple[type, ...]] = {
    "dataset": str,
    "architecture": str,
    "method": str,
    "protocol": str,
    "profile": str,
    "seed": int,
    "hash": str,
    "selection": str,
    "metrics": dict,
    "tasks": dict,
    "seconds": dict,
    "epochs": int,
    "data": dict,
    "device": str,
}

COUNTED = (
    *("parameters", "seconds", "peak_memory_bytes", "epochs", "steps"),
    *("training_auc", "steps_to_0.8"),
)
"""Keys whose values are numbers or mappings to numbers, where they are there at all."""

LARGEST = 1e100
"""Beyond any honest metric or count; means and squares of such numbers are still floats."""

DECIMALS = range(16)


def check_summary(value: Any, identity: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Return ``value`` if it is a summary of the run that ``identity`` names.

    Args:
        value: what the file holds.
        identity: profile, dataset, method, variant, seed and hash as the folder's name tells them.

    Raises:
        RecordError: a key is missing or of another type, a number isn't finite, or the folder was
            renamed, so that the numbers would appear under a wrong name.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise RecordError(f"summary.json isn't of format {FORMAT}; run the train command again")
    for key, kind in TYPES.items():
        if not isinstance(value.get(key), kind):
            raise RecordError(f"summary.json has no usable {key}; run the train command again")
    check_identity("summary.json", value, identity)
    if value["selection"] not in value["metrics"]:
        raise RecordError(f"summary.json has no metrics for its selection {value['selection']}")
    for key in COUNTED:
        leaves = value.get(key)
        for leaf in leaves.values() if isinstance(leaves, dict) else (leaves,):
            if leaf is not None and not is_usable(leaf):
                raise RecordError(f"summary.json has no usable {key}; run the train command again")
    if not isinstance(value.get("parameters", {}), dict):
        raise RecordError("summary.json has no usable parameters; run the train command again")
    for task, description in value["tasks"].items():
        if not _describes_task(description):
            raise RecordError(f"summary.json doesn't describe the metrics of task {task}")
    try:
        score_of(value.get("score"))
    except (TypeError, ValueError) as error:
        raise RecordError(f"summary.json: {error}; run the train command again") from error
    untrained, names = value.get("untrained", []), list(value["tasks"])
    if not isinstance(untrained, list) or not all(task in names for task in untrained):
        raise RecordError("summary.json names untrained tasks that it does not describe")
    for rule, metrics in value["metrics"].items():
        if not _are_metrics(metrics):
            raise RecordError(f"summary.json holds metrics of {rule} that aren't finite numbers")
    return value


def check_identity(name: str, value: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Check that a file of a record is of the run that the folder's name stands for.

    Args:
        name: of the file.
        value: what it says of the run.
        identity: what the folder's name says.

    Raises:
        RecordError: they differ.
    """
    for key, expected in identity.items():
        said = value.get(key)
        if key == "variant":  # the folder's name knows text alone, and none for what is empty
            said = str(said) if said else None
        if said != expected:
            raise RecordError(
                f"{name} says {key} {said}, the folder's name says {expected}; move the folder back"
            )


def _describes_task(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    try:
        metrics = value["metrics"].values()
        return isinstance(value["label"], str) and bool(metrics) and all(map(_fits, metrics))
    except (TypeError, KeyError, AttributeError):
        return False


def _fits(metric: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(metric["unit"], str)
        and isinstance(metric["higher_is_better"], bool)
        and type(metric["decimals"]) is int
        and metric["decimals"] in DECIMALS
        and (metric.get("reference") is None or is_usable(metric["reference"]))
    )


def _are_metrics(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    try:
        numbers = [x for task in value.values() for x in task.values()]
    except AttributeError:
        return False
    return all(number is None or is_usable(number) for number in numbers)


def is_usable(number: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether a value is a number that can be computed with."""
    return isinstance(number, int | float) and -LARGEST < number < LARGEST
