"""Mean intersection over union and pixel accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_bench.metrics.averages import count_values, no_valid_target


class SegmentationMetrics:
    """Both metrics from one confusion matrix over the whole set, in percent.

    A class that occurs neither among the targets nor among the predictions has no IoU and takes no
    part in the mean. A class that is predicted but never true counts as 0. That is the nanmean of
    Aligned-MTL's Cityscapes code; the NYU-v2 code of MTAN averages all 13 classes, which is the
    same number on its test set, where every class occurs, and NaN where one doesn't.

    No class wins at a pixel whose largest score is NaN or infinite: with one among the pixels that
    count both metrics are NaN.

    Args:
        classes: number of classes K. Pixels with targets outside 0 .. K - 1 don't count.
        reported: which of ``miou`` and ``pixacc`` to return.

    Example:
        >>> import torch
        >>> from mtl_bench.metrics import SegmentationMetrics
        >>> scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]).T.reshape(1, 2, 1, 3)
        >>> metric = SegmentationMetrics(classes=2)
        >>> metric.update(scores, torch.tensor([[[0, 1, 1]]]))
        >>> {name: round(value, 3) for name, value in metric.compute().items()}
        {'miou': 50.0, 'pixacc': 66.667}
    """

    def __init__(self, classes: int, reported: Sequence[str] = ("miou", "pixacc")) -> None:
        self.classes = classes
        self.reported = tuple(reported)
        self.counts: Tensor | int = 0
        self.broken: Tensor | int = 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in one batch: scores (B, K, H, W), of which the largest wins; int64 (B, H, W)."""
        largest, predicted = prediction.max(dim=1)  # on a CPU four times as fast as argmax
        valid = (target >= 0) & (target < self.classes)
        self.broken = self.broken + (valid & ~largest.isfinite()).sum()
        cells = target.clamp(0, self.classes - 1) * self.classes + predicted
        self.counts = self.counts + count_values(cells, valid, self.classes**2)

    def compute(self) -> dict[str, float]:
        """Return the reported ones of ``miou`` and ``pixacc``, in percent.

        Raises:
            DataError: no pixel had a target within the classes.
        """
        counts = torch.as_tensor(self.counts).cpu().double()
        if not counts.any():
            raise no_valid_target()
        confusion_KK = counts.reshape(self.classes, self.classes)
        hits_K = confusion_KK.diagonal()
        union_K = confusion_KK.sum(0) + confusion_KK.sum(1) - hits_K
        seen_K = union_K > 0
        values = {
            "miou": (hits_K[seen_K] / union_K[seen_K]).mean(),
            "pixacc": hits_K.sum() / confusion_KK.sum(),
        }
        if int(self.broken):
            return dict.fromkeys(self.reported, math.nan)
        return {name: 100 * values[name].item() for name in self.reported}
