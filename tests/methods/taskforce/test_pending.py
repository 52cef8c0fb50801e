import torch

from mtl_bench.methods import TaskForce

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
