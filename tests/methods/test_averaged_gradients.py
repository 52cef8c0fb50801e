"""DB-MTL and MoCo: their formulas step by step, written down again, and what they tend to."""

import copy

import pytest
import torch

from mtl_bench.errors import ConfigError, NonFiniteError
from mtl_bench.gradients import Cut, RepresentationGradients, TaskGradients
from mtl_bench.methods import DBMTL, MGDA, MoCo
from mtl_bench.testing.methods import advance, gram_of, rounds


def feed(method, losses_T, grads_TP, tasks=None):
    """Make a step of losses with these values and gradients; return the shared gradient."""
    shared = torch.zeros(grads_TP.shape[1], dtype=grads_TP.dtype, requires_grad=True)
    heads = [torch.zeros(1, requires_grad=True) for _ in losses_T]
    losses = [
        loss + row @ shared + 3 * head.sum()
        for loss, row, head in zip(losses_T, grads_TP, heads, strict=True)
    ]
    info = method.step_with(TaskGradients(losses, [shared], [[h] for h in heads], tasks=tasks))
    return info, shared.grad, torch.cat([head.grad for head in heads])


def test_dbmtl_is_the_authors_procedure():
    method, buffer_TP = DBMTL(4, beta=0.7, decay=0.5), 0
    for step, (losses_T, grads_TP) in enumerate(rounds(6, 4), 1):
        losses_T, grads_TP = losses_T.double(), grads_TP.double()
        logs_TP = grads_TP / losses_T[:, None]
        buffer_TP = logs_TP + 0.7 / step**0.5 * (buffer_TP - logs_TP)
        lengths_T = buffer_TP.norm(dim=1)
        expected_P = (lengths_T.max() / lengths_T) @ buffer_TP
        _, shared_P, heads_T = feed(method, losses_T, grads_TP)
        torch.testing.assert_close(shared_P, expected_P)
        torch.testing.assert_close(heads_T, (3 / losses_T).float())


def test_dbmtl_does_not_know_the_units_of_a_loss():
    units_T = torch.tensor([1e-6, 1.0, 1e4, 30.0]).double()
    one, other = DBMTL(4), DBMTL(4)
    for losses_T, grads_TP in rounds(3, 4):
        losses_T, grads_TP = losses_T.double(), grads_TP.double()
        expected = feed(one, losses_T, grads_TP)[1]
        actual = feed(other, units_T * losses_T, units_T[:, None] * grads_TP)[1]
        torch.testing.assert_close(actual, expected)


def libmtl_step(state, step, losses_T, grads_TP, beta, gamma, rho):
    """Return the means and weights of LibMTL's MoCo after a step."""
    means_TP, weights_T = state
    unit_TP = grads_TP / grads_TP.norm(dim=1, keepdim=True) * losses_T[:, None]
    means_TP = means_TP - beta / step**0.5 * (means_TP - unit_TP)
    matrix_TT = means_TP @ means_TP.T + rho * torch.eye(len(losses_T))
    return means_TP, torch.softmax(weights_T - gamma / step**0.5 * matrix_TT @ weights_T, 0)


def test_moco_is_libmtls():
    method = MoCo(4, variant="libmtl", beta=0.6, gamma=0.2, rho=0.1)
    state = torch.zeros(()).double(), torch.full((4,), 0.25).double()
    for step, (losses_T, grads_TP) in enumerate(rounds(6, 4), 1):
        losses_T, grads_TP = losses_T.double(), grads_TP.double()
        state = libmtl_step(state, step, losses_T, grads_TP, 0.6, 0.2, 0.1)
        _, shared_P, heads_T = feed(method, losses_T, grads_TP)
        torch.testing.assert_close(shared_P, state[1] @ state[0])
        assert heads_T.tolist() == [3.0] * 4


def test_dbmtl_leaves_out_a_loss_of_zero_whatever_its_gradient_is():
    grads_TP = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    info, shared_P, heads_T = feed(DBMTL(2, beta=0.0), torch.tensor([0.0, 2.0]), grads_TP)
    assert info.weights_T.tolist() == [0, 0.5]
    assert shared_P.tolist() == [0, 2]
    assert heads_T.tolist() == [0, 1.5]


@pytest.mark.parametrize("variant", ["paper", "libmtl"])
def test_moco_reports_the_factors_of_the_gradients_in_the_update(variant):
    grads_TP = torch.tensor([[0.3, 0.4], [0.0, 0.0], [6.0, -8.0]]).double()
    losses_T = torch.tensor([3.0, 1.0, 0.5]).double()
    info, shared_P, _ = feed(MoCo(3, variant=variant, gamma=1e-9), losses_T, grads_TP)
    expected = [3 / 0.5, 0, 0.5 / 10] if variant == "libmtl" else [1, 1, 1]
    assert info.weights_T.tolist() == pytest.approx([0.5 * x / 3 for x in expected], rel=1e-6)
    torch.testing.assert_close(shared_P, info.weights_T @ grads_TP)


