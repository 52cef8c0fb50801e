"""Arithmetic whose bits depend on library versions alone, not on the processor.

Torch, MKL, OpenBLAS, NumPy and the C library choose their code by the processor; `KERNELS` makes
each take what every x86-64 processor has, and `fix_rounding` does the same in Python for what no
variable reaches.
"""

import os
import platform
from importlib.metadata import version
from typing import Any

KERNELS = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3,X86_V4,AVX512_ICL,AVX512_SPR",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4",
}
"""Environment of a process that computes goldens."""

PACKAGES = ("torch", "numpy", "torchjd", "cvxpy", "ecos")
"""Packages whose versions can change a golden's bits."""


def environment() -> dict[str, str]:
    """Return the environment variables of a process that computes goldens."""
    return os.environ | KERNELS


def fingerprint() -> dict[str, str]:
    """Return what decides the bits in such a process."""
    return {
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        **{name: version(name) for name in PACKAGES},
    }


def fix_rounding() -> None:
    """Make torch compute convolutions and elementary functions alike on every processor.

    oneDNN blocks its sums by the size of the caches. MKL's vector functions choose their code by
    the vendor and round sqrt (of Adam), acos (of the normals' angles) and log differently.
    """
    import numpy as np
    import torch

    torch.backends.mkldnn.set_flags(False)
    library = torch.library.Library("aten", "IMPL")
    for name, function in (("sqrt", np.sqrt), ("acos", np.arccos), ("log", np.log)):

        def rounded(values: torch.Tensor, function: Any = function) -> torch.Tensor:
            with np.errstate(all="ignore"):
                return torch.from_numpy(np.asarray(function(values.numpy())))

        library.impl(name, rounded, "CPU")
    _LIBRARIES.append(library)  # its kernels go with it


_LIBRARIES: list[Any] = []
