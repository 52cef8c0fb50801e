"""What a step of QM9 at the paper's size asks of a GPU, and the hours that follow from it.

Everything is counted while a CPU carries the step out; nothing of it is measured on a GPU. The CPU
takes the ways that a GPU would: all molecules of one size at once, by torch's own products, and
``gradients.backend`` as ``auto`` chooses it there. Only how long the method itself takes is
measured, since the CPU carries it out there, too.
"""

from __future__ import annotations

import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks import qm9
from benchmarks.steps import MethodVariant, Problem, build_component
from mtl_bench import build_dataset
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.architectures import edge_messages
from mtl_bench.architectures.products import Device
from mtl_bench.config.compose import compose_config
from mtl_bench.gradients import TaskGradients, choose_backend
from mtl_bench.launch.sweep import plan_sweep
from mtl_bench.methods.base import Method
from mtl_bench.training.update import Update

GPU = torch.device("cuda")

LAUNCH = 5e-6
"""Seconds that Python, torch and the driver need for an operation; kernels wait for it."""

BANDWIDTH = 3.35e12
"""Bytes a second of the memory of one H100 (SXM), by its data sheet."""

RATE = 67e12
"""Operations a second in float32 without tensor cores, by the same data sheet."""

PHASES = ("forward", "gradients", "method", "rest")
"""Losses; what the method asks of the gradients; its own work; optimiser and checks."""

EVALUATION = "evaluation"
SEEDS = 3

CHOICES = 20
"""Calls of a method whose time is taken."""

WITHOUT_KERNEL = {
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
    *("_unsafe_view", "unsafe_split", "unsafe_chunk", "lift_fresh", "promote_types"),
}
"""Operations that compute nothing, besides those that torch calls views."""

VARIANTS = {
    f"{method} batched": MethodVariant(method, {"backend": "batched"})
    for method in ("nashmtl", "taskforce")
}

PADDED = {
    "ls padded": MethodVariant("ls"),
    "nashmtl padded": MethodVariant("nashmtl"),
    "nashmtl padded batched": VARIANTS["nashmtl batched"],
}
"""On batches of ``dataset.padded=true``."""

GRADIENTS = tuple(
    name
    for name, member in vars(TaskGradients).items()
    if inspect.isfunction(member) and not name.startswith("_") and name != "lead"
)
"""What a method can ask of the gradients."""


