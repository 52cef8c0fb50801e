"""Networks that would be trained otherwise than they say, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from mtl_bench.architectures.base import Architecture
from mtl_bench.errors import ConfigError
from mtl_bench.gradients import Cut
from mtl_bench.gradients.checks import check_parameters

CAUSES = (
    "look for detach(), torch.no_grad(), a loss without a graph, "
    "checkpoint(..., use_reentrant=True) and parameters that shared_parameters() lacks"
)


def check_network(network: Architecture, tasks: Sequence[str]) -> None:
    """Raise if a network can't be trained as it is.

    Args:
        network: on its device.
        tasks: their names.

    Raises:
        ConfigError: it is wrapped in DistributedDataParallel, a parameter is lazy, or one that is
            trained is listed twice or neither float32 nor float64.
    """
    who = type(network).__name__
    for name, module in network.named_modules():
        if isinstance(module, DistributedDataParallel):
            raise ConfigError(
                f"{name or 'the network'} is wrapped in DistributedDataParallel, which does not "
                "synchronise gradients that torch.autograd.grad takes: use the module inside "
                "it, torchrun trains with several processes all the same"
            )
    for name, tensor in chain(network.named_parameters(), network.named_buffers()):
        if is_lazy(tensor):
            raise ConfigError(
                f"{name} of {who} is lazy and has no shape yet: give the layer its sizes, or run a "
                "batch through the network at the end of __init__"
            )
    names: dict[Tensor, str] = {p: name for name, p in network.named_parameters()}
    shared = _trained([*network.shared_parameters(), *network.summed_parameters()])
    own = [_trained(network.task_parameters(task)) for task in tasks]
    check_parameters(shared, own, lambda p: f"{names.get(p, 'without a name')} of {who}")
    for parameter in chain(shared, *own):
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"{names.get(parameter)} of {who} is {parameter.dtype}, too coarse for the steps "
                "of an optimiser: keep trained parameters in float32, trainer.precision=bf16 runs "
                "the network in bf16"
            )


class GradientFlow:
    """Checks, when a task first takes part in an update, which parameters its loss reaches.

    A loss that is cut off from what is trained has gradients of zero, as that of a task that has
    been learnt. The graph tells them apart. It is walked once for every task.

    Args:
        network: whose lists of parameters are checked.
        tasks: their names.
        message: tells a person one line.
    """

    def __init__(
        self, network: Architecture, tasks: Sequence[str], message: Callable[[str], None]
    ) -> None:
        self.network, self.tasks, self.message = network, tuple(tasks), message
        self._pending = set(range(len(tasks)))
        self._reached: set[Tensor] = set()

    def check(self, losses: Mapping[int, Tensor], cut: Cut | None = None) -> None:
        """Look at the graphs of tasks that have not been looked at.

        Args:
            losses: by the task's number.
            cut: where their graphs are cut from the shared part's.

        Raises:
            ConfigError: no task looked at so far reaches a shared parameter that is trained, or,
                where none is, one of its own.
        """
        new = sorted(self._pending.intersection(losses))
        if not new:
            return
        self._pending.difference_update(new)
        shared: set[Tensor] = set(_trained(self.network.shared_parameters()))
        summed: set[Tensor] = set(_trained(self.network.summed_parameters()))
        below = reached_by(cut.output) if cut is not None else set()
        cut_off: list[str] = []
        untrained: set[Tensor] = set()
        for t in new:
            above = reached_by(losses[t])
            through = above if cut is None else below if cut.leaf in above else set()
            own = above.intersection(_trained(self.network.task_parameters(self.tasks[t])))
            counted = through & shared if shared else own
            self._reached |= counted
            untrained |= (through | above) - (through & shared) - own - summed
            if not counted:
                cut_off.append(self.tasks[t])
        what = "shared parameter" if shared else "parameter"
        if not self._reached:
            raise ConfigError(f"no loss reaches a {what} that is trained: {CAUSES}")
        if cut_off:
            self.message(
                f"no {what} that is trained is reached by the losses of {', '.join(cut_off)}: "
                f"{CAUSES}"
            )
        missed = shared - self._reached
        if missed and not self._pending and self.network.uses_all_shared:
            self.message(f"no loss reaches the shared {self._name(missed)}: {CAUSES}")
        if untrained := untrained.intersection(self.network.parameters()):
            self.message(
                f"losses reach {self._name(untrained)} without training it: "
                f"{type(self.network).__name__}.shared_parameters() has to list what several tasks "
                "reach, task_parameters(task) the rest"
            )

    def _name(self, parameters: set[Tensor]) -> str:
        """Return the name of the first parameter and how many there are beside it."""
        names = [name for name, p in self.network.named_parameters() if p in parameters]
        return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def reached_by(output: Tensor) -> set[Tensor]:
    """Return the leaves that a backward pass from ``output`` gives a gradient to."""
    if not output.requires_grad:
        return set()
    found: set[Tensor] = set()
    stack: list[Any] = [torch.autograd.graph.get_gradient_edge(output).node]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.name().endswith("AccumulateGrad"):
            found.add(node.variable)
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return found


def _trained(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
