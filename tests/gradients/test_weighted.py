"""Gradients of weighted losses, against those of losses that were weighted before."""

import pytest
import torch

from mtl_bench.gradients import RepresentationGradients, TaskGradients, WeightedGradients
from tests.gradients.test_task_gradients import Net

FACTORS_T = torch.tensor([0.5, 3.0, -2.0])
HEADS_T = torch.tensor([1.5, 0.0, 4.0])


def both():
    """Return one network with each kind of gradients."""
    for weighted in (True, False):
        net = Net(3, 2, seed=0)
        losses = net.losses(torch.randn(6, 5))
        if weighted:
            yield net, WeightedGradients(TaskGradients(losses, *net.split()), FACTORS_T)
        else:
            losses = [factor * loss for factor, loss in zip(FACTORS_T, losses, strict=True)]
            yield net, TaskGradients(losses, *net.split())


def test_methods_see_the_weighted_losses_and_their_gradients():
    (_, weighted), (_, plain) = both()
    torch.testing.assert_close(weighted.losses_T, plain.losses_T)
    torch.testing.assert_close(weighted.jacobian(), plain.jacobian())
    torch.testing.assert_close(weighted.gram(), plain.gram(), rtol=1e-5, atol=1e-9)
    assert weighted.gram().dtype == torch.float64
    assert weighted.tasks == plain.tasks
    assert not weighted.at_representation


def test_the_gradients_that_are_weighted_stay_as_they_are():
    (_, weighted), _ = both()
    weighted.jacobian().zero_()
    assert (weighted.gram().diagonal() > 0).all()


@pytest.mark.parametrize("heads", [(), (HEADS_T,)], ids=["as shared", "others"])
@pytest.mark.parametrize("way", ["weights", "vector"])
def test_what_is_written_includes_the_weights(way, heads):
    written = []
    for net, gradients in both():
        if way == "weights":
            gradients.apply(torch.tensor([1.0, -0.5, 2.0]), *heads)
        else:
            size = sum(p.numel() for p in gradients.shared)
            gradients.apply_vector(torch.arange(float(size)), *heads)
        written.append({n: p.grad for n, p in net.named_parameters() if p.requires_grad})
    for name, gradient in written[1].items():
        torch.testing.assert_close(written[0][name], gradient, msg=name)


def test_at_the_representation_they_say_so():
    net = Net(3, 2, seed=0)
    net.partly.requires_grad_(False)
    losses, cut = net.cut(torch.randn(6, 5))
    gradients = RepresentationGradients(losses, *net.split(), [cut])
    assert WeightedGradients(gradients, FACTORS_T).at_representation
