"""How the processes that train together reduce the gradients of an update.

Legend of shape suffixes: R processes, S tasks, B columns of a Jacobian, b = ceil(B / R) of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from mtl_bench.ranks import Together, hearing


class Communicator:
    """Moves tensors between processes, by NCCL where they are on a GPU and by gloo elsewhere.

    Every method is to be called by all of them, in the same order.

    Args:
        ranks: the processes.
    """

    def __init__(self, ranks: Together) -> None:
        self.ranks = ranks

    def sum(self, tensor: Tensor) -> None:
        """Put the sum over processes in the tensor's place."""
        with hearing():
            dist.all_reduce(tensor)

    def copy_from_first(self, tensor: Tensor) -> None:
        """Put what process 0 has in the tensor's place."""
        with hearing():
            dist.broadcast(tensor, 0)

    def reduce_scatter(
        self, rows_SB: Tensor, factors_S: Tensor, places: Sequence[int], tasks: int
    ) -> Tensor:
        """Return this process's b columns, (S, b), of the sum over processes of f_s times row s.

        Process r gets the columns from r b on; those beyond B are zero.

        Args:
            rows_SB: of the tasks that this process has, maybe none.
            factors_S: f of each.
            places: of each, its row in the sum.
            tasks: number of rows of the sum.
        """
        width = -(-rows_SB.shape[1] // self.ranks.size)
        parts_RSb = rows_SB.new_zeros(self.ranks.size, tasks, width)
        for part_Sb, columns in zip(parts_RSb, rows_SB.split(width, dim=1), strict=False):
            scaled = columns * factors_S.to(columns)[:, None]
            part_Sb[list(places), : columns.shape[1]] = scaled
        sum_Sb = torch.empty_like(parts_RSb[0])
        with hearing():
            dist.reduce_scatter(sum_Sb, list(parts_RSb))
        return sum_Sb

    def all_gather(self, part_b: Tensor, columns: int) -> Tensor:
        """Return the B entries, of which every process has b."""
        parts_Rb = part_b.new_empty(self.ranks.size, len(part_b))
        with hearing():
            dist.all_gather(list(parts_Rb), part_b)
        return parts_Rb.view(-1)[:columns]

    def gather_columns(self, part_Sb: Tensor, columns: int) -> Tensor:
        """Return the B columns, (S, B), of which every process has b; in process 0 alone.

        The others return what they have.
        """
        if not self.ranks.leads:
            with hearing():
                dist.gather(part_Sb)
            return part_Sb
        parts = [torch.empty_like(part_Sb) for _ in range(self.ranks.size)]
        with hearing():
            dist.gather(part_Sb, parts)
        return torch.cat(parts, dim=1)[:, :columns]
