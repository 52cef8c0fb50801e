"""RLW, DWA and UW, which look at losses alone, and what IMTL learns from them."""

import math

import pytest
import torch

from mtl_bench.errors import NonFiniteError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import DWA, IMTL, LS, RLW, UW
from mtl_bench.methods.learned import LearnedVector


def test_rlw_is_the_softmax_of_normal_numbers():
    method = RLW(3, seed=5)
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        noise_T = torch.randn(3, generator=generator, dtype=torch.float64)
        torch.testing.assert_close(
            method.weights(torch.ones(3)), noise_T.exp() / noise_T.exp().sum()
        )
    logs_NT = torch.stack([method.weights(torch.ones(3)).log() for _ in range(4000)])
    contrast_N = logs_NT[:, 0] - logs_NT[:, 1]  # of variance 2
    assert contrast_N.mean().abs() < 0.1
    assert contrast_N.var().item() == pytest.approx(2, rel=0.1)


def test_dwa_window_compares_the_two_halves_once_it_is_full():
    method = DWA(2, window=2, temperature=2.0)
    losses = [[4.0, 1.0], [4.0, 3.0], [1.0, 4.0], [3.0, 4.0], [8.0, 0.0]]
    weights = [method.weights(torch.tensor(row)).tolist() for row in losses]
    assert weights[:3] == [[0.5, 0.5]] * 3
    for row, (slow, fast) in ((3, (2 / 4, 4 / 2)), (4, ((3 + 8) / (4 + 1), (4 + 0) / (3 + 4)))):
        e = math.exp(slow / 2), math.exp(fast / 2)
        assert weights[row] == pytest.approx([e[0] / sum(e), e[1] / sum(e)])


def test_dwa_epoch_compares_the_means_of_the_last_two_epochs():
    method = DWA(2, variant="epoch")
    epochs = [[[1.0, 2.0], [3.0, 2.0]], [[1.0, 1.0], [1.0, 5.0]], [[9.0, 9.0], [7.0, 8.0]]]
    for number, epoch in enumerate(epochs):
        for row in epoch:
            weights_T = method.weights(torch.tensor(row))
            if number < 2:
                assert weights_T.tolist() == [1, 1]
            else:  # means (2, 2) and then (1, 3), whatever this epoch brings
                e = math.exp(1 / 2 / 2), math.exp(3 / 2 / 2)
                assert weights_T.tolist() == pytest.approx([2 * x / sum(e) for x in e])
        method.end_epoch()


def test_dwa_survives_losses_of_zero():
    method = DWA(2, window=1)
    method.weights(torch.tensor([0.0, 1.0]))
    assert method.weights(torch.tensor([5.0, 1.0])).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("form", ["regression", "classification"])
def test_uw_follows_autograd_through_its_objective(form):
    method = UW(3, form=form, learning_rate=0.1, initial_log_variance=-0.5)
    s_T = torch.full((3,), -0.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([s_T], lr=0.1)
    for step in range(20):
        losses_T = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64) * (1 + step % 3)
        losses_T.requires_grad_()
        half = 0.5 if form == "regression" else 1.0
        objective = (half * torch.exp(-s_T) * losses_T + 0.5 * s_T).sum()
        gradient_T, losses_T.grad = torch.autograd.grad(objective, [s_T, losses_T])
        torch.testing.assert_close(method.weights(losses_T.detach()), losses_T.grad)
        s_T.grad = gradient_T
        optimizer.step()
    torch.testing.assert_close(method.log_variances.now(), s_T.detach())


@pytest.mark.parametrize("form", ["regression", "classification"])
def test_uw_starts_at_its_first_log_variance(form):
    weights_T = UW(2, form=form, initial_log_variance=1.0).weights(torch.ones(2))
    half = 0.5 if form == "regression" else 1.0
    assert weights_T.tolist() == pytest.approx([half / math.e] * 2)


def test_learned_numbers_of_absent_tasks_rest_whatever_momentum_they_have():
    vector = LearnedVector(3, 1.0, 0.1)
    assert vector.now().tolist() == [1.0] * 3
    vector.descend(torch.tensor([1.0, 2.0, -3.0]).double())
    first_T = vector.now()
    assert first_T.tolist() == pytest.approx([0.9, 0.9, 1.1])
    vector.descend(torch.tensor([1.0, 1.0]).double(), torch.tensor([0, 2]))
    moved_T = vector.now() - first_T
    assert moved_T[1] == 0
    assert (moved_T[[0, 2]] != 0).all()


