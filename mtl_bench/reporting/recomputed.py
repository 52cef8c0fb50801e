"""Metrics that were computed again, beside those of the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtl_bench.reporting.layout import markdown_table

if TYPE_CHECKING:
    from mtl_bench.inspect.evaluate import Recomputed


def render_recomputed(found: Sequence[Recomputed], tolerance: float) -> str:
    """Return a line per metric, and how many differ by more than the tolerance.

    Args:
        found: recorded and recomputed metrics.
        tolerance: largest relative difference that counts as none.
    """
    columns = [
        ("rule", [each.rule for each in found]),
        ("task", [each.task for each in found]),
        ("metric", [each.metric for each in found]),
        ("recorded", [f"{each.recorded:.8g}" for each in found]),
        ("now", [f"{each.now:.8g}" for each in found]),
        ("relative difference", [f"{each.difference:.1e}" for each in found]),
    ]
    same = sum(each.difference == 0 for each in found)
    off = sum(each.difference > tolerance for each in found)
    verdict = f"{same} of {len(found)} metrics are the same to the last bit"
    verdict += f", {off} differ by more than tolerance={tolerance:g}"
    return "\n".join([*markdown_table(columns), "", verdict])
