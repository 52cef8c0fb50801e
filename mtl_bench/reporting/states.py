"""What a run's step log tells of the states that its method saw: losses and Gram matrices.

Legend of shape suffixes: N logged steps, T tasks, K further columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mtl_bench.records.steps import step_series
from mtl_bench.reporting.triad import pair_columns

Array = np.ndarray


class States(NamedTuple):
    """A row per logged step: its number, losses, Gram matrix, weights and what else was asked for.

    Losses and Gram matrix are NaN in a task that a batch had no labels of.
    """

    steps_N: Array
    losses_NT: Array
    grams_NTT: Array
    weights_NT: Array
    numbers_NK: Array


def read_states(
    record: Path, tasks: Sequence[str], columns: Sequence[str] = (), updates: int | None = None
) -> States | None:
    """Return the states of a run, None if its method did not ask for the Gram matrix.

    Args:
        record: folder of the run.
        tasks: names of its tasks.
        columns: names of further columns.
        updates: of the whole run, as its summary says; None if it doesn't.

    Raises:
        RecordError: there is no step log, or a part of it is missing or can't be read.
    """
    count = len(tasks)
    pairs = list(combinations(range(count), 2))
    names = [f"{kind}/{task}" for kind in ("loss", "weight") for task in tasks]
    found = step_series(record, [*names, *pair_columns(tasks), *columns], updates)
    if found is None:
        return None
    ends = np.cumsum([count, count, count, len(pairs)])
    losses, weights, squares, cosines_NP, numbers = np.split(found[1], ends, axis=1)
    lengths = np.sqrt(squares)
    grams = np.zeros((len(losses), count, count))
    for cosine, (i, j) in zip(cosines_NP.T, pairs, strict=True):
        grams[:, i, j] = grams[:, j, i] = cosine * lengths[:, i] * lengths[:, j]
    diagonal = np.arange(count)
    grams[:, diagonal, diagonal] = squares
    return States(found[0], losses, grams, weights, numbers)
