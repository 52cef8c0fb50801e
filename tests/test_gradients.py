"""TaskGradients against plain autograd for any split into shared and own parameters."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtl_bench.errors import TrainingError
from mtl_bench.gradients import TaskGradients

torch.set_default_dtype(torch.float32)


class Net(nn.Module):
    """A trunk, heads of one or two layers, an unused and a frozen parameter."""

    def __init__(self, tasks, depth, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), nn.Tanh())
        self.heads = nn.ModuleList(
            nn.Sequential(*[nn.Linear(4, 4) for _ in range(depth - 1)], nn.Linear(4, 1))
            for _ in range(tasks)
        )
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.partly = nn.Parameter(torch.ones(1))  # used by task 0 alone, yet declared shared

    def losses(self, x):
        z = self.trunk(x)
        losses = [(head(z) - t).square().mean() for t, head in enumerate(self.heads)]
        losses[0] = losses[0] * self.partly.sum()
        return losses

    def split(self):
        shared = [*self.trunk.parameters(), self.unused, self.frozen, self.partly]
        return shared, [list(head.parameters()) for head in self.heads]


def make(tasks=3, depth=2, seed=0):
    net = Net(tasks, depth, seed)
    x = torch.randn(6, 5)
    shared, own = net.split()
    losses = net.losses(x)
    return net, x, TaskGradients(losses, shared, own, forward=lambda: net.losses(x))


def reference_jacobian(net, x):
    trained = [p for p in net.split()[0] if p.requires_grad]
    rows = []
    for t in range(len(net.heads)):
        gradients = torch.autograd.grad(net.losses(x)[t], trained, allow_unused=True)
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).reshape(-1)
                    for p, g in zip(trained, gradients, strict=True)
                ]
            )
        )
    return torch.stack(rows)


@settings(max_examples=30, deadline=None)
@given(tasks=st.integers(1, 5), depth=st.integers(1, 3), seed=st.integers(0, 999))
def test_gram_is_that_of_plain_gradients(tasks, depth, seed):
    net, x, gradients = make(tasks, depth, seed)
    jacobian = reference_jacobian(net, x).double()
    torch.testing.assert_close(gradients.gram(), jacobian @ jacobian.T, rtol=1e-5, atol=1e-7)
    assert gradients.gram().dtype == torch.float64
    torch.testing.assert_close(gradients.jacobian().double(), jacobian, rtol=1e-5, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(
    tasks=st.integers(1, 4),
    seed=st.integers(0, 999),
    with_gram=st.booleans(),
    same=st.booleans(),
    data=st.data(),
)
def test_apply_writes_the_weighted_gradients(tasks, seed, with_gram, same, data):
    numbers = st.floats(-2, 2, width=32)
    weights = torch.tensor(data.draw(st.lists(numbers, min_size=tasks, max_size=tasks)))
    heads = weights if same else torch.ones(tasks)
    net, x, gradients = make(tasks, 2, seed)
    if with_gram:
        gradients.gram()
    gradients.apply(weights, heads)
    got = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    sum(w * loss for w, loss in zip(weights, net.losses(x), strict=True)).backward()
    trunk = {n: p.grad for n, p in net.named_parameters() if n.startswith(("trunk", "partly"))}
    net.zero_grad()
    sum(w * loss for w, loss in zip(heads, net.losses(x), strict=True)).backward()
    own = {n: p.grad for n, p in net.named_parameters() if n.startswith("heads")}
    for name, expected in (trunk | own).items():
        torch.testing.assert_close(got[name], expected, rtol=1e-4, atol=1e-6, msg=name)
    assert not got["unused"].any()
    assert "frozen" not in got


def test_weights_apply_to_the_heads_by_default():
    net, _, gradients = make()
    gradients.apply(torch.tensor([1.0, 0.0, 2.0]))
    assert not net.heads[1][0].weight.grad.any()


def test_no_branch_of_another_task_is_traversed():
    net, _, gradients = make()
    touched = []
    for t, head in enumerate(net.heads):
        head[0].weight.register_hook(lambda g, t=t: touched.append(t))
    gradients.gram()
    assert sorted(touched) == [0, 1, 2]


def test_apply_vector_sets_the_shared_gradient_and_unweighted_heads():
    net, x, gradients = make()
    vector = torch.arange(float(gradients.num_shared))
    gradients.apply_vector(vector)
    flat = torch.cat([p.grad.reshape(-1) for p in net.split()[0] if p.requires_grad])
    assert torch.equal(flat, vector)
    expected = torch.autograd.grad(net.losses(x)[2], net.heads[2][0].weight)[0]
    torch.testing.assert_close(net.heads[2][0].weight.grad, expected)
    with pytest.raises(ValueError, match="gradient of 1 values"):
        gradients.apply_vector(torch.ones(1))


def test_networks_that_share_nothing():
    first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    x = torch.randn(3, 2)
    losses = [first(x).square().mean(), second(x).square().mean()]
    own = [list(first.parameters()), list(second.parameters())]
    gradients = TaskGradients(losses, [], own)
    gradients.apply(torch.ones(2))
    assert first.weight.grad.any()
    assert second.weight.grad.any()
    assert torch.equal(
        TaskGradients([p.sum() for p in own[0]], [], own).gram(), torch.zeros(2, 2).double()
    )


def test_the_buffer_is_reused():
    net, x, gradients = make()
    buffer = torch.empty(3, gradients.num_shared)
    shared, own = net.split()
    again = TaskGradients(net.losses(x), shared, own, buffer=buffer)
    assert again.jacobian().data_ptr() == buffer.data_ptr()
    torch.testing.assert_close(buffer, gradients.jacobian())


def test_reevaluate_sees_the_parameters_as_they_are_now():
    net, x, gradients = make()
    before = gradients.reevaluate()
    torch.testing.assert_close(before, gradients.losses_T)
    gradients.apply(torch.ones(3))
    with torch.no_grad():
        for p in net.parameters():
            if p.grad is not None:
                p -= 1e-2 * p.grad
    after = gradients.reevaluate()
    assert after.sum() < before.sum()
    torch.testing.assert_close(after, torch.stack(net.losses(x)).detach())
    shared, own = net.split()
    with pytest.raises(TrainingError, match="recompute"):
        TaskGradients(net.losses(x), shared, own).reevaluate()


@pytest.mark.parametrize("needs_jacobian", [False, True])
@pytest.mark.parametrize("heads", [None, torch.tensor([0.5, 2.0])])
def test_gradients_lie_in_memory_as_their_parameters(needs_jacobian, heads):
    """Fused optimisers read gradients in memory order; a transposed one would be scrambled."""
    torch.manual_seed(0)
    shared = nn.Parameter(torch.randn(3, 4))
    last = nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    own = [nn.Parameter(torch.randn(4, 3)) for _ in range(2)]
    trained = [shared, last, *own]

    def losses():
        common = shared.T.contiguous().view(-1) @ torch.arange(12.0) * last.square().mean()
        return [(common + p.T.contiguous().view(-1).cumsum(0).square().sum()) for p in own]

    weights = torch.tensor([0.3, 0.7])
    gradients = TaskGradients(losses(), [shared, last], [[p] for p in own])
    if needs_jacobian:
        gradients.gram()
    gradients.apply(weights, heads)
    for p in trained:
        assert p.grad.stride() == p.stride()
    before = [p.detach().clone() for p in trained]
    torch.optim.Adam(trained, lr=1e-3, fused=True).step()
    factors = weights if heads is None else heads
    total = sum(w * loss for w, loss in zip(weights, losses(), strict=True))
    expected = list(torch.autograd.grad(total, trained))
    expected[2:] = [g * f / w for g, f, w in zip(expected[2:], factors, weights, strict=True)]
    for p, old, gradient in zip(trained, before, expected, strict=True):
        assert torch.equal(torch.sign(old - p.detach()), torch.sign(gradient))
