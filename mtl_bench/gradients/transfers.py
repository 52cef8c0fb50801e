"""The way of a step's numbers from a device to the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Transfers:
    """Brings numbers from a device to the host, several at a time.

    Reading a number of a GPU waits until all has been computed that was queued before. So what a
    step can do without is left on the device, and comes along with what is read next. From the CPU
    everything comes at once.

    Example:
        >>> import torch
        >>> from mtl_bench.gradients import Transfers
        >>> transfers = Transfers()
        >>> transfers.later(torch.tensor(2.0), print)
        tensor(2.)
        >>> transfers.now(torch.tensor([1.0, 3.0]))
        [tensor([1., 3.])]
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Callable[[Tensor], None]]] = []

    def later(self, value: Tensor, then: Callable[[Tensor], None]) -> None:
        """Call a function with a value once that is on the host; the value must stay as it is."""
        if value.device.type == "cpu":
            then(value)
        else:
            self._waiting.append((value, then))

    def now(self, *values: Tensor) -> list[Tensor]:
        """Return values on the host; what has been waiting comes along and is handed over first."""
        waiting, self._waiting = self._waiting, []
        arrived = to_host([*(value for value, _ in waiting), *values])
        for (_, then), value in zip(waiting, arrived, strict=False):
            then(value)
        return arrived[len(waiting) :]


def to_host(values: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors on the CPU, by one transfer of them all in float64.

    Example:
        >>> import torch
        >>> from mtl_bench.gradients.transfers import to_host
        >>> to_host([torch.tensor([1.0, 2.0]), torch.tensor(3)])
        [tensor([1., 2.]), tensor(3)]
    """
    if all(value.device.type == "cpu" for value in values):
        return list(values)
    packed = torch.cat([value.detach().double().flatten() for value in values]).cpu()
    parts = packed.split([value.numel() for value in values])
    return [
        part.view(value.shape).to(value.dtype) for part, value in zip(parts, values, strict=True)
    ]