def test_moco_of_tasks_without_a_share_begins_with_equal_ones():
    method, alone = MoCo(3), MoCo(2)
    method.simplex_T.copy_(torch.tensor([1.0, 0.0, 0.0]))
    (losses_T, grads_TP) = next(rounds(1, 2))
    info, _, _ = feed(method, losses_T, grads_TP, tasks=[1, 2])
    expected_T = feed(alone, losses_T, grads_TP)[0].weights_T
    torch.testing.assert_close(info.weights_T[1:], expected_T)
    assert method.simplex_T.tolist() == [1, 0, 0]


def test_moco_of_constant_gradients_finds_the_smallest_combination():
    generator = torch.Generator().manual_seed(0)
    grads_TP = torch.randn(4, 30, generator=generator, dtype=torch.float64) / 5
    method = MoCo(4, beta=1.0, gamma=0.5, decay=0.0)
    for _ in range(100):
        shared_P = feed(method, torch.ones(4), grads_TP)[1]
    weights_T = MGDA(4, scale="one").weights(torch.ones(4), gram_of(grads_TP))
    torch.testing.assert_close(shared_P, weights_T @ grads_TP)


def test_moco_averages_the_noise_of_batches_away():
    """Two opposed tasks: their smallest combination is zero, that of noisy batches is not."""
    generator = torch.Generator().manual_seed(0)
    true_TP = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()
    squares = {}
    for beta in (1.0, 0.05):
        method, squares[beta] = MoCo(2, beta=beta, gamma=0.05, decay=0.0), 0.0
        for step in range(150):
            noise_TP = torch.randn(2, 2, generator=generator, dtype=torch.float64)
            shared_P = feed(method, torch.ones(2), true_TP + noise_TP)[1]
            squares[beta] += shared_P.square().sum().item() * (step >= 75)
    assert squares[0.05] < 0.15 * squares[1.0]


@pytest.mark.parametrize("kind", [DBMTL, MoCo])
def test_a_task_without_labels_keeps_its_mean_and_weight(kind):
    method, other = kind(3), kind(3)
    (losses_T, grads_TP), (later_T, later_TP) = rounds(2, 3)
    for each in (method, other):
        advance(each, losses_T, grads_TP)
    before_P = method.mean.get_extra_state()["mean_TP"][1].clone()
    weight = method.simplex_T[1].item() if kind is MoCo else None
    info, _, _ = feed(method, later_T[[0, 2]], later_TP[[0, 2]], tasks=[0, 2])
    assert info.weights_T[1] == 0
    assert torch.equal(method.mean.get_extra_state()["mean_TP"][1], before_P)
    advance(other, later_T, later_TP)
    for task in (0, 2):
        means = [each.mean.get_extra_state()["mean_TP"][task] for each in (method, other)]
        assert torch.equal(*means)
    if kind is MoCo:
        assert method.simplex_T.sum().item() == pytest.approx(1)
        assert method.simplex_T[1].item() == weight


@pytest.mark.parametrize("kind", [DBMTL, MoCo])
def test_gradients_that_cannot_be_averaged_are_refused(kind):
    theta = torch.ones(3, requires_grad=True)
    cut = Cut.at(2 * theta)
    gradients = RepresentationGradients([cut.leaf.sum(), cut.leaf[0]], [theta], [[], []], [cut])
    with pytest.raises(ConfigError, match=r"use gradients\.level=parameters"):
        kind(2).step(gradients)
    method = kind(2)
    for parameters in ([theta], [theta[:2].detach().requires_grad_()]):
        losses = [parameters[0].sum(), parameters[0][0]]
        if parameters[0] is theta:
            method.step(TaskGradients(losses, parameters))
        else:
            with pytest.raises(ConfigError, match="of 3 shared parameters, the gradients of 2"):
                method.step(TaskGradients(losses, parameters))


@pytest.mark.parametrize("kind", [DBMTL, MoCo])
def test_a_gradient_that_is_not_finite_leaves_the_means_as_they_are(kind):
    method = kind(2)
    feed(method, torch.tensor([1.0, 2.0]), torch.eye(2))
    before = copy.deepcopy(method.state_dict())
    shared = torch.zeros(2, requires_grad=True)
    gradients = TaskGradients([1 + shared[0], 2 + shared[1].sqrt()], [shared])
    with pytest.raises(NonFiniteError, match=r"gradient( norm)? of task 1 is not finite"):
        method.step_with(gradients)
    torch.testing.assert_close(method.state_dict(), before, rtol=0, atol=0)
