"""One seed per run, and from it a separate stream for every purpose."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed for one purpose, independent of every other purpose's.

    Args:
        seed: the run's seed.
        purpose: what the stream is for, for instance ``("batches", epoch)``.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    import numpy as np
    import torch

    random.seed(derive_seed(seed, "python"))
    np.random.seed(derive_seed(seed, "numpy") % 2**32)  # noqa: NPY002 - libraries may use it
    torch.manual_seed(derive_seed(seed, "torch"))


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generator of the CPU for a while, and that of a CUDA device if given.

    All others stay as they are: ``torch.manual_seed`` would seed those of every device for good.

    Args:
        seed: of both.
        device: where else random numbers may be drawn; a CPU adds nothing.
    """
    import torch

    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        yield


def generator_states(device: torch.device) -> dict[str, Any]:
    """Return the states of the global generators in types that a safe checkpoint may hold.

    Args:
        device: of the run; where it is a GPU, its generator is among them and no other GPU's, so
            that the run can go on where there are fewer.
    """
    import numpy as np
    import torch

    state: Any = np.random.get_state()  # noqa: NPY002
    kind, keys, position, has_gauss, gauss = state
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else [],
    }


def set_generator_states(states: dict[str, Any], device: torch.device) -> None:
    """Restore what ``generator_states`` returned, maybe on another device.

    In checkpoints from before, ``cuda`` holds the states of every GPU that could be seen.
    """
    import numpy as np
    import torch

    random.setstate(states["python"])
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state(  # noqa: NPY002
        (kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss)
    )
    torch.set_rng_state(states["torch"])
    if states["cuda"] and device.type == "cuda":
        number = min(device.index or 0, len(states["cuda"]) - 1)
        torch.cuda.set_rng_state(states["cuda"][number], device)
