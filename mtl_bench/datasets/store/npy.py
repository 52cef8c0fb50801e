"""npy files, checked by their headers and mapped from the disk."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Header(NamedTuple):
    """What the first bytes of a npy file say, and how long it is.

    Args:
        shape: of the array.
        dtype: its type as ``numpy.dtype.str`` writes it.
        fortran: whether the first axis varies fastest.
        start: where the values begin.
        expected: bytes that the file should have.
        size: bytes that it has.
    """

    shape: tuple[int, ...]
    dtype: str
    fortran: bool
    start: int
    expected: int
    size: int


def read_header(path: Path) -> Header:
    """Return the header of a npy file without reading values.

    Raises:
        OSError: it can't be opened.
        ValueError: it is no npy file.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            version = np.lib.format.read_magic(stream)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(stream)
        except Exception as error:
            # A damaged header also brings numpy to TypeError, SyntaxError and more.
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"not a readable npy file ({reason})") from error
        start = stream.tell()
    return Header(shape, dtype.str, fortran, start, start + math.prod(shape) * dtype.itemsize, size)


def map_npy(path: Path) -> np.memmap[Any, Any]:
    """Map an array read-only from the disk; memory is taken for what is read of it alone.

    Raises:
        OSError: it can't be opened.
        ValueError: it is no npy file, holds Python objects, or is longer or shorter than its header
            says.
    """
    header = read_header(path)
    if np.dtype(header.dtype).hasobject:
        raise ValueError(f"type {np.dtype(header.dtype)}: Python objects are never loaded")
    if header.size != header.expected:
        raise ValueError(
            f"{header.size} bytes instead of {header.expected}: the file is cut off or has "
            "something appended"
        )
    return np.memmap(
        path, header.dtype, "r", header.start, header.shape, "F" if header.fortran else "C"
    )
