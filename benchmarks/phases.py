"""What the products of a QM9 step cost and reach, phase by phase.

Legend of shape suffixes: see ``mtl_bench.architectures.edge_messages``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import qm9
from benchmarks.steps import Problem
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.architectures.products import library_for
from mtl_bench.runtime.memory import reuse_freed_memory
from mtl_bench.runtime.processor import processor_name

SQUARE = 2048
"""Rows and columns of the product whose rate is the machine's."""

PHASES = (
    "outer sums, r' h",
    "messages, sums W",
    "weight gradients, dm' sums",
    "gradients of the sums, dm W' (and h W)",
    "gradients of h, r dsums",
    "gradients of r, h dsums' or (h W) dm'",
    "other products",
)


@dataclass
class ProductCost:
    """What the products of a phase took.

    Args:
        calls: of the library.
        operations: floating-point operations.
        bytes: of factors and products, as if no cache kept them.
        seconds: CPU time.
    """

    calls: float = 0
    operations: float = 0
    bytes: float = 0
    seconds: float = 0


class Products(TorchDispatchMode):
    """Time every matrix product of torch or oneDNN and sort it by its shape.

    Args:
        features: F, which must equal O.
        width: K.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.features, self.width = features, width
        self.costs: dict[str, ProductCost] = defaultdict(ProductCost)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Call the operation; note what it cost if it is a product."""
        begin = time.process_time()
        result = func(*args, **(kwargs or {}))
        seconds = time.process_time() - begin
        if factors := find_factors(func.overloadpacket, args):
            left, right = factors
            rows, inner, columns = left.shape[-2], left.shape[-1], right.shape[-1]
            batch = left.shape[0] if left.ndim == 3 else 1
            cost = self.costs[self.phase(rows, inner, columns)]
            cost.calls += 1
            cost.operations += 2 * batch * rows * inner * columns
            floats = rows * inner + inner * columns + rows * columns
            cost.bytes += left.element_size() * batch * floats
            cost.seconds += seconds
        return result

    def phase(self, rows: int, inner: int, columns: int) -> str:
        """Return the phase of a product of (rows, inner) by (inner, columns)."""
        sums = self.width * self.features
        if inner == sums:
            return PHASES[1]
        if columns == sums:
            return PHASES[3] if inner == self.features else PHASES[2]
        if columns == self.features and rows % self.width == 0:
            return PHASES[0]
        if columns == self.features and inner % self.width == 0:
            return PHASES[4]
        if inner == self.features and columns % self.width == 0:
            return PHASES[5]
        return PHASES[6]


def find_factors(operation: Any, args: Sequence[Any]) -> tuple[Tensor, Tensor] | None:  # noqa: ANN401
    """Return the factors of a product, None for another operation."""
    aten = torch.ops.aten
    if operation in (aten.mm, aten.bmm):
        return args[0], args[1]
    if operation in (aten.addmm, aten.addmm_, aten.baddbmm, aten.baddbmm_):
        return args[1], args[2]
    if str(operation) == "mkldnn._linear_pointwise":
        return args[0], args[1].mT
    return None


def square_rate(multiply: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Return the operations a second of a large square product."""
    x, y = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE)
    multiply(x, y)
    seconds = []
    for _ in range(7):
        begin = time.process_time()
        multiply(x, y)
        seconds.append(time.process_time() - begin)
    return 2 * SQUARE**3 / median(seconds)


def measure(data: Path, rounds: int, threads: int, only: Sequence[str]) -> dict[str, Any]:
    """Count and time the products of whole steps on QM9 at the paper's size.

    Args:
        data: folder of prepared data.
        rounds: see ``count``.
        threads: CPU threads.
        only: contestants of ``python -m benchmarks qm9``, by default LS and TaskForce.
    """
    torch.set_num_threads(threads)
    reuse_freed_memory()
    return count(qm9.problem(data), rounds, only or ["ls", "taskforce"])


def count(problem: Problem, rounds: int, only: Sequence[str]) -> dict[str, Any]:
    """Count and time the products of whole training steps.

    Args:
        problem: with the network ``MPNN``.
        rounds: steps that are counted, after one that is not; each is made twice, since noting
            the products takes time of its own.
        only: contestants.
    """
    network = problem.network
    assert isinstance(network, MPNN)
    contestants, _ = problem.contestants(only)
    result: dict[str, Any] = {
        "processor": processor_name(),
        "torch": torch.__version__,
        "rounds": rounds,
        "square_blas": square_rate(torch.mm),
        "square_ours": square_rate(library_for(network.convolution.matrix()).mm),
        "steps": {},
    }
    convolution = network.convolution
    for name, contestant in contestants.items():
        contestant.run(contestant.convert(next(problem.batches)))
        mode = Products(convolution.dim, convolution.hidden.out_features + 1)
        seconds = 0.0
        for _ in range(rounds):
            batch = contestant.convert(next(problem.batches))
            begin = time.process_time()
            contestant.run(batch)
            seconds += time.process_time() - begin
            with mode:
                contestant.run(batch)
        phases = {
            phase: ProductCost(*(total / rounds for total in astuple(mode.costs[phase])))
            for phase in PHASES
            if phase in mode.costs
        }
        result["steps"][name] = {
            "seconds": seconds / rounds,
            "phases": {phase: vars(cost) for phase, cost in phases.items()},
        }
    return result


def render(result: dict[str, Any]) -> str:
    """Return a Markdown table for each step."""
    rate = result["square_ours"]
    lines = [
        f"{result['processor']}, torch {result['torch']}; a product "
        f"of {SQUARE} x {SQUARE}: {rate / 1e9:.0f} GFLOP/s, by torch's BLAS "
        f"{result['square_blas'] / 1e9:.0f}",
    ]
    for name, step in result["steps"].items():
        lines += [
            "",
            f"| {name}, a step | calls | GFLOP | GB | CPU ms | GFLOP/s | of the rate |",
            "|---" * 7 + "|",
        ]
        costs = {phase: ProductCost(**values) for phase, values in step["phases"].items()}
        summed = ProductCost(
            *(sum(column) for column in zip(*map(astuple, costs.values()), strict=True))
        )
        for phase, cost in [*costs.items(), ("all products", summed)]:
            reached = cost.operations / cost.seconds
            lines.append(
                f"| {phase} | {cost.calls:.0f} | {cost.operations / 1e9:.1f} "
                f"| {cost.bytes / 1e9:.1f} | {cost.seconds * 1e3:.0f} "
                f"| {reached / 1e9:.0f} | {reached / rate:.0%} |"
            )
        reached = summed.operations / step["seconds"]
        lines.append(
            f"| whole step | | {summed.operations / 1e9:.1f} | | {step['seconds'] * 1e3:.0f} "
            f"| {reached / 1e9:.0f} | {reached / rate:.0%} |"
        )
    return "\n".join(lines)
