"""A ring buffer of tensors: what replay memories are made of.

Legend of shape suffixes: N stored rows, B sampled ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from mtl_bench.errors import RecordError

FIRST_ROWS = 1024

Rows = TypeVar("Rows", bound=NamedTuple)


class RingBuffer(nn.Module, Generic[Rows]):
    """The latest rows of several columns.

    Memory is taken in steps of doubling until ``capacity`` rows are there. The saved state holds
    the filled rows only.

    Args:
        capacity: rows kept; the oldest makes room for the next.
        empty: a named tuple with one tensor of no rows per column, which gives the columns their
            names, shapes and types.
    """

    def __init__(self, capacity: int, empty: Rows) -> None:
        super().__init__()
        self.capacity = capacity
        self._size = 0
        self._position = 0
        self._rows = empty

    def __len__(self) -> int:
        return self._size

    def contents(self) -> Rows:
        """Return views of what is stored, N rows in the order of the ring."""
        return self._rows._make(column[: self._size] for column in self._rows)

    def append(self, *row: Tensor | float) -> None:
        """Store one row, a value per column, in place of the oldest if the ring is full."""
        if self._size < self.capacity:
            self._reserve(self._position + 1)
            self._size += 1
        for column, value in zip(self._rows, row, strict=True):
            column[self._position] = value
        self._position = (self._position + 1) % self.capacity

    def sample(self, batch_size: int, generator: torch.Generator) -> Rows:
        """Return B rows drawn uniformly with replacement.

        With replacement, drawing costs the same however full the ring is, and a ring with fewer
        rows than the batch serves as well.
        """
        rows_B = torch.randint(self._size, (batch_size,), generator=generator)
        return self._rows._make(column.index_select(0, rows_B) for column in self._rows)

    def latest(self, count: int) -> Rows:
        """Return the latest rows in their order, so many or as many as there are."""
        count = min(count, self._size)
        rows_B = torch.arange(self._position - count, self._position) % self.capacity
        return self._rows._make(column.index_select(0, rows_B) for column in self._rows)

    def keep(self) -> Callable[[], None]:
        """Return a function that takes back the row that is appended next, if one is."""
        size, position = self._size, self._position
        full = size == self.capacity
        oldest = [column[position].clone() for column in self._rows] if full else []

        def take_back() -> None:
            assert (self._position - position) % self.capacity <= 1
            self._size, self._position = size, position
            for column, value in zip(self._rows, oldest, strict=full):
                column[position] = value

        return take_back

    def get_extra_state(self) -> dict[str, Any]:
        """Return the filled rows and the position of the ring."""
        return {
            "capacity": self.capacity,
            "position": self._position,
            "rows": [rows.clone() for rows in self.contents()],  # a view would save its storage
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned.

        Raises:
            RecordError: the state comes from a buffer of another capacity.
        """
        if state["capacity"] != self.capacity:
            raise RecordError(
                f"buffer_size: the saved replay buffer holds {state['capacity']} transitions, "
                f"this one {self.capacity}; continue with the value it was saved with"
            )
        self._position = state["position"]
        self._rows = self._rows._make(column.clone() for column in state["rows"])
        self._size = len(self._rows[0])

    def _reserve(self, rows: int) -> None:
        """Make room for at least so many rows."""
        present = len(self._rows[0])
        if rows <= present:
            return
        added = min(self.capacity, max(FIRST_ROWS, 2 * present)) - present
        self._rows = self._rows._make(
            torch.cat([old, old.new_empty((added, *old.shape[1:]))]) for old in self._rows
        )
