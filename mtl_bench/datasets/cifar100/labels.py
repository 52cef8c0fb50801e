"""The superclasses of CIFAR-100, and what a class is called within its own."""

from __future__ import annotations

import numpy as np

SUPERCLASSES = (
    *("aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables"),
    *("household_electrical_devices", "household_furniture", "insects", "large_carnivores"),
    *("large_man-made_outdoor_things", "large_natural_outdoor_scenes"),
    *("large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people"),
    *("reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2"),
)
"""As the file ``meta`` spells them, by their numbers."""

CLASSES = 5
"""Of each superclass."""

SUPERCLASS_OF = np.array(
    [
        *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11),
        *(6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5),
        *(5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17),
        *(10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13),
        *(16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
    ],
    np.int64,
)
"""Number of a class, 0 to 99 -> number of its superclass."""


def rank_of_classes() -> np.ndarray:
    """Return each class's place, 0 to 4, among those of its superclass in the order of numbers.

    >>> rank_of_classes()[[4, 30, 55, 72, 95]].tolist()  # the aquatic mammals
    [0, 1, 2, 3, 4]
    """
    ranks = np.empty(len(SUPERCLASS_OF), np.int64)
    ranks[np.argsort(SUPERCLASS_OF, kind="stable")] = np.arange(len(ranks)) % CLASSES
    return ranks
