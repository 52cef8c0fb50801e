"""What keeps the copies of a network in several processes the same, beside the gradients."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
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
    def an_update(self, batches: int) -> Iterator[None]:
        """Move the running statistics together when the block has made an update.

        Args:
            batches: how many this process has for it.
        """
        before = [(norm, *map(torch.clone, _statistics(norm))) for norm in self.norms]
        yield
        if self.communicator is None or not self.norms:
            return
        counts = self.ranks.gather(batches)
        later = sum(counts[self.ranks.number + 1 :])
        moved = []
        for norm, *old in before:
            left = 1 - (norm.momentum or 0.0)
            for present, past in zip(_statistics(norm), old, strict=True):
                own = present.double() - left**batches * past.double()
                moved.append((left**later * own).flatten())
        change = torch.cat(moved)
        self.communicator.sum(change)
        parts = iter(change.split([len(part) for part in moved]))
        for norm, *old in before:
            left = 1 - (norm.momentum or 0.0)
            for present, past in zip(_statistics(norm), old, strict=True):
                present.copy_(left ** sum(counts) * past.double() + next(parts))
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked += sum(counts) - batches

    def copy_buffers(self) -> None:
        """Give all copies the buffers of process 0."""
        if self.communicator is not None:
            for buffer in self.network.buffers():
                self.communicator.copy_from_first(buffer)


def _statistics(norm: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(norm, _BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var
