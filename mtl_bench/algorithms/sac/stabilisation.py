"""PaCo's stabilisation: tasks whose loss explodes are left out, and begin anew from the others.

Legend of shape suffixes: T tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from mtl_bench.architectures.control.paco import PaCo
from mtl_bench.values import Positive, PositiveInt

Reset = Literal["never", "simplex", "uniform", "copy"]


class Disturbance(TypedDict):
    """What a study does to a task: before an update its compositions are multiplied."""

    task: str
    update: PositiveInt
    factor: Positive


class LossMask:
    """Leaves tasks out of an update while their critic loss is above a bound.

    Sun et al., PaCo, 2022, section 4.2. A task that is left out takes no part in the update of
    critics, policy or temperatures, as if its labels were missing. That holds for a loss that is
    infinite or NaN, too: the tasks are differentiated apart then, which takes a second forward pass
    and their Jacobian. The paper's code compares the sum of all losses of a task with 3,000; the
    critic's is the one that explodes.

    An update that leaves out all tasks moves nothing but the slow critics, and the run goes on:
    Algorithm 1 sets such losses to 0, and its section 6.2 stops no run. (The paper's code makes the
    optimisers' steps then, too, from gradients of zero and by momentum alone.) Such a step has no
    row in the step log.

    A reset then makes the task's row of compositions anew, w_t = Σ_j β_j w_j over the healthy
    tasks: ``simplex`` draws β from the uniform distribution on the simplex, as the paper says,
    ``uniform`` from (0, 1) and divides by the sum, as its code does, ``copy`` takes the row of one.

    Args:
        tasks: names of the tasks.
        bound: of a critic loss; None leaves out no task.
        reset: how rows are made anew.
    """

    def __init__(self, tasks: Sequence[str], bound: float | None, reset: Reset) -> None:
        self.tasks, self.bound, self.reset = tuple(tasks), bound, reset
        self.healthy_T = torch.ones(len(self.tasks), dtype=torch.bool)
        self.masked: Counter[str] = Counter()
        """Task -> updates of the epoch that it was left out of."""

    def look(self, losses_T: Tensor) -> None:
        """Decide which tasks take part in the update that begins; NaN is above every bound."""
        if self.bound is None:
            return
        self.healthy_T = (losses_T.detach() <= self.bound).cpu()
        self.masked.update(t for t, ok in zip(self.tasks, self.healthy_T, strict=True) if not ok)

    def present(self) -> list[int] | None:
        """Return the numbers of the tasks that take part; None for all."""
        if self.healthy_T.all():
            return None
        numbers: list[int] = self.healthy_T.nonzero().flatten().tolist()
        return numbers

    def shares(self, generator: torch.Generator) -> Tensor | None:
        """Draw β for each task, (T, T); None if nothing is to be reset, or by nothing."""
        healthy_T = self.healthy_T
        if self.reset == "never" or healthy_T.all() or not healthy_T.any():
            return None
        drawn_TT = torch.rand(len(healthy_T), len(healthy_T), generator=generator)
        if self.reset == "simplex":
            drawn_TT = -drawn_TT.clamp_min(1e-30).log()
        drawn_TT = torch.where(healthy_T, drawn_TT, torch.tensor(-1.0))
        if self.reset == "copy":
            chosen_T = drawn_TT.argmax(dim=1)
            return torch.nn.functional.one_hot(chosen_T, len(healthy_T)).float()
        drawn_TT = drawn_TT.clamp_min(0)
        return drawn_TT / drawn_TT.sum(dim=1, keepdim=True)

    def end_epoch(self) -> dict[str, int]:
        """Return task -> updates of the epoch that it was left out of, of those that were."""
        masked = dict(self.masked)
        self.masked.clear()
        return masked

    def state_dict(self) -> dict[str, Any]:
        """Return the counts of the running epoch."""
        return {"masked": dict(self.masked)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.masked = Counter(state["masked"])


@torch.no_grad()
def disturb(networks: Sequence[nn.Module], tasks: Sequence[str], disturbance: Disturbance) -> None:
    """Multiply a task's compositions in all networks."""
    task = tasks.index(disturbance["task"])
    for network in _composed(networks):
        network.compositions[:, task] *= disturbance["factor"]


def reset_compositions(networks: Sequence[nn.Module], reset_T: Tensor, shares_TT: Tensor) -> None:
    """Make the compositions of some tasks anew in all networks, see ``PaCo.reset_tasks``."""
    for network in _composed(networks):
        network.reset_tasks(reset_T, shares_TT)


def _composed(networks: Sequence[nn.Module]) -> list[PaCo]:
    """Return the networks that have compositions, of those that share them the first."""
    composed = [n for n in networks if isinstance(n, PaCo) and n.composes]
    return list({id(n.compositions): n for n in reversed(composed)}.values())
