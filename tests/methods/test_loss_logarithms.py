"""GLS, STCH, FAMO and GradNorm: autograd, TorchJD and closed forms."""

import math

import pytest
import torch

from mtl_bench.errors import NonFiniteError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import FAMO, GLS, STCH, GradNorm
from mtl_bench.testing.methods import gram_of

LOSSES = torch.tensor([0.5, 2.0, 30.0, 1e-3], dtype=torch.float64)


def derivative(objective, losses_T):
    """What autograd says the weights are."""
    leaf_T = losses_T.clone().requires_grad_()
    (weights_T,) = torch.autograd.grad(objective(leaf_T), leaf_T)
    return weights_T


def test_gls_is_the_derivative_of_the_geometric_mean_and_of_the_logarithms():
    expected_T = derivative(lambda x: x.prod() ** (1 / len(x)), LOSSES)
    torch.testing.assert_close(GLS(4).weights(LOSSES), expected_T)
    torch.testing.assert_close(GLS(4, variant="log").weights(LOSSES), 1 / LOSSES)


@pytest.mark.parametrize("num_tasks", [1, 2, 100])
def test_gls_of_many_tiny_or_huge_losses_does_not_leave_the_range(num_tasks):
    for size in (1e-30, 1e30):
        losses_T = torch.full((num_tasks,), size, dtype=torch.float64)
        torch.testing.assert_close(
            GLS(num_tasks).weights(losses_T), torch.ones_like(losses_T) / num_tasks
        )


def test_gls_leaves_out_what_is_fitted_exactly():
    weights_T = GLS(3).weights(torch.tensor([1.0, 0.0, 4.0]))
    torch.testing.assert_close(weights_T, torch.tensor([1.0, 0.0, 0.25]).double())


@pytest.mark.parametrize("method", [GLS, STCH, FAMO])
def test_where_all_are_fitted_exactly_no_task_has_a_weight(method):
    assert method(2).weights(torch.zeros(2)).tolist() == [0, 0]


def test_stch_is_the_derivative_of_the_smooth_maximum_relative_to_the_nadir():
    method = STCH(4, mu=0.7, warmup_epochs=1)
    torch.testing.assert_close(method.weights(100 * LOSSES), 0.01 / LOSSES)  # counts for nothing
    method.end_epoch()
    first_T, second_T = torch.tensor([[1.0, 2, 3, 4], [3.0, 2, 1, 0]]).double()
    for losses_T in (first_T, second_T):
        weights_T = method.weights(losses_T)
        inverses_T = torch.where(losses_T > 0, 1 / losses_T, 0.0)
        torch.testing.assert_close(weights_T, inverses_T)
    method.end_epoch()
    expected_T = derivative(lambda x: 4 * 0.7 * torch.logsumexp((x / 2).log() / 0.7, 0), LOSSES)
    torch.testing.assert_close(method.weights(LOSSES), expected_T)


def test_the_nadir_of_stch_is_the_mean_over_the_batches_that_have_a_tasks_labels():
    method = STCH(2, mu=0.7, warmup_epochs=0)
    method.weights(torch.tensor([1.0, 4.0]))
    method.present = torch.tensor([0])
    method.weights(torch.tensor([3.0]))
    method.present = None
    method.end_epoch()
    losses_T = torch.tensor([1.5, 2.0]).double()
    nadirs_T = torch.tensor([2.0, 4.0]).double()
    expected_T = derivative(
        lambda x: 2 * 0.7 * torch.logsumexp((x / nadirs_T).log() / 0.7, 0), losses_T
    )
    torch.testing.assert_close(method.weights(losses_T), expected_T)


def test_stch_of_a_small_mu_follows_the_worst_task_alone():
    method = STCH(3, mu=1e-4, warmup_epochs=0)
    method.weights(torch.tensor([1.0, 1.0, 10.0]))
    method.end_epoch()
    weights_T = method.weights(torch.tensor([2.0, 3.0, 20.0]))
    torch.testing.assert_close(weights_T, torch.tensor([0.0, 1.0, 0.0]).double())


def test_stch_measures_a_task_without_labels_in_that_epoch_by_its_first_loss():
    method = STCH(3, warmup_epochs=0)
    method.present = torch.tensor([0, 2])
    method.weights(torch.tensor([2.0, 4.0]))
    method.present = None
    method.end_epoch()
    for losses in ([2.0, 5.0, 4.0], [2.0, 5.0, 4.0]):
        weights_T = method.weights(torch.tensor(losses))
        torch.testing.assert_close(weights_T, 1 / torch.tensor(losses).double())


