"""ImageNet weights of the ResNet-50 encoder: found or fetched, checked, loaded."""

from __future__ import annotations

import fcntl
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from mtl_bench.datasets.store.download import download
from mtl_bench.errors import DataError, MtlBenchError, UnwritableError, warn
from mtl_bench.files import explain_write_errors, sha256_of, take_lock

RESNET50_URL = "https://download.pytorch.org/models/resnet50-19c8e357.pth"
"""torchvision's first ImageNet weights, those of the Cityscapes benchmark."""

CLASSIFIER = {"fc.weight", "fc.bias"}
"""Parameters of a checkpoint that the encoder has no use for."""

COUNTER = "num_batches_tracked"
"""A buffer of batch normalisation that old checkpoints lack and that does nothing here."""


def tell(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)


def fetch_weights(url: str = RESNET50_URL, folder: Path | None = None) -> Path:
    """Return the file of ``url`` in torch hub's cache, downloaded if it isn't there.

    Processes that start together wait for one download.

    Args:
        url: of a file NAME-HASH.pth whose SHA-256 begins with HASH.
        folder: where to look and store; by default torch hub's checkpoints (``TORCH_HOME``).

    Raises:
        DataError: no network, or the file is not the one that its name says.
        MtlBenchError: the folder can't be written.
    """
    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    target = folder / url.rpartition("/")[2]
    if not target.exists():
        try:
            with explain_write_errors(target):
                folder.mkdir(parents=True, exist_ok=True)
                lock = (folder / f".{target.name}.lock").open("a")
        except UnwritableError as error:
            raise MtlBenchError(f"{error} or set TORCH_HOME to another one") from error
        with lock:
            take_lock(lock, fcntl.LOCK_EX, folder, "two downloads at once spoil it")
            if not target.exists():
                download(url, target, report=tell)
    if not sha256_of(target).startswith(target.stem.rpartition("-")[2]):
        raise DataError(
            f"{target} is damaged, its SHA-256 does not begin as its name says: delete it and give "
            "the same command again"
        )
    return target


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Fill an encoder from a checkpoint with torchvision's names; its classifier is left out.

    Args:
        encoder: a `resnet.ResNetEncoder`.
        path: a file of ``torch.save`` with a dictionary of tensors.

    Raises:
        DataError: no such file, not a checkpoint, or of another network.
    """
    if not path.is_file():
        raise DataError(f"architecture.pretrained={path}: there is no such file")
    try:
        given = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"architecture.pretrained={path}: not a readable checkpoint of tensors "
            f"({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(given, dict) or not all(
        isinstance(n, str) and isinstance(v, Tensor) for n, v in given.items()
    ):
        raise DataError(
            f"architecture.pretrained={path}: holds no plain dictionary of parameter names and "
            "tensors; save the network's state_dict()"
        )
    wanted = {n: v for n, v in encoder.state_dict().items() if not n.endswith(COUNTER)}
    found = {n: v for n, v in given.items() if n not in CLASSIFIER and not n.endswith(COUNTER)}
    for what, names in (
        ("lacks", [n for n in wanted if n not in found]),
        ("has the unknown", [n for n in found if n not in wanted]),
        ("has another shape of", [n for n in wanted if n in found and _differ(n, wanted, found)]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise DataError(
                f"architecture.pretrained={path}: {what} {names[0]}{more}; expected the weights of "
                "torchvision's resnet50"
            )
    encoder.load_state_dict(found, strict=False)


def _differ(name: str, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> bool:
    return wanted[name].shape != found[name].shape


@cache
def warn_of_random_encoder() -> None:
    """Say once per process that the published protocol begins with ImageNet weights."""
    warn(
        "PSPNet's encoder starts from random weights "
        "(architecture.pretrained=null); the published protocol starts from ImageNet weights, as "
        "architecture.pretrained=auto does at architecture.width=1"
    )
