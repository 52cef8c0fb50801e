"""Drawn scenes that stand in for data sets of images."""

from __future__ import annotations

from typing import Any


def describe_scenes(what: str, version: int, train: int, val: int, **sizes: int) -> dict[str, Any]:
    """Return what is written beside procedural scenes about them.

    Args:
        what: what they are of.
        version: of the scenes.
        train: frames to train on.
        val: frames to evaluate on.
        sizes: seed, height and width.
    """
    source = f"procedural {what}, version {version}"
    frames = {"train": train, "val": val}
    return {"kind": "procedural", "source": source, **sizes, "frames": frames}