def follow(method, before_T, after_T):
    """Let FAMO see a step; return its weights."""
    weights_T = method.weights(before_T)
    leaf = torch.zeros(1, requires_grad=True)
    losses = [loss + 0 * leaf[0] for loss in after_T]
    assert method.after_update(TaskGradients(losses, [leaf], [[] for _ in losses])) == {}
    return weights_T


def test_famo_against_torchjd():
    scalarization = pytest.importorskip("torchjd.scalarization")
    theirs, ours = (
        scalarization.FAMO(4, lr=0.1, weight_decay=0.01).double(),
        FAMO(4, learning_rate=0.1, weight_decay=0.01),
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        before_T, after_T = (torch.rand(2, 4, generator=generator) + 0.1).double()
        expected_T = derivative(theirs, before_T)
        theirs(before_T)
        theirs.update(after_T)
        torch.testing.assert_close(follow(ours, before_T, after_T), expected_T, rtol=1e-5, atol=0)


def test_famo_gives_less_to_what_falls_faster_and_its_weights_sum_to_one():
    method = FAMO(3)
    before_T, after_T = torch.ones(3), torch.tensor([0.5, 0.9, 0.7])
    for _ in range(10):
        weights_T = follow(method, before_T, after_T)
        assert weights_T.sum().item() == pytest.approx(1)
    assert weights_T[0] < weights_T[2] < weights_T[1]


def test_famo_moves_no_logit_of_a_loss_that_has_come_to_zero():
    fitted, resting = FAMO(2), FAMO(2)
    follow(fitted, torch.ones(2), torch.tensor([0.0, 0.5]))
    follow(resting, torch.ones(2), torch.tensor([1.0, 0.5]))
    assert torch.equal(fitted.logits.now(), resting.logits.now())


def test_famo_moves_the_logits_of_labelled_tasks_alone():
    method = FAMO(3)
    leaf = torch.zeros(1, requires_grad=True)
    for _ in range(3):
        parts = [2 + leaf[0], 3 + leaf[0]]
        method.step_with(TaskGradients(parts, [leaf], [[], []], tasks=[0, 2]))
        parts = [1 + leaf[0], 3 + leaf[0]]
        method.after_update(TaskGradients(parts, [leaf], [[], []], tasks=[0, 2]))
    logits = method.logits.now().tolist()
    assert logits[0] < logits[1] == 0 < logits[2]
    assert method.present is None


@pytest.mark.parametrize("method", [GLS, STCH, FAMO, GradNorm])
def test_a_negative_loss_is_refused_with_its_task(method):
    made = method(2)
    made.task_names = ("red", "green")
    with pytest.raises(NonFiniteError, match=r"the loss of task green is -1\.0.*another method"):
        made.weights(torch.tensor([1.0, -1.0]), torch.eye(2))


def test_gradnorm_is_the_papers_algorithm():
    """The gradient by autograd, Adam by torch, then the sum of T."""
    rows_TP = torch.tensor([[1.0, 2.0, 0.5], [10.0, 0.0, 3.0], [0.1, 0.2, 0.0]]).double()
    norms_T = rows_TP.norm(dim=1)
    ours, w_T = GradNorm(3, alpha=0.5, learning_rate=0.05), torch.ones(3).double().requires_grad_()
    adam = torch.optim.Adam([w_T], lr=0.05)
    losses = torch.tensor([[1.0, 2.0, 3.0], [0.5, 1.9, 3.1], [0.4, 1.0, 2.0], [0.3, 0.9, 2.5]])
    for losses_T in losses.double():
        weights_T = ours.weights(losses_T, gram_of(rows_TP))
        torch.testing.assert_close(weights_T, w_T.detach())
        assert weights_T.sum().item() == pytest.approx(3)
        ratios_T = losses_T / losses[0].double()
        targets_T = (w_T * norms_T).mean().detach() * (ratios_T / ratios_T.mean()) ** 0.5
        adam.zero_grad()
        (w_T * norms_T - targets_T).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            w_T.mul_(3 / w_T.sum())


@pytest.mark.parametrize("square", [1.0, 1e-4])
def test_gradnorm_without_asymmetry_makes_gradients_equally_long(square):
    method = GradNorm(3, alpha=0.0, learning_rate=0.01)
    gram_TT = square * torch.diag(torch.tensor([1.0, 4, 16]))
    for _ in range(500):
        weights_T = method.weights(torch.ones(3), gram_TT)
    lengths_T = weights_T * torch.tensor([1.0, 2.0, 4.0])
    assert (lengths_T.max() / lengths_T.min()).item() < 1.15


def test_stch_measures_a_task_by_1_whose_losses_were_zero():
    method = STCH(2, warmup_epochs=0)
    assert method.weights(torch.tensor([0.0, 1.0])).tolist() == [0, 1]
    method.end_epoch()
    assert method.weights(torch.tensor([1.0, 1.0])).tolist() == pytest.approx([1, 1])


def test_stch_gives_a_task_that_is_fitted_exactly_no_weight():
    method = STCH(2, warmup_epochs=0)
    method.weights(torch.ones(2))
    method.end_epoch()
    assert method.weights(torch.tensor([0.0, 2.0])).tolist() == pytest.approx([0, 1])


def test_gradnorm_of_a_task_that_begins_with_a_loss_of_zero():
    """Its rate counts as 1 for ever, as if its loss stayed what it was."""
    gram_TT = torch.diag(torch.tensor([0.1, 0.04]))
    zero, constant = GradNorm(2), GradNorm(2)
    for first, second in ((0.0, 0.5), (1.0, 0.25), (3.0, 0.25)):
        ours_T = zero.weights(torch.tensor([first, second]), gram_TT)
        expected_T = constant.weights(torch.tensor([1.0, second]), gram_TT)
        assert ours_T.tolist() == expected_T.tolist()
    assert zero.first_T.tolist() == [0.0, 0.5]


def test_gradnorm_does_not_know_the_units_of_a_loss():
    gram_TT = torch.diag(torch.tensor([1.0, 4.0]))
    one, other = GradNorm(2), GradNorm(2)
    for losses in ([2.0, 1.0], [1.0, 0.75], [0.5, 0.5]):
        expected_T = one.weights(torch.tensor(losses), gram_TT)
        found_T = other.weights(torch.tensor([0.25, 0.125]) * torch.tensor(losses), gram_TT)
        assert found_T.tolist() == expected_T.tolist()
    assert expected_T[0] != 1


def test_gradnorm_keeps_the_weight_of_a_task_without_labels():
    method = GradNorm(3)
    gram_TT = torch.diag(torch.tensor([1.0, 4.0, 16.0]))
    for _ in range(4):
        method.weights(torch.ones(3), gram_TT)
    before_T = method.learned.now()
    method.present = torch.tensor([0, 2])
    method.weights(torch.ones(2), gram_TT[::2, ::2])
    after_T = method.learned.now()
    assert after_T[1] == before_T[1]
    assert after_T[0] != before_T[0]
    assert after_T.sum().item() == pytest.approx(3)
    assert all(math.isfinite(w) for w in after_T.tolist())


def test_gradnorm_of_the_last_layer_weighs_by_its_gradients_alone():
    """By the paper's norms; the update has the whole gradients and makes no Jacobian."""
    torch.manual_seed(0)
    trunk = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 4))
    heads = [torch.nn.Linear(4, 1) for _ in range(2)]
    of_last = GradNorm(2, norms_of="last_layer", alpha=0.5)
    of_gram = GradNorm(2, alpha=0.5)
    assert of_last.needs == "losses"
    for _ in range(3):
        x = torch.randn(6, 3)
        losses = [(10**t * head(trunk(x))).square().mean() for t, head in enumerate(heads)]
        last = trunk[2].weight
        rows = [torch.autograd.grad(loss, last, retain_graph=True)[0].flatten() for loss in losses]
        expected_T = of_gram.weights(torch.stack(losses).detach(), gram_of(torch.stack(rows)))
        own = [head.parameters() for head in heads]
        total = sum(w * loss for w, loss in zip(expected_T.tolist(), losses, strict=True))
        whole = torch.autograd.grad(total, [*trunk.parameters()], retain_graph=True)
        gradients = TaskGradients(losses, trunk.parameters(), own)
        weights_T = of_last.step(gradients).weights_T
        torch.testing.assert_close(weights_T, expected_T, rtol=1e-5, atol=0)
        for p, expected in zip(trunk.parameters(), whole, strict=True):
            torch.testing.assert_close(p.grad, expected)
    assert weights_T[0] > weights_T[1]
