"""Ranges of configuration values, as annotations of constructor arguments.

The configuration is checked against these annotations before anything is read or trained; see
``mtl_bench.config.signatures``.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, MinLen

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
Name = Annotated[str, MinLen(1)]
HeadWeighting = Literal["weighted", "unweighted"]
Selection = Literal["best_val", "last", "last_k_mean"]
SELECTIONS = get_args(Selection)
"""Rules that pick the epoch whose test metrics are reported."""