@dataclass
class Cost:
    """What operations cost.

    Args:
        launches: operations that need a kernel; a few need two, and torch fuses others.
        bytes: of their inputs and outputs, each once.
        flops: of matrix products and convolutions.
        seconds: derived, the sum over operations of the longest of launch, memory and arithmetic.
    """

    launches: int = 0
    bytes: int = 0
    flops: int = 0
    seconds: float = 0

    def add(self, other: Cost) -> None:
        """Add another one."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def bound(self) -> float:
        """Seconds below which no order of these operations can be."""
        return max(self.launches * LAUNCH, self.bytes / BANDWIDTH, self.flops / RATE)


class Counter(TorchDispatchMode):
    """Counts the operations that torch carries out, by the phase of an update that asks for them.

    Example:
        >>> counter = Counter()
        >>> with counter, counter.within("forward"):
        ...     product = torch.ones(2, 3) @ torch.ones(3, 4).T.T
        >>> cost = counter.phases["forward"]
        >>> cost.launches, cost.bytes, cost.flops
        (3, 176, 48)
    """

    def __init__(self) -> None:
        super().__init__()
        self.phases: dict[str, Cost] = defaultdict(Cost)
        self._phase = "rest"

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's own types
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Carry out an operation and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not func.is_view and func.overloadpacket.__name__ not in WITHOUT_KERNEL:
            self.phases[self._phase].add(_cost_of(func, args, kwargs, out))
        return out

    @contextmanager
    def within(self, phase: str) -> Iterator[None]:
        """Count for a phase; what is within it and names another one counts for that."""
        outer, self._phase = self._phase, phase
        try:
            yield
        finally:
            self._phase = outer


def _cost_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Cost:  # noqa: ANN401
    """Return what one operation costs."""
    tensors = {id(x): x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)}
    flops = flop_registry.get(func.overloadpacket)
    cost = Cost(
        launches=1,
        bytes=sum(x.numel() * x.element_size() for x in tensors.values()),
        flops=0 if flops is None else flops(*args, **kwargs, out_val=out),
    )
    cost.seconds = cost.bound
    return cost


class RunLength(NamedTuple):
    """The epochs of a run of ``profile=paper``, and of each the updates and evaluated batches."""

    epochs: int
    updates: int
    evaluated: int

    def hours(self, update: float, batch: float) -> float:
        """Return the hours of a run from the seconds of an update and of an evaluated batch."""
        return self.epochs * (self.updates * update + self.evaluated * batch) / 3600


def measure(data: Path, only: Sequence[str] = (), profile: str = "paper") -> dict[str, Any]:
    """Count a step of every method of table 2 and derive the hours of the table on one H100.

    All steps are of the same molecules, so that rows differ by their methods alone.

    Args:
        data: folder of prepared data.
        only: methods and variants, by default those of the table and all variants.
        profile: whose sizes.
    """
    problem, padded = (qm9.problem(data, profile, room) for room in (False, True))
    table = [] if only else methods_of_the_table()
    run = measure_run(data)
    batch, padded_batch = (next(each.batches) for each in (problem, padded))
    evaluation = count_evaluation(problem, batch)
    result: dict[str, Any] = {
        "title": problem.title,
        "assumed": {"launch": LAUNCH, "bandwidth": BANDWIDTH, "rate": RATE},
        "run": run._asdict(),
        "evaluation": asdict(evaluation),
        "methods": {},
    }
    for name in only or [*table, *VARIANTS, *PADDED]:
        variant = (VARIANTS | PADDED).get(name, MethodVariant(name))
        counted = (padded, padded_batch) if name in PADDED else (problem, batch)
        phases = count_step(*counted, variant)
        own = time_method(problem, variant)
        total = Cost()
        for phase, cost in phases.items():
            if phase != "method":
                total.add(cost)
        seconds = {"bound": total.bound + own, "derived": total.seconds + own}
        result["methods"][name] = {
            "phases": {phase: asdict(phases[phase]) for phase in PHASES},
            "total": asdict(total),
            "method_cpu_seconds": own,
            "seconds": seconds,
            "hours": {
                "bound": run.hours(seconds["bound"], evaluation.bound),
                "derived": run.hours(seconds["derived"], evaluation.seconds),
            },
        }
    if table:
        result["table_hours"] = {
            kind: SEEDS * sum(result["methods"][name]["hours"][kind] for name in table)
            for kind in ("bound", "derived")
        }
    return result


def methods_of_the_table() -> list[str]:
    """Return the methods that are trained for table 2."""
    cells = plan_sweep(["experiment=table2_qm9", "profile=paper"]).cells
    return [word.partition("=")[2] for cell in cells for word in cell if "method=" in word]


def measure_run(data: Path) -> RunLength:
    """Return how long a run of table 2 is."""
    config = compose_config(["dataset=qm9", "method=ls", "profile=paper"])
    dataset: Any = build_dataset("qm9", data=str(data))
    held_out = (len(dataset.splits[split]) for split in ("validation", "test"))
    evaluated = sum(-(-molecules // dataset.batch_size) for molecules in held_out)
    return RunLength(config["trainer"]["epochs"], dataset.steps_per_epoch, evaluated)


def count_step(problem: Problem, batch: Any, variant: MethodVariant) -> dict[str, Cost]:  # noqa: ANN401
    """Count one update as a trainer makes it, phase by phase, after one that is not counted."""
    network, tasks = problem.network, len(problem.tasks)
    backend = choose_backend("auto", network, tasks, GPU)
    options = {"backend": backend, **variant.options}
    component = build_component(problem, replace(variant, options=options))
    update = Update([task.name for task in problem.tasks])
    with ways_of_a_gpu():
        update(component, [batch])
        counter = Counter()
        with counter, ExitStack() as stack:
            for owner, names, phase in (
                (BatchGradients, ("__call__",), "forward"),
                (Method, ("step_with", "after_step"), "method"),
                (TaskGradients, GRADIENTS, "gradients"),
            ):
                # what a method does with the gradients themselves, it does on the GPU
                if phase != "method" or component.method.needs != "grads":
                    for name in names:
                        stack.enter_context(patched(owner, name, counting(counter, phase)))
            update(component, [batch])
    return counter.phases


def time_method(problem: Problem, variant: MethodVariant) -> float:
    """Return the median CPU seconds in which a method chooses weights, its agents' learning in it.

    It is 0 for one that looks at the gradients themselves: it works where they are.
    """
    component = build_component(problem, variant)
    method, tasks = component.method, len(problem.tasks)
    generator = torch.Generator().manual_seed(1)
    if method.needs == "grads":
        return 0.0
    seconds = []
    for _ in range(CHOICES):
        rows_TP = torch.randn(tasks, 50, generator=generator).double()
        losses_T, gram_TT = torch.rand(tasks, generator=generator), rows_TP @ rows_TP.T
        begin = time.process_time()
        method.weights(losses_T, gram_TT if method.needs == "gram" else None)
        seconds.append(time.process_time() - begin)
    return median(seconds)


def count_evaluation(problem: Problem, batch: Any) -> Cost:  # noqa: ANN401
    """Count a forward pass of a batch that is evaluated."""
    network = problem.network.eval()
    with ways_of_a_gpu(), torch.no_grad(), Counter() as counter, counter.within(EVALUATION):
        network(batch)
    network.train()
    return counter.phases[EVALUATION]


@contextmanager
def ways_of_a_gpu() -> Iterator[None]:
    """Let messages take no block after the other and no product of oneDNN, which a GPU lacks."""
    with patched(edge_messages, "library_for", lambda _: lambda weight: Device()):
        yield


def counting(counter: Counter, phase: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what lets a function count for a phase."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with counter.within(phase):
                return function(*args, **kwargs)

        return counted

    return wrap


def patched(
    owner: Any,  # noqa: ANN401 - a class or module
    name: str,
    change: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> AbstractContextManager[Any]:
    """Replace a function for a while by what is made of it."""
    return mock.patch.object(owner, name, change(getattr(owner, name)))


def render(result: dict[str, Any]) -> str:
    """Return the counts as a Markdown table."""
    lines = [
        f"{result['title']}: counted on a CPU, derived for one H100, nothing measured there.",
        "",
        "| | launches | of them gradients | GB | GFLOP | method, CPU ms | bound, ms | derived, ms "
        "| hours a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, own in result["methods"].items():
        total, seconds, hours = own["total"], own["seconds"], own["hours"]
        lines.append(
            f"| {name} | {total['launches']:.0f} | {own['phases']['gradients']['launches']:.0f} "
            f"| {total['bytes'] / 1e9:.2f} | {total['flops'] / 1e9:.1f} "
            f"| {1e3 * own['method_cpu_seconds']:.1f} | {1e3 * seconds['bound']:.1f} "
            f"| {1e3 * seconds['derived']:.1f} | {hours['bound']:.1f} to {hours['derived']:.1f} |"
        )
    if "table_hours" in result:
        bound, derived = (result["table_hours"][kind] for kind in ("bound", "derived"))
        lines += ["", f"the table, {SEEDS} seeds: {bound:.0f} to {derived:.0f} hours of one H100"]
    return "\n".join(lines)
