"""What is known of tasks besides their names: vectors from sentences, or from a file.

Legend of shape suffixes: T tasks, V words, D numbers of a task's vector.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtl_bench.errors import ConfigError

DESCRIPTIONS = Path(__file__).with_name("descriptions.json")
DIMENSION = 64
"""D of vectors that are made from sentences."""


def task_vectors(tasks: Sequence[str], file: str | None = None) -> np.ndarray:
    """Return a vector for each task, (T, D) float32.

    Args:
        tasks: their names.
        file: a JSON file of task -> sentence, or task -> vector; null for our own sentences.

    Raises:
        ConfigError: the file can't be read, lacks a task, or mixes kinds.
    """
    path = DESCRIPTIONS if file is None else Path(file)
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"architecture.file={path}: {error}") from None
    if missing := [task for task in tasks if task not in known]:
        raise ConfigError(
            f"architecture.metadata: {path} says nothing of {', '.join(missing)}; add a sentence "
            "for each in a file of your own (architecture.file=FILE), or take "
            "architecture.metadata=learned"
        )
    rows = [known[task] for task in tasks]
    if all(isinstance(row, str) for row in rows):
        return tfidf(dict(zip(tasks, rows, strict=True)))
    try:
        vectors_TD: np.ndarray = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError):
        vectors_TD = np.empty(0, dtype=np.float32)
    if vectors_TD.ndim != 2 or not np.isfinite(vectors_TD).all():
        raise ConfigError(f"architecture.file={path}: give each task a sentence, or a vector")
    return vectors_TD


def tfidf(sentences: Mapping[str, str]) -> np.ndarray:
    """Return the sentences' words as vectors, (T, D) float32, centred and projected to D = 64.

    The entry of word v in sentence t is (1 + log n_tv) log(T / n_v), with n_tv its occurrences in t
    and n_v the sentences that have it; a sentence's vector has length 1 before the mean of all is
    taken off. The projection is Gaussian and always the same.

    Args:
        sentences: task -> sentence.
    """
    counts = [Counter(re.findall(r"[a-z]+", s.lower())) for s in sentences.values()]
    words = sorted(set().union(*counts))
    having = {word: sum(word in count for count in counts) for word in words}
    rows_TV = np.array(
        [
            [
                (1 + math.log(count[word])) * math.log(len(counts) / having[word])
                if word in count
                else 0.0
                for word in words
            ]
            for count in counts
        ]
    )
    rows_TV /= np.maximum(np.linalg.norm(rows_TV, axis=1, keepdims=True), 1e-12)
    rows_TV -= rows_TV.mean(axis=0)
    projection_VD = np.random.default_rng(0).normal(size=(len(words), DIMENSION))
    return (rows_TV @ projection_VD / math.sqrt(DIMENSION)).astype(np.float32)
