"""What a person can do about errors of the libraries below."""

from __future__ import annotations

import torch

from mtl_bench.errors import ConfigError, MtlBenchError, TrainingError

NO_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "Cannot allocate memory",
    "can't start new thread",
    "failed to map segment",
)
"""What torch, the kernel, Python and the loader of libraries say."""
WORKER = ("DataLoader worker", "DataLoader timed out")
NOT_DETERMINISTIC = "does not have a deterministic implementation"
IN_PLACE = (
    "leaf Variable that requires grad is being used in an in-place operation",
    "has been modified by an inplace operation",
)
REENTRANT = "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad()"


def means_no_memory(error: BaseException) -> bool:
    """Tell whether an error of torch, of the interpreter or of the kernel is want of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError | OSError | ImportError)
        and any(words in _first_line(error) for words in NO_MEMORY)
    )


def explain(error: BaseException) -> MtlBenchError | None:
    """Return an error with a remedy in place of one that a library raised, None if none is known.

    Args:
        error: of torch or of the interpreter.
    """
    text = _first_line(error)
    if means_no_memory(error):
        return TrainingError(
            f"out of memory ({text}): the last checkpoint is intact, and with "
            "gradients.backend=streamed or a lower trainer.workers the run goes on from it; a "
            "lower dataset.batch_size with trainer.accumulate raised by the same factor is another "
            "run, which begins at its first epoch"
        )
    if isinstance(error, RuntimeError) and text.startswith(WORKER):
        return TrainingError(
            f"a process that prepares batches has died or hangs ({text.strip()}), perhaps for want "
            "of memory in /dev/shm: lower trainer.workers; the same command continues from the "
            "last checkpoint"
        )
    if isinstance(error, RuntimeError) and NOT_DETERMINISTIC in text:
        return TrainingError(
            f"trainer.determinism=strict: {text.partition(', ')[0]}; trainer.determinism=warn goes "
            "on with a warning"
        )
    if isinstance(error, RuntimeError) and any(words in text for words in IN_PLACE):
        return ConfigError(
            f"the network changes in place what its backward pass needs ({text.partition(':')[0]}):"
            " use operations that make a new tensor, such as nn.ReLU(inplace=False), above all "
            "where a head begins"
        )
    if isinstance(error, RuntimeError) and REENTRANT in text:
        return ConfigError(
            "the network checkpoints with use_reentrant=True, through which single tasks can't be "
            "differentiated: torch.utils.checkpoint.checkpoint(..., use_reentrant=False)"
        )
    return None


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
