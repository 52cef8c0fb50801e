"""Tasks that classify samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional

from mtl_bench.metrics import ClassificationMetrics
from mtl_bench.tasks import Metric, Task

ACCURACY = Metric("accuracy", unit="%", higher_is_better=True)
ERROR = Metric("error", unit="%")


def squared_error(scores_BK: Tensor, classes_B: Tensor) -> Tensor:
    """Return the squared distance from the one-hot class, sum_k (s_k - [k = c])², the batch's mean.

    Args:
        scores_BK: one score per class, as they leave the network.
        classes_B: int64.

    Example:
        >>> import torch
        >>> squared_error(torch.tensor([[1.0, 2.0]]), torch.tensor([1])).item()
        2.0
    """
    wanted_BK = functional.one_hot(classes_B, scores_BK.shape[1]).to(scores_BK.dtype)
    return (scores_BK - wanted_BK).square().sum(dim=1).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": functional.cross_entropy,
    "squared_error": squared_error,
}
"""Losses by the name that configurations give them."""


def classify(name: str, label: str, metric: Metric = ACCURACY, loss: str = "cross_entropy") -> Task:
    """Return a task whose predictions are scores (B, K) and whose targets are classes (B,).

    Args:
        name: of the task.
        label: what tables call it.
        metric: ``ACCURACY`` or ``ERROR``.
        loss: one of `LOSSES`.
    """
    return Task(
        name=name,
        label=label,
        loss=LOSSES[loss],
        metrics=(metric,),
        accumulator=partial(ClassificationMetrics, (metric.name,)),
        readable=predicted_class,
    )


def predicted_class(classes: Tensor) -> Tensor:
    """Return the classes of the largest scores, (B,), or the classes themselves."""
    return classes.argmax(dim=1) if classes.is_floating_point() else classes
