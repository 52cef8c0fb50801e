"""Losses of the dense tasks: means over the valid pixels of a mini-batch.

All of a batch's pixels count alike, whichever image they are in. A batch without a valid pixel has
the loss 0 and a gradient of zeros, where the published codes divide by zero or stop; a training
leaves the task out of such a step (``Task.valid``). Nothing here waits for the device.

Legend of shape suffixes: B images, K classes, H rows, W columns.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def is_labelled(target: Tensor, ignore: float) -> Tensor:
    """Return where a target is not the value that marks an entry without a label."""
    return target != ignore


def has_depth(target_B1HW: Tensor) -> Tensor:
    """Return where the true depth is known, that is, not 0."""
    return target_B1HW != 0


def has_normal(target_B3HW: Tensor) -> Tensor:
    """Return the pixels, (B, H, W), whose true normal is known, that is, not (0, 0, 0)."""
    return (target_B3HW != 0).any(dim=1)


def has_disparity(target_B1HW: Tensor) -> Tensor:
    """Return where the true disparity is known, that is, above 0."""
    return target_B1HW > 0


def best_class(classes: Tensor) -> Tensor:
    """Return the class of each pixel, (B, H, W): of the largest score, or the labels themselves.

    >>> import torch
    >>> best_class(torch.tensor([[[[0.1]], [[0.9]]]])).tolist()
    [[[1]]]
    """
    return classes.argmax(dim=1) if classes.is_floating_point() else classes


def segmentation_nll(log_probs_BKHW: Tensor, target_BHW: Tensor, ignore: int) -> Tensor:
    """Return the mean negative log-likelihood over the pixels that are labelled.

    Args:
        log_probs_BKHW: log-softmax over the classes.
        target_BHW: int64 class indices, or ``ignore``.
        ignore: the label that doesn't count.
    """
    losses = functional.nll_loss(
        log_probs_BKHW, target_BHW, ignore_index=ignore, reduction="none"
    )  # reduced below: torch's own sum has no deterministic form on a GPU
    return _mean_where(is_labelled(target_BHW, ignore), losses)


def depth_l1(prediction_B1HW: Tensor, target_B1HW: Tensor) -> Tensor:
    """Return the mean absolute error in metres over the pixels whose true depth is not 0."""
    return _l1_where(has_depth(target_B1HW), prediction_B1HW, target_B1HW)


def normal_cosine(prediction_B3HW: Tensor, target_B3HW: Tensor) -> Tensor:
    """Return 1 minus the mean dot product with the true normal, where there is one.

    A target of (0, 0, 0) is none. The published codes also leave out normals whose components add
    up to exactly 0.
    """
    dot_BHW = (prediction_B3HW * target_B3HW).sum(dim=1)
    return _mean_where(has_normal(target_B3HW), 1 - dot_BHW)


def instance_l1(prediction_B2HW: Tensor, target_B2HW: Tensor, invalid: float) -> Tensor:
    """Return the mean absolute error in pixels over the entries (y and x) that are valid.

    Args:
        prediction_B2HW: offsets to the instance's centre in full-resolution pixels.
        target_B2HW: the same, or ``invalid``.
        invalid: the value that marks an entry without an instance.
    """
    return _l1_where(is_labelled(target_B2HW, invalid), prediction_B2HW, target_B2HW)


def disparity_l1(prediction_B1HW: Tensor, target_B1HW: Tensor) -> Tensor:
    """Return the mean absolute error over the pixels whose true disparity is above 0."""
    return _l1_where(has_disparity(target_B1HW), prediction_B1HW, target_B1HW)


def _l1_where(valid: Tensor, prediction: Tensor, target: Tensor) -> Tensor:
    return _mean_where(valid, functional.l1_loss(prediction, target, reduction="none"))


def _mean_where(valid: Tensor, values: Tensor) -> Tensor:
    return values.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)