def mixed(*ratios, temperature=2.0):
    """Return the softmax of the ratios."""
    e = [math.exp(ratio / temperature) for ratio in ratios]
    return [pytest.approx(x / sum(e)) for x in e]


def weigh(method, losses, *present):
    """Show a step with the losses of some tasks, by default all."""
    method.present = torch.tensor(present) if present else None
    weights_S = method.weights(torch.tensor(losses))
    method.present = None
    return weights_S.tolist()


def test_dwa_window_keeps_the_last_known_loss_of_an_absent_task():
    method = DWA(2, window=1)
    assert weigh(method, [4.0], 0) == [0.5]  # of the other a 1 is remembered
    method.end_epoch()  # has no meaning for windows
    assert weigh(method, [2.0, 3.0]) == mixed(2 / 4, 3 / 1)
    assert weigh(method, [6.0], 1) == mixed(2 / 2, 6 / 3)[1:]
    assert weigh(method, [1.0, 3.0]) == mixed(1 / 2, 3 / 6)


def test_dwa_window_takes_the_latest_of_the_known_losses():
    method = DWA(2, window=2)
    for losses in ([1.0, 1.0], [2.0, 2.0], [3.0, 4.0]):
        method.weights(torch.tensor(losses))
    method.present = torch.tensor([1])
    method.weights(torch.tensor([5.0]))
    assert method.window_WT.tolist() == [[1, 1], [2, 2], [3, 4], [3, 5]]


def test_dwa_epoch_counts_an_absent_task_with_its_mean_so_far():
    method = DWA(2, variant="epoch", temperature=1.0)
    method.end_epoch()  # of an epoch without a step nothing is remembered
    assert weigh(method, [3.0], 0) == [1.0]  # the other has met no labels: 1
    assert weigh(method, [5.0], 0) == [1.0]  # still 1; then its mean over (1, 1, 7)
    assert weigh(method, [1.0, 7.0]) == [1.0, 1.0]
    assert weigh(method, [7.0], 0) == [1.0]
    method.end_epoch()  # means (4, 3)
    assert weigh(method, [2.0, 3.0]) == [1.0, 1.0]
    assert weigh(method, [4.0], 1) == [1.0]  # of the first, 2 so far
    method.end_epoch()  # means (2, 3.5)
    weights_T = weigh(method, [9.0], 1)  # the first as in the last epoch: 2
    assert [w / 2 for w in weights_T] == mixed(2 / 4, 3.5 / 3, temperature=1.0)[1:]
    method.end_epoch()  # means (2, 9)
    weights_T = weigh(method, [1.0, 1.0])
    assert [w / 2 for w in weights_T] == mixed(2 / 2, 9 / 3.5, temperature=1.0)


@pytest.mark.parametrize("form", ["regression", "classification"])
def test_the_weight_of_a_task_that_is_fitted_ends_at_the_resolution_of_float32(form):
    """1,000 steps at 100 times the rate come as far as 100,000: Adam moves by its rate."""
    method, alone = UW(2, form=form, learning_rate=2.5), UW(1, form=form, learning_rate=2.5)
    for step in range(1000):
        weights_T = method.weights(torch.tensor([0.3, 0.0]))
        assert torch.equal(weights_T[:1], alone.weights(torch.tensor([0.3])))
        assert weights_T.float().isfinite().all(), step
    assert weights_T[1].item() == pytest.approx(method.factor * 2.0**46)


def test_the_scale_of_a_task_that_is_fitted_ends_where_that_of_the_smallest_loss_is():
    method = IMTL(2, variant="hybrid", learning_rate=2.5)
    gram_TT = torch.diag(torch.tensor([1.0, 0.0])).double()
    for _ in range(1000):
        assert method.weights(torch.tensor([0.3, 0.0]), gram_TT).float().isfinite().all()
    assert method._scales()[1].item() == pytest.approx(2.0**46)


def test_ls_with_its_gram_matrix_makes_the_same_update():
    theta = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    steps = {}
    for log_gram in (False, True):
        losses = [theta.square().sum(), (theta[0] - 3 * theta[1]).square()]
        gradients = TaskGradients(losses, [theta])
        LS(2, log_gram=log_gram).step(gradients)
        steps[log_gram] = theta.grad.clone()
        assert (gradients.known_gram_TT is not None) == log_gram
    torch.testing.assert_close(steps[True], steps[False])


def test_a_weight_of_uw_that_is_not_finite_is_refused_by_its_task():
    method = UW(2, initial_log_variance=-1e3)
    with pytest.raises(NonFiniteError, match="the weight of task 0 is not finite"):
        method.weights(torch.ones(2))
    assert method.log_variances.now().tolist() == [-1e3, -1e3]
