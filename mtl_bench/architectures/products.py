"""Matrix products by the library that is fast on this processor.

Legend of shape suffixes: B products, M, K and N rows, summands and columns of a product.
"""

from __future__ import annotations

import platform
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

PROCESSORS = Path("/proc/cpuinfo")
"""Where Linux names the vendor and the instructions of the processor."""

ONEDNN_FLOATS = 1 << 16
"""Floats of the smallest W that oneDNN is called for. Narrower networks multiply matrices so small
that its calls, one for each product of a batch, take longer than the products."""


@cache
def is_amd_avx512() -> bool:
    """Return whether the processor is AMD's and has AVX-512; oneDNN gains nothing by AVX2."""
    name = PROCESSORS.read_text() if PROCESSORS.exists() else platform.processor()
    return "AuthenticAMD" in name and "avx512f" in name


class Blas:
    """Products by torch's BLAS, which is usually MKL."""

    block_floats = 300_000
    """Floats of the largest intermediate of a block: small enough to stay in the cache."""

    def mm(self, left_MK: Tensor, right_KN: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the product, (M, N), without a graph.

        Args:
            left_MK: the left factor.
            right_KN: the right factor; it may be a transposed view.
            out: memory that the product may be written to.
        """
        return torch.mm(left_MK, right_KN, out=out)

    def bmm(self, left_BMK: Tensor, right_BKN: Tensor, out: Tensor) -> None:
        """Write a batch of products to ``out``, (B, M, N), without a graph."""
        torch.bmm(left_BMK, right_BKN, out=out)


class Device(Blas):
    """Products on a device such as a GPU.

    It has no cache that a block of molecules would have to fit into, and it waits for launches.
    """

    block_floats = sys.maxsize


class OneDNN(Blas):
    """Products by oneDNN."""

    block_floats = 1_200_000
    """It is so fast that reading W anew for each block costs more than larger ones."""

    def mm(self, left_MK: Tensor, right_KN: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the product, always in new memory."""
        return _linear(left_MK, right_KN.T)

    def bmm(self, left_BMK: Tensor, right_BKN: Tensor, out: Tensor) -> None:
        """Write a batch of products to ``out``, one after the other."""
        for left_MK, right_NK, out_MN in zip(left_BMK, right_BKN.mT, out, strict=True):
            out_MN.copy_(_linear(left_MK, right_NK))


def library_for(weight: Tensor) -> Blas:
    """Return what multiplies by such a W: oneDNN where it is faster than torch's BLAS.

    MKL has AVX-512 for Intel's processors alone; oneDNN asks what the processor can do. The vendor
    and the size decide and not a measurement, so that a training that is resumed on its machine
    goes on bit for bit. ``torch.backends.mkldnn`` turns oneDNN off.
    """
    if weight.device.type != "cpu":
        return Device()
    onednn = (
        weight.dtype == torch.float32
        and weight.numel() >= ONEDNN_FLOATS
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and is_amd_avx512()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # private, other versions may lack it
    )
    return OneDNN() if onednn else Blas()


def _linear(left_MK: Tensor, right_NK: Tensor) -> Tensor:
    """Return left @ right.T by oneDNN; torch has no public name for it that copies nothing."""
    product_MN: Tensor = torch.ops.mkldnn._linear_pointwise(left_MK, right_NK, None, "none", [], "")
    return product_MN
