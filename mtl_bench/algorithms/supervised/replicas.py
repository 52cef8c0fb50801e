"""What keeps the copies of a network in several processes the same, beside the gradients."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

from mtl_bench.architectures.base import Architecture
from mtl_bench.datasets.base import Dataset
from mtl_bench.errors import ConfigError
from mtl_bench.gradients import Communicator
from mtl_bench.ranks import ALONE, Ranks, Together


class Replicas:
    """The copies of one network, each of which sees batches of its own.

    A batch norm normalises by the statistics of one batch, as it does where one process takes
    several batches for an update (``trainer.accumulate``). The running statistics of all copies
    are moved as there, as if one network had seen the batches of all processes one after the other:
    with a of the old statistics left by the batches of a process, a old + d are its own, and all
    come to the product of all a times old plus, of each process, d times the later processes' a.

    Args:
        network: this process's copy.
        data: what it learns from.
        ranks: the processes.

    Raises:
        ConfigError: there are several, and the network or the data set are for one alone.
    """

    def __init__(self, network: Architecture, data: Dataset, ranks: Ranks = ALONE) -> None:
        self.network, self.ranks = network, ranks
        self.communicator = Communicator(ranks) if isinstance(ranks, Together) else None
        self.norms: list[_BatchNorm] = []
        if self.communicator is None:
            return
        for name, module in network.named_modules():
            if isinstance(module, SyncBatchNorm) or (
                isinstance(module, _BatchNorm)
                and module.track_running_stats
                and module.momentum is None
            ):
                kind = type(module).__name__
                raise ConfigError(
                    f"{name} is a {kind}{' without momentum' * (kind != 'SyncBatchNorm')}, which "
                    f"{ranks.size} processes can't train: use nn.BatchNorm2d with a momentum, it "
                    "normalises by each process's own batches, as under trainer.accumulate"
                )
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                self.norms.append(module)
        if "numbers" not in inspect.signature(data.train_batches).parameters:
            raise ConfigError(
                f"dataset={data.name}: its train_batches has no argument numbers, by which "
                f"{ranks.size} processes ask for batches of their own: add it, see docs/adding.md, "
                "or train in one process"
            )

    @contextmanager
    def an_update(self) -> Iterator[None]:
        """Move the running statistics together when the block has made an update."""
        if self.communicator is None or not self.norms:
            yield
            return
        tracked_N, old_2 = self._tracked(), [*map(torch.clone, self._statistics())]
        yield
        # a norm sees a batch as often as the network calls it, and keeps a share each time
        passes_N = (self._tracked() - tracked_N).double()
        passes_RN = self.communicator.all_gather(passes_N, self.ranks.size * len(passes_N))
        passes_RN = passes_RN.view(self.ranks.size, -1)
        own, later, all_N = passes_N, passes_RN[self.ranks.number + 1 :].sum(0), passes_RN.sum(0)
        kept_N = 1 - passes_N.new_tensor([norm.momentum or 0.0 for norm in self.norms])
        present_2, widths = self._statistics(), [norm.num_features for norm in self.norms]

        def spread(factors_N: Tensor) -> Tensor:
            """Return a factor for each of a norm's features, all means before all variances."""
            features = torch.tensor(widths, device=factors_N.device)
            return factors_N.repeat_interleave(features, output_size=sum(widths)).repeat(2)

        old, present = (torch.cat([*values]).double() for values in (old_2, present_2))
        moved = spread(kept_N**later) * (present - spread(kept_N**own) * old)
        self.communicator.sum(moved)
        new = moved + spread(kept_N**all_N) * old
        for statistic, value in zip(present_2, new.split(widths * 2), strict=True):
            statistic.copy_(value)
        for norm, passes in zip(self.norms, (all_N - passes_N).long(), strict=True):
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked += passes

    def _tracked(self) -> Tensor:
        """Return how many batches each norm has seen, (N,)."""
        return torch.stack([norm.get_buffer("num_batches_tracked") for norm in self.norms])

    def _statistics(self) -> list[Tensor]:
        """Return the running means of all norms, then the running variances."""
        names = ("running_mean", "running_var")
        return [norm.get_buffer(name) for name in names for norm in self.norms]

    def copy_buffers(self) -> None:
        """Give all copies the buffers of process 0."""
        if self.communicator is not None:
            for buffer in self.network.buffers():
                self.communicator.copy_from_first(buffer)
