"""TorchJD's README example, by TorchJD and by us: same network, same losses, same updates."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import SGD

from benchmarks.steps import render_left_out
from mtl_bench import (
    IMTL,
    LS,
    MGDA,
    AlignedMTL,
    CAGrad,
    Method,
    NashMTL,
    PCGrad,
    TaskGradients,
    TorchJD,
)
from mtl_bench.errors import ConfigError, MissingExtraError

WARM_UP = 1
EPOCHS = 5
"""Epochs of eight batches that a contestant runs in one round."""

PLAIN: Any = {"head_weighting": "unweighted"}
"""TorchJD leaves the gradients of the heads as they are."""


@dataclass(frozen=True)
class Pair:
    """One method, by us and by TorchJD.

    Args:
        ours: builds our method.
        theirs: TorchJD's aggregator of the same updates, and its arguments.
        factor: our shared gradient is this many times TorchJD's.
    """

    ours: Callable[[], Method]
    theirs: tuple[str, dict[str, Any]]
    factor: float = 1.0


PAIRS = {
    "Sum": Pair(lambda: LS(2), ("Sum", {})),
    "UPGrad": Pair(lambda: TorchJD(2, aggregator="UPGrad", **PLAIN), ("UPGrad", {})),
    "MGDA": Pair(lambda: MGDA(2, scale="one", **PLAIN), ("MGDA", {"epsilon": 1e-7})),
    "PCGrad": Pair(lambda: PCGrad(2), ("PCGrad", {})),
    "IMTL-G": Pair(lambda: IMTL(2, **PLAIN), ("IMTLG", {})),
    "Aligned-MTL": Pair(lambda: AlignedMTL(2), ("AlignedMTL", {}), factor=2.0),
    "CAGrad": Pair(lambda: CAGrad(2, rescale=0, scale="one"), ("CAGrad", {"c": 0.4})),
    "Nash-MTL": Pair(
        lambda: NashMTL(2, solver="ccp", max_norm=None, **PLAIN),
        ("NashMTL", {"n_tasks": 2, "max_norm": 0.0}),
    ),
}
"""Methods that both have. TorchJD's Aligned-MTL weighs the mean of the losses, ours their sum."""


class Example(nn.Module):
    """The network of the README, its optimiser and its data."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.shared = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU())
        self.heads = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.4)
        inputs = torch.randn(8, 16, 10, generator=generator)
        first, second = (torch.randn(8, 16, 1, generator=generator) for _ in range(2))
        self.batches = list(zip(inputs, first, second, strict=True))

    def train_with(self, step: Callable[[Tensor, Sequence[Tensor]], None], epochs: int) -> None:
        """Train by the README's loop; ``step`` fills ``.grad`` from features and losses."""
        optimizer = SGD(self.parameters(), lr=0.1)
        for _ in range(epochs):
            for inputs, *targets in self.batches:
                features = self.shared(inputs)
                losses = [
                    mse_loss(head(features), target)
                    for head, target in zip(self.heads, targets, strict=True)
                ]
                step(features, losses)
                optimizer.step()
                optimizer.zero_grad()


def our_step(example: Example, pair: Pair) -> Callable[[Tensor, Sequence[Tensor]], None]:
    """Return our step, its shared gradient divided by the documented factor."""
    method = pair.ours()
    shared = list(example.shared.parameters())

    def step(features: Tensor, losses: Sequence[Tensor]) -> None:
        own = [head.parameters() for head in example.heads]
        method.step(TaskGradients(losses, shared, own))
        if pair.factor != 1:
            for parameter in shared:
                assert parameter.grad is not None
                parameter.grad /= pair.factor

    return step


def their_step(example: Example, pair: Pair) -> Callable[[Tensor, Sequence[Tensor]], None]:
    """Return TorchJD's step.

    Raises:
        MissingExtraError: TorchJD, or what the aggregator asks for, is not installed.
    """
    name, arguments = pair.theirs
    try:
        from torchjd import aggregation, autojac

        aggregator = getattr(aggregation, name)(**arguments)
    except ImportError as error:
        raise MissingExtraError(f"TorchJD's {name}: {error}") from error

    def step(features: Tensor, losses: Sequence[Tensor]) -> None:
        autojac.mtl_backward(list(losses), features=features)
        autojac.jac_to_grad(example.shared.parameters(), aggregator)

    return step


def measure(rounds: int, threads: int, only: Sequence[str]) -> dict[str, Any]:
    """Time both sides of every pair, interleaved in shuffled order, in CPU time.

    Args:
        rounds: timed rounds after one that is not.
        threads: CPU threads.
        only: methods of ``PAIRS``, by default all.

    Returns:
        Median microseconds of a step, method -> side -> value, and the median of the rounds' own
        ratios of ours to theirs.

    Raises:
        ConfigError: there is no such method.
    """
    for name in only:
        if name not in PAIRS:
            raise ConfigError(f"only={name}: no such method; there are {', '.join(PAIRS)}")
    torch.set_num_threads(threads)
    contestants, left_out = {}, {}
    for name in only or PAIRS:
        pair = PAIRS[name]
        examples = Example(), Example()
        try:
            contestants[name, "TorchJD"] = examples[1], their_step(examples[1], pair)
            contestants[name, "ours"] = examples[0], our_step(examples[0], pair)
        except MissingExtraError as error:
            contestants.pop((name, "TorchJD"), None)
            left_out[name] = str(error)
    begins = {key: deepcopy(example.state_dict()) for key, (example, _) in contestants.items()}
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in contestants}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cvxpy about the program of TorchJD's NashMTL
        for number in range(WARM_UP + rounds):
            keys = list(contestants)
            random.Random(number).shuffle(keys)
            for key in keys:
                example, step = contestants[key]
                example.load_state_dict(begins[key])
                begin = time.process_time()
                example.train_with(step, EPOCHS)
                if number >= WARM_UP:
                    steps = EPOCHS * len(example.batches)
                    seconds[key].append((time.process_time() - begin) / steps)
    names = [name for name in PAIRS if (name, "ours") in seconds]
    pairs = {name: (seconds[name, "ours"], seconds[name, "TorchJD"]) for name in names}
    return {
        "median_cpu_microseconds": {
            name: {"ours": 1e6 * median(ours), "TorchJD": 1e6 * median(theirs)}
            for name, (ours, theirs) in pairs.items()
        },
        "ratio": {
            name: median(a / b for a, b in zip(ours, theirs, strict=True))
            for name, (ours, theirs) in pairs.items()
        },
        "left_out": left_out,
        "rounds": rounds,
        "threads": threads,
    }


def render(result: dict[str, Any]) -> str:
    """Return the measurement as a Markdown table."""
    lines = ["| a step, median CPU µs | ours | TorchJD | ours / TorchJD |", "|---|---|---|---|"]
    for name, times in result["median_cpu_microseconds"].items():
        cells = f"{times['ours']:.0f} | {times['TorchJD']:.0f} | {result['ratio'][name]:.2f}"
        lines.append(f"| {name} | {cells} |")
    return "\n".join([*lines, *render_left_out(result["left_out"])])
