import math

import pytest
import torch

from mtl_bench.errors import NonFiniteError
from mtl_bench.methods import TaskForce
from mtl_bench.methods.taskforce.pending import require_valid

GRAM_SS = torch.tensor([[4.0, -1.0], [-1.0, 9.0]], dtype=torch.float64)


def test_tasks_without_labels_keep_their_loss_and_have_zeros_in_the_gram_matrix():
    memory = TaskForce(3).memory
    memory.losses_T.copy_(torch.tensor([0.5, 0.25, 2.0]))
    losses_S = torch.tensor([7.0, 8.0])
    losses_T, gram_TT = memory.with_absent(losses_S, GRAM_SS, torch.tensor([0, 2]))
    assert losses_T.tolist() == [7.0, 0.25, 8.0]
    assert gram_TT.tolist() == [[4.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 9.0]]


def test_where_all_tasks_have_labels_nothing_is_changed():
    losses_T = torch.tensor([7.0, 8.0])
    found = TaskForce(2).memory.with_absent(losses_T, GRAM_SS, None)
    assert found[0] is losses_T
    assert found[1] is GRAM_SS


@pytest.mark.parametrize(
    ("loss", "square"),
    [(math.nan, 1.0), (math.inf, 1.0), (-1.0, 1.0), (1.0, math.inf), (1.0, math.nan)],
)
def test_numbers_that_would_spoil_the_replay_buffer_are_refused(loss, square):
    gram_TT = torch.diag(torch.tensor([1.0, square]))
    with pytest.raises(NonFiniteError, match=rf"^task depth: loss {loss:g}, squared .* {square:g}"):
        require_valid(torch.tensor([0.0, loss]), gram_TT, ["normals", "depth"])
    require_valid(torch.zeros(2), torch.zeros(2, 2), ["normals", "depth"])


def test_a_move_that_is_pending_is_stored_with_what_followed():
    pending = TaskForce(2).memory
    seen_TO, next_TO = torch.rand(2, 2, 3)
    actions_T, weights_T = torch.tensor([0.25, -0.5]), torch.tensor([0.75, 0.25]).double()
    losses_T = torch.tensor([2.0, 1.0]).double()
    pending.start(seen_TO, actions_T, weights_T, GRAM_SS, losses_T, slice(None))
    reward = pending.finish(next_TO, losses_T / 2)
    (stored,) = zip(*pending.replay.contents(), strict=True)
    for found, expected in zip(stored, (seen_TO, actions_T, None, next_TO), strict=True):
        assert expected is None or torch.equal(found, expected)
    assert stored[2] == torch.as_tensor(reward.values)
