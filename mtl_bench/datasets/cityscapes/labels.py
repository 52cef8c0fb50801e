"""What the label numbers of Cityscapes mean, and the two ways to group them into classes."""

from __future__ import annotations

from typing import Literal

import numpy as np

VOID = 250
"""Class of pixels that don't count, and the value of instance targets there."""

GROUP_DIGITS = 1000
"""An instance's number is its label times this plus a counter; a group's is the plain label."""

LABELS = {
    7: ("road", "flat"),
    8: ("sidewalk", "flat"),
    11: ("building", "construction"),
    12: ("wall", "construction"),
    13: ("fence", "construction"),
    17: ("pole", "object"),
    19: ("traffic light", "object"),
    20: ("traffic sign", "object"),
    21: ("vegetation", "nature"),
    22: ("terrain", "nature"),
    23: ("sky", "sky"),
    24: ("person", "human"),
    25: ("rider", "human"),
    26: ("car", "vehicle"),
    27: ("truck", "vehicle"),
    28: ("bus", "vehicle"),
    31: ("train", "vehicle"),
    32: ("motorcycle", "vehicle"),
    33: ("bicycle", "vehicle"),
}
"""Label -> (name, category) of the labels that count; all others up to 33 are void."""

FIRST_THING = 24
"""Labels from here on have instances; those below are regions without a number."""

HIGHEST_LABEL = 33

CATEGORIES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")


def class_table(classes: Literal[7, 19]) -> np.ndarray:
    """Return uint8 (256,): label -> class.

    19 classes are the labels that count, in the order of their numbers, as the benchmark numbers
    them; 7 are their categories. Every other label, and whatever is no label, is `VOID`.
    """
    table = np.full(256, VOID, np.uint8)
    for number, (label, (_, category)) in enumerate(LABELS.items()):
        table[label] = number if classes == 19 else CATEGORIES.index(category)
    return table


def instance_table() -> np.ndarray:
    """Return bool (65536,): whether an instance number is that of a thing or a group of things.

    Void labels are not looked at here: they are excluded by their class.
    """
    table = np.ones(2**16, bool)
    table[[0, *(label for label in LABELS if label < FIRST_THING)]] = False
    return table
