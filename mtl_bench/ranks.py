"""The processes that train one run together, and what they have to agree on.

Each has a number, its rank. ``torchrun`` starts them and tells each one by the environment who it
is; so can ``srun``, see scripts/slurm_nodes.sh.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from mtl_bench.errors import ConfigError, LostProcessError, MtlBenchError, TrainingError

if TYPE_CHECKING:
    import torch.distributed as dist

V = TypeVar("V")

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets in the environment of every process."""

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others within a step before it gives up."""

FAREWELL = timedelta(seconds=30)
"""How long it waits for them when all of them end."""

Explain = Callable[[BaseException], MtlBenchError | None]
"""Finds words with a remedy for an error of a library."""


class Ranks:
    """What one process knows of those that train with it; of this class, it is the only one.

    Every method is to be called by all of them, in the same order.

    Attributes:
        number: of this process, from 0. Number 0 leads: it runs the method, writes the record and
            speaks to the person.
        size: how many there are.
    """

    number = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this is process 0."""
        return self.number == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return of each flag whether a process has raised it."""
        return flags

    def first(self, value: V | None) -> V | None:
        """Return the value of the lowest process that has one."""
        return value

    def share(self, value: V) -> V:
        """Return the value that process 0 has."""
        return value

    def gather(self, value: V) -> list[V]:
        """Return the values of all processes."""
        return [value]

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """Let an error that one process meets in the block reach all of them at its end."""
        yield

    def lead(self, function: Callable[[], V]) -> V:
        """Call a function in process 0 alone and return its answer, or raise its error, in all."""
        return function()


ALONE = Ranks()


class Together(Ranks):
    """One of several processes; see ``Ranks``.

    Args:
        group: of torch.distributed, for objects and small tensors in the memory of the CPU.
        explain: finds words for the errors of libraries.
    """

    def __init__(self, group: dist.ProcessGroup, explain: Explain = lambda error: None) -> None:
        self.number, self.size = group.rank(), group.size()
        self._group, self._explain = group, explain

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return of each flag whether a process has raised it."""
        import torch
        import torch.distributed as dist

        raised = torch.tensor(flags, dtype=torch.int64)
        with hearing():
            dist.all_reduce(raised, dist.ReduceOp.MAX, self._group)
        return tuple(map(bool, raised.tolist()))

    def first(self, value: V | None) -> V | None:
        """Return the value of the lowest process that has one."""
        import torch
        import torch.distributed as dist

        lowest = torch.tensor(self.size if value is None else self.number)
        with hearing():
            dist.all_reduce(lowest, dist.ReduceOp.MIN, self._group)
        source = int(lowest)
        return None if source == self.size else self._broadcast(value, source)

    def share(self, value: V) -> V:
        """Return the value that process 0 has."""
        return self._broadcast(value, 0)

    def gather(self, value: V) -> list[V]:
        """Return the values of all processes."""
        import torch.distributed as dist

        values: list[Any] = [None] * self.size
        with hearing():
            dist.all_gather_object(values, value, self._group)
        return values

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """Let an error that one process meets in the block reach all of them at its end.

        Raises:
            MtlBenchError: of this process, or else of the lowest that met one.
        """
        own: MtlBenchError | None = None
        try:
            yield
        except LostProcessError:
            raise
        except Exception as error:
            own = self.in_words(error)
        met = self.first(own)
        if met is not None:
            raise own or met from (own or met).__cause__

    def lead(self, function: Callable[[], V]) -> V:
        """Call a function in process 0 alone and return its answer, or raise its error, in all."""
        answer: Any = None
        with self.agreeing():
            if self.leads:
                answer = function()
        return self._broadcast(answer, 0)

    def in_words(self, error: Exception) -> MtlBenchError:
        """Return an error as one that a person can read and that can be sent to the others."""
        if isinstance(error, MtlBenchError):
            return error
        told = self._explain(error)
        if told is None:
            told = TrainingError(f"process {self.number}: {type(error).__name__}: {error}")
        told.__cause__ = error
        return told

    def _broadcast(self, value: Any, source: int) -> Any:  # noqa: ANN401
        import torch
        import torch.distributed as dist

        box = [value]
        with hearing():
            dist.broadcast_object_list(box, source, self._group, torch.device("cpu"))
        return box[0]

    def leave(self) -> bool:
        """Wait until all have come here, for half a minute; return whether they have.

        None may end while process 0 is still writing: what started them would kill it.
        """
        import torch.distributed as dist

        try:
            dist.barrier(self._group, async_op=True).wait(FAREWELL)
        except RuntimeError:
            return False
        return True


@contextmanager
def hearing() -> Iterator[None]:
    """Say what it means that a call of torch.distributed fails; from then on SIGTERM is ignored.

    Raises:
        LostProcessError: another process is gone, or hangs.
    """
    try:
        yield
    except RuntimeError as error:
        _outlast_the_others()
        reason = " ".join(str(error).split())[:120]
        raise LostProcessError(
            f"another process of this training has ended or does not answer ({reason}): the same "
            "command goes on from the last checkpoint"
        ) from error


def count_processes() -> int:
    """Return how many processes the environment says train together."""
    if any(name not in os.environ for name in VARIABLES):
        return 1
    return int(os.environ["WORLD_SIZE"])


def local_rank() -> int:
    """Return the number of this process among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_processes() -> int:
    """Return how many processes of this training run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if count_processes() > 1 else 1


@contextmanager
def join(explain: Explain = lambda error: None) -> Iterator[Ranks]:
    """Find the processes that train together; without torchrun this one is alone.

    Tensors on a GPU go by NCCL, those of the CPU by gloo. They stay together until they end, for
    other runs one after the other.

    Args:
        explain: finds words for the errors of libraries.

    Raises:
        ConfigError: they don't find each other.
    """
    if count_processes() == 1:
        yield ALONE
        return
    ranks = Together(_meet(), explain)
    try:
        yield ranks
        ranks.leave()
    except MtlBenchError as error:
        _outlast_the_others()
        if not isinstance(error, LostProcessError):
            error.told = ranks.leave() and not ranks.leads
        raise


def _meet() -> dist.ProcessGroup:
    """Return the group of all processes for objects and tensors of the CPU."""
    import torch
    import torch.distributed as dist

    on_gpu = torch.cuda.is_available()
    if not dist.is_initialized():
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            named = ", ".join(f"{name}={os.environ[name]}" for name in VARIABLES)
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"the processes don't find each other ({named}): {reason}") from error
        atexit.register(dist.destroy_process_group)
    group = dist.new_group(backend="gloo", timeout=PATIENCE) if on_gpu else dist.group.WORLD
    assert isinstance(group, dist.ProcessGroup)
    return group


def _outlast_the_others() -> None:
    """Ignore the SIGTERM that torchrun sends when another process has ended: this one is ending."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
