"""An update that is left out leaves nothing of itself in the method."""

import copy

import pytest
import torch
from torch import nn

from mtl_bench.algorithms.base import Component
from mtl_bench.errors import NonFiniteError
from mtl_bench.gradients import TaskGradients
from mtl_bench.testing.methods import advance, rounds
from mtl_bench.training.update import Update
from tests.methods.streams import METHODS, build
from tests.training.runs import differences
from tests.training.test_checkpoint_entries import AT_WORK

FIELDS = AT_WORK | {
    "taskforce": [
        *AT_WORK["taskforce"],
        {"batch_size": 2, "hidden_dim": 4},  # a buffer that never fills
        {"batch_size": 2, "hidden_dim": 4, "transition": "same_batch"},
    ]
}


class Spoilt:
    """Task gradients that are finite where the method looks, and not in one head of its own."""

    def __init__(self, losses_T, grads_TP):
        self.shared = [torch.zeros(grads_TP.shape[1], requires_grad=True)]
        self.own = [[torch.zeros((), requires_grad=True)] for _ in losses_T]
        self.losses_T, self.grads_TP = losses_T, grads_TP

    def __call__(self, _):
        losses = [
            loss + row @ self.shared[0] + (head * head).sqrt()  # its slope at 0 is NaN
            for loss, row, (head,) in zip(self.losses_T, self.grads_TP, self.own, strict=True)
        ]
        return TaskGradients(losses, self.shared, self.own)


def spoilt(method, game):
    gradients = Spoilt(*game)
    parameters = [*gradients.shared, *(head for (head,) in gradients.own)]
    return Component("", nn.Identity(), gradients, method, [torch.optim.SGD(parameters)])


def refuse(method, game):
    update, component = Update("abc", restore=True), spoilt(method, game)
    with pytest.raises(NonFiniteError, match="gradient of all parameters is nan") as info:
        update(component, None)
    assert info.value.recoverable


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("steps", [0, 1, 8])
def test_a_refused_update_leaves_the_method_as_it_was(name, steps):
    for fields in FIELDS.get(name, [{}]):
        games = list(rounds(steps + 5, 3))
        method, twin = (build(name, 3, **fields) for _ in range(2))
        for number, game in enumerate(games[:steps], start=1):
            for each in (method, twin):
                advance(each, *game)
                if number % 3 == 0:
                    each.end_epoch()
        before = copy.deepcopy(method.state_dict())
        for game in games[steps : steps + 2]:
            refuse(method, game)
            assert differences(before, method.state_dict()) == []
        for game in games[steps + 2 :]:
            answers = [advance(each, *game) for each in (method, twin)]
            (info, gradient_P), (other, other_P) = answers
            assert torch.equal(info.weights_T, other.weights_T)
            assert torch.equal(gradient_P, other_P)
            assert info.diagnostics == other.diagnostics


@pytest.mark.parametrize("name", ["uw", "dwa", "taskforce", "igbv2"])
def test_without_it_the_method_would_have_moved(name):
    method = build(name, 3, **FIELDS.get(name, [{}])[0])
    before = copy.deepcopy(method.state_dict())
    with pytest.raises(NonFiniteError):
        Update("abc")(spoilt(method, next(rounds(1, 3))), None)
    assert differences(before, method.state_dict())
