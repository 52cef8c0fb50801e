"""What the gate leaves to the night: the rest of products of which it takes the first few."""

from collections.abc import Iterable
from typing import Any

import pytest


def gate(first: int, values: Iterable[Any]) -> list[Any]:
    """Return the values for ``parametrize``; all but the ``first`` few are tested at night alone.

    A tuple is one set of several arguments.
    """
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=[pytest.mark.nightly] * (number >= first),
        )
        for number, value in enumerate(values)
    ]
