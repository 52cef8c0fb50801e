import copy
import math

import pytest

from mtl_bench.agents.exploration import Temperature


@pytest.mark.parametrize(("entropy", "sign"), [(-5.0, 1), (-1.0, -1), (-3.0, 0)])
def test_it_rises_below_the_target_and_falls_above(entropy, sign):
    temperature = Temperature(0.2, target_entropy=-3, learning_rate=0.01)
    assert temperature.value() == pytest.approx(0.2)
    temperature.update(entropy)
    # Adam's first step is the learning rate, whatever the size of the gradient
    assert temperature.value() == pytest.approx(0.2 * math.exp(0.01 * sign))


def test_loading_does_not_alias_the_snapshot():
    original, restored = (Temperature(a, -3, 0.01) for a in (0.2, 0.7))
    for entropy in (-5.0, -1.0):
        original.update(entropy)
    snapshot = copy.deepcopy(original.state_dict())
    restored.load_state_dict(snapshot)
    for entropy in (-2.0, -8.0):
        original.update(entropy)
        restored.update(entropy)
        assert original.value() == restored.value()
    again = Temperature(0.5, -3, 0.01)
    again.load_state_dict(snapshot)
    for entropy in (-2.0, -8.0):
        again.update(entropy)
    assert again.value() == original.value()
