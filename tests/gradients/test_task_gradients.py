"""TaskGradients against plain autograd for any split into shared and own parameters."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from mtl_bench.errors import ConfigError, NonFiniteError
from mtl_bench.gradients import Cut, RepresentationGradients, TaskGradients, gram
from mtl_bench.gradients.autograd import parameter_runs
from mtl_bench.methods import LS, UW, CosReg, NashMTL
from tests.accelerator import DEVICE, pretend

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
        return self.losses_above(self.trunk(x))

    def losses_above(self, z):
        losses = [(head(z) - t).square().mean() for t, head in enumerate(self.heads)]
        losses[0] = losses[0] * self.partly.sum()
        return losses

    def cut(self, x):
        """Losses and cut; `partly` lies above the cut, so it can't be shared there."""
        cut = Cut.at(self.trunk(x))
        return self.losses_above(cut.leaf), cut

    def split(self):
        shared = [*self.trunk.parameters(), self.unused, self.frozen, self.partly]
        return shared, [list(head.parameters()) for head in self.heads]


WAYS = [(backend, cut) for backend in ("loop", "batched", "streamed") for cut in (False, True)]
"""Every backend, with and without a cut at the representation."""


SCALES = st.sampled_from([1.0, 1024.0])


def make(tasks=3, depth=2, seed=0, way=("loop", False), scale=1.0):
    net = Net(tasks, depth, seed)
    x = torch.randn(6, 5)
    return net, x, of(net, x, way, scale=scale)


def of(net, x, way, buffer=None, **options):
    backend, is_cut = way
    if is_cut:
        net.partly.requires_grad_(False)
    shared, own = net.split()
    losses, cut = net.cut(x) if is_cut else (net.losses(x), None)
    return TaskGradients(losses, shared, own, buffer, backend, cut, **options)


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
@given(
    tasks=st.integers(1, 5),
    depth=st.integers(1, 3),
    seed=st.integers(0, 999),
    way=st.sampled_from(WAYS),
    scale=SCALES,
)
def test_gram_is_that_of_plain_gradients(tasks, depth, seed, way, scale):
    net, x, gradients = make(tasks, depth, seed, way, scale)
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
    way=st.sampled_from(WAYS),
    scale=SCALES,
    data=st.data(),
)
def test_apply_writes_the_weighted_gradients(tasks, seed, with_gram, same, way, scale, data):
    numbers = st.floats(-2, 2, width=32)
    weights = torch.tensor(data.draw(st.lists(numbers, min_size=tasks, max_size=tasks)))
    heads = weights if same else torch.ones(tasks)
    net, x, gradients = make(tasks, 2, seed, way, scale)
    if with_gram:
        gradients.gram()
    gradients.apply(weights, heads)
    got = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    sum(w * loss for w, loss in zip(weights, net.losses(x), strict=True)).backward()
    trunk = {
        n: p.grad
        for n, p in net.named_parameters()
        if n.startswith(("trunk", "partly")) and p.requires_grad
    }
    net.zero_grad()
    sum(w * loss for w, loss in zip(heads, net.losses(x), strict=True)).backward()
    own = {n: p.grad for n, p in net.named_parameters() if n.startswith("heads")}
    for name, expected in (trunk | own).items():
        torch.testing.assert_close(got[name], expected, rtol=1e-4, atol=1e-6, msg=name)
    assert not got["unused"].any()
    assert "frozen" not in got


@pytest.mark.parametrize("way", WAYS)
def test_the_gram_of_many_blocks_of_columns_is_that_of_plain_gradients(way, monkeypatch):
    monkeypatch.setattr(gram, "GRAM_BLOCK", 8)
    net, x, gradients = make(way=way)
    assert gradients.num_shared > 5 * 8
    jacobian = reference_jacobian(net, x).double()
    torch.testing.assert_close(gradients.gram(), jacobian @ jacobian.T, rtol=1e-5, atol=1e-7)


def test_blocks_of_columns_are_added_in_float64():
    """2^24 + 1 is no float32."""
    first, second = (nn.Parameter(torch.zeros(size)) for size in (gram.GRAM_BLOCK, 1))
    loss = 4096 * first[0] + second.sum()
    assert TaskGradients([loss], [first, second], [[]]).gram().item() == 2**24 + 1


@pytest.mark.parametrize("backend", ["loop", "batched", "streamed"])
def test_the_gram_of_very_long_gradients_is_exact(backend):
    """One product of 4 million columns would lose 1e-4 and more."""
    rows_TP = torch.randn(3, 1 << 22, generator=torch.Generator().manual_seed(0))
    theta = nn.Parameter(torch.zeros(rows_TP.shape[1]))
    gradients = TaskGradients([*(rows_TP @ theta)], [theta], backend=backend)
    exact_TT = rows_TP.double() @ rows_TP.double().T
    torch.testing.assert_close(gradients.gram(), exact_TT, rtol=1e-6, atol=4)


def test_weights_apply_to_the_heads_by_default():
    net, _, gradients = make()
    gradients.apply(torch.tensor([1.0, 0.0, 2.0]))
    assert not net.heads[1][0].weight.grad.any()


@pytest.mark.parametrize("is_cut", [False, True])
def test_no_branch_of_another_task_is_traversed(is_cut):
    net, _, gradients = make(way=("loop", is_cut))
    touched = []
    for t, head in enumerate(net.heads):
        head[0].weight.register_hook(lambda g, t=t: touched.append(t))
    gradients.gram()
    assert sorted(touched) == [0, 1, 2]


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("finish", ["loop", "batched", "apply", "apply with other heads"])
def test_no_graph_outlives_its_last_use(finish, is_cut):
    """The activations of the step are freed before the optimiser needs memory."""
    net, x, _ = make(way=("loop", is_cut))
    shared, own = net.split()
    losses, cut = net.cut(x) if is_cut else (net.losses(x), None)
    backend = "batched" if finish == "batched" else "loop"
    gradients = TaskGradients(losses, shared, own, backend=backend, cut=cut)
    if finish.startswith("apply"):
        heads = None if finish == "apply" else torch.tensor([1.0, 2.0, 3.0])
        gradients.apply(torch.ones(3), heads)
    else:
        gradients.jacobian()
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(losses[-1], net.heads[-1][0].weight)
    if finish != "batched":  # it keeps the shared part's graph as long as itself
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(cut.output.sum() if is_cut else losses[0], net.trunk[0].weight)


class Joint(Net):
    """All heads' answers pass through one operation, whose graph every task needs."""

    def losses_above(self, z):
        rows = torch.stack([head(z) for head in self.heads]).tanh()
        return [row.square().mean() for row in rows]


@pytest.mark.parametrize("way", WAYS)
def test_tasks_may_share_an_operation_above_their_heads(way):
    net, x = Joint(3, 2, 0), torch.randn(6, 5)
    gradients = of(net, x, way)
    jacobian = reference_jacobian(net, x)
    torch.testing.assert_close(gradients.gram(), (jacobian @ jacobian.T).double())
    gradients.apply(torch.tensor([1.0, -2.0, 0.5]))
    got = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    losses = net.losses(x)
    (losses[0] - 2 * losses[1] + 0.5 * losses[2]).backward()
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(got[name], parameter.grad)


@pytest.mark.parametrize("is_cut", [False, True])
def test_streaming_visits_runs_of_parameters_and_never_holds_the_jacobian(is_cut):
    net, x, plain = make(way=("loop", is_cut))
    streamed = of(net, x, ("streamed", is_cut), run=20)
    torch.testing.assert_close(streamed.gram(), plain.gram(), rtol=1e-5, atol=1e-8)
    places, columns = zip(*((c.data_ptr(), c.clone()) for c in streamed.stream()), strict=True)
    runs = list(parameter_runs(streamed.shared, 20))
    assert [c.shape[1] for c in columns] == [sum(p.numel() for p in run) for run in runs]
    assert len(runs) > 2
    assert len(set(places)) == 1
    assert streamed._jacobian_TP is None
    torch.testing.assert_close(torch.cat(columns, dim=1), plain.jacobian())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [False, True])
def test_the_mean_over_batches_is_that_of_their_mean_losses(way, given):
    net, _, _ = make(way=way)
    xs = [torch.randn(6, 5) for _ in range(3)]
    _, x, _ = make(way=way)
    buffer = torch.empty(3, of(net, x, way).num_shared) if given else None
    part = torch.empty_like(buffer) if given else None
    shared, own = net.split()
    mean = TaskGradients.mean((of(net, x, way, part) for x in xs), shared, own, buffer)
    losses = [torch.stack(each).mean() for each in zip(*map(net.losses, xs), strict=True)]
    whole = TaskGradients(losses, shared, own)
    torch.testing.assert_close(mean.losses_T, whole.losses_T)
    torch.testing.assert_close(mean.gram(), whole.gram(), rtol=1e-5, atol=1e-8)
    weights, heads = torch.tensor([0.2, 0.5, -1.0]), torch.tensor([1.0, 2.0, 3.0])
    whole.apply(weights, heads)
    expected = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    mean.apply(weights, heads)
    for name, gradient in expected.items():
        torch.testing.assert_close(net.get_parameter(name).grad, gradient, rtol=1e-4, atol=1e-6)
    assert not given or mean.jacobian().data_ptr() == buffer.data_ptr()


@pytest.mark.parametrize("backend", ["loop", "batched", "streamed"])
def test_the_mean_over_batches_stays_on_the_device_of_the_gradients(backend):
    with pretend(), DEVICE:
        net = Net(3, 2, 0)
        shared, own = net.split()

        def part(tasks):
            losses = net.losses(torch.randn(6, 5))
            chosen = [own[t] for t in tasks]
            return TaskGradients(
                [losses[t] for t in tasks], shared, chosen, backend=backend, tasks=tasks
            )

        mean = TaskGradients.mean(map(part, [(0, 1), (1,)]), shared, own)
        assert mean.jacobian().device == DEVICE
        for result in (mean.losses_T, mean.gram()):
            assert result.device.type == "cpu"


def test_gradients_of_the_representation():
    net, x, _ = make(way=("loop", True))
    shared, own = net.split()
    losses, cut = net.cut(x)
    gradients = RepresentationGradients(losses, shared, own, [cut])
    z = net.trunk(x).detach().requires_grad_()
    rows = [torch.autograd.grad(loss, z)[0].reshape(-1) for loss in net.losses_above(z)]
    expected = torch.stack(rows).double()
    torch.testing.assert_close(gradients.gram(), expected @ expected.T, rtol=1e-5, atol=1e-9)
    weights, heads = torch.tensor([0.2, 0.5, -1.0]), torch.tensor([1.0, 2.0, 3.0])
    gradients.apply(weights, heads)
    got = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    losses, cut = net.cut(x)
    RepresentationGradients(losses, shared, own, [cut]).apply(weights, heads)  # without a Gram
    alone = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    TaskGradients(net.losses(x), shared, own).apply(weights, heads)
    for name, p in net.named_parameters():  # linear in the weights, so the same from z on
        if p.grad is not None and name != "partly":
            torch.testing.assert_close(got[name], p.grad, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(alone[name], p.grad, rtol=1e-4, atol=1e-6)


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
    for tasks in (1, 2):
        alone = TaskGradients([p.sum() for p in own[0][:tasks]], [], own[:tasks])
        assert torch.equal(alone.gram(), torch.zeros(tasks, tasks).double())


def test_the_buffer_is_reused():
    net, x, gradients = make()
    buffer = torch.empty(3, gradients.num_shared)
    shared, own = net.split()
    again = TaskGradients(net.losses(x), shared, own, buffer=buffer)
    assert again.jacobian().data_ptr() == buffer.data_ptr()
    torch.testing.assert_close(buffer, gradients.jacobian())


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


BACKENDS = ["loop", "batched", "streamed"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("narrow", [[torch.bfloat16] * 2, [torch.bfloat16, torch.float32]])
def test_gradients_of_coarse_parameters_are_multiplied_in_float32(way, narrow):
    torch.manual_seed(0)
    backend, is_cut = way
    layers = [nn.Linear(5, 40).to(narrow[0]), nn.Linear(40, 4).to(narrow[1])]
    shared = [p for layer in layers for p in layer.parameters()]
    x = torch.randn(6, 5)

    def trunk():
        hidden = layers[0](x.to(narrow[0])).tanh()
        return layers[1](hidden.to(narrow[1])).float()

    cut = Cut.at(trunk()) if is_cut else None
    z = trunk() if cut is None else cut.leaf
    losses = [(z - t).square().mean() * (t + 1) for t in range(3)]
    reference = [((trunk() - t).square().mean() * (t + 1)) for t in range(3)]
    rows = [torch.autograd.grad(loss, shared) for loss in reference]
    rows_TP = torch.stack([torch.cat([g.flatten().double() for g in row]) for row in rows])
    gradients = TaskGradients(losses, shared, [[], [], []], backend=backend, cut=cut)
    torch.testing.assert_close(gradients.gram(), rows_TP @ rows_TP.T, rtol=1e-5, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cut_off", ["one", "trunk", "unused"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_what_no_loss_reaches_has_gradients_of_zero(backend, cut_off, is_cut):
    net, x, _ = make()
    shared, own = net.split()
    z = net.trunk(x)
    if cut_off == "trunk":
        z = z.detach()
    if cut_off == "unused":
        shared = [net.unused]
    cut = Cut.at(z) if is_cut else None
    above = z if cut is None else cut.leaf
    losses = [(head(above) - t).square().mean() for t, head in enumerate(net.heads)]
    if cut_off == "one":
        losses[1] = losses[1].detach()
    gradients = TaskGradients(losses, shared, own, backend=backend, cut=cut)
    lengths = gradients.gram().diagonal()
    assert (lengths > 0).tolist() == [cut_off == "one" and t != 1 for t in range(3)]
    gradients.apply(torch.ones(3))
    assert all(p.grad is not None for p in shared if p.requires_grad)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ask", ["jacobian", "gram", "apply", "apply_penalized"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_losses_without_a_graph_are_refused(backend, ask, is_cut):
    """As ``backward`` does; those of several batches, whose mean was taken, among them."""
    net, x, _ = make()
    shared, own = net.split()
    z = net.trunk(x)
    cut = Cut.at(z) if is_cut else None
    losses = [head(z).square().mean().detach() for head in net.heads]
    gradients = TaskGradients(losses, shared, own, backend=backend, cut=cut)
    words = {"apply": (torch.ones(3),), "apply_penalized": (torch.trace,)}.get(ask, ())
    with pytest.raises(ConfigError, match="no loss depends on any of the parameters"):
        getattr(gradients, ask)(*words)


@pytest.mark.parametrize("kind", [LS, UW, NashMTL, CosReg])
def test_no_two_parameters_share_the_memory_of_their_gradients(kind):
    """What is added has the gradient of the weight that it is added to, as one tensor."""
    torch.manual_seed(0)
    x = torch.randn(5, 4)
    weight, low, part, head = (
        nn.Parameter(torch.randn(*shape)) for shape in ((3, 4), (3, 4), (1, 4), (3, 4))
    )

    def losses():
        y = x @ (weight + low + torch.cat([part, torch.zeros(2, 4)])).T
        return [y.square().mean(), (x @ (weight + head).T - y).square().mean()]

    parameters = [weight, low, part, head]
    kind(2).step(TaskGradients(losses(), [weight, low, part], [[], [head]]))
    before = [p.grad.clone() for p in parameters]
    for number, parameter in enumerate(parameters):
        parameter.grad.mul_(0)
        for other, gradient in zip(parameters[number + 1 :], before[number + 1 :], strict=True):
            assert torch.equal(other.grad, gradient)


def test_a_generator_that_was_read_and_a_tensor_are_no_lists_of_parameters():
    body, heads = nn.Linear(2, 2), [nn.Linear(2, 1), nn.Identity()]
    x = torch.ones(1, 2)

    def losses():
        return [head(body(x)).sum() for head in heads]

    shared, own = body.parameters(), [head.parameters() for head in heads]
    TaskGradients(losses(), shared, own)
    for words in ((shared, None), (list(body.parameters()), own)):
        with pytest.raises(ConfigError, match="was read before and is empty now"):
            TaskGradients(losses(), *words)
    for words in ((body.weight, None), ([body.weight], [heads[0].weight, []])):
        with pytest.raises(ConfigError, match="put it into a list"):
            TaskGradients(losses(), *words)


def test_losses_are_scalars():
    theta = torch.ones(2, requires_grad=True)
    of_one = TaskGradients((x for x in [theta[:1], theta[1:]]), [theta])
    assert torch.equal(of_one.jacobian(), torch.eye(2))
    assert torch.equal(TaskGradients(torch.stack([*theta]), [theta]).jacobian(), torch.eye(2))
    for losses, message in (
        ([theta, theta[0]], r"number 0 has the shape \(2,\): take its mean or sum"),
        ({"a": theta[0]}, "number 0 is a str, not a tensor"),
        ([theta[0], 1.0], "number 1 is a float, not a tensor"),
    ):
        with pytest.raises(ConfigError, match=message):
            TaskGradients(losses, [theta])


@pytest.mark.parametrize("tasks", [[0, 0], [-1, 0], [1]])
def test_every_loss_has_a_task_of_its_own(tasks):
    theta = torch.ones(2, requires_grad=True)
    with pytest.raises(ConfigError, match="give each of the 2 losses a number of its own"):
        TaskGradients([*theta], [theta], tasks=tasks)


def test_a_buffer_that_would_round_is_refused():
    theta = torch.ones(2, requires_grad=True)
    buffer = torch.zeros(2, 2, dtype=torch.bfloat16)
    with pytest.raises(ConfigError, match=r"buffer is torch.bfloat16, and gradients are torch.f"):
        TaskGradients([*theta], [theta], buffer=buffer).jacobian()


def test_by_default_no_task_has_parameters_of_its_own():
    theta = torch.tensor([1.0, -2.0], requires_grad=True)
    gradients = TaskGradients([theta.square().sum(), 3 * theta[0]], [theta])
    assert gradients.own == [[], []]
    gradients.apply(torch.tensor([1.0, 2.0]))
    assert theta.grad.tolist() == [8, -4]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loss_is_needed(backend):
    with pytest.raises(NonFiniteError, match="a batch has no labels of any task"):
        TaskGradients([], [nn.Parameter(torch.ones(1))], [], backend=backend)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("place", ["shared", "own", "summed"])
def test_losses_are_scaled_only_where_gradients_keep_their_range_without_it(place, dtype):
    net = nn.Linear(2, 1, dtype=dtype)
    places = {"shared": [], "own": None, "summed": [], place: list(net.parameters())}
    places["own"] = places["own"] and [places["own"]]
    loss = net(torch.ones(3, 2, dtype=dtype)).float().square().mean()
    TaskGradients([loss], **places)
    with pytest.raises(ConfigError, match=rf"parameter of shape \(1, 2\) is {dtype}, in which a "):
        TaskGradients([loss], **places, scale=4.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_computes_with_narrow_copies_of_parameters_in_float32(backend, dtype):
    """Gradients that are zero in float16 arrive where losses are scaled."""
    torch.manual_seed(0)
    body, x = nn.Linear(4, 3), torch.randn(8, 4)
    copies = {name: p.to(dtype) for name, p in body.named_parameters()}

    def losses(outputs):
        return [1e-7 * outputs.square().mean(), outputs.mean()]

    narrow = losses(functional_call(body, copies, (x.to(dtype),)).float())
    scaled = TaskGradients(narrow, body.parameters(), scale=2.0**16, backend=backend)
    exact = TaskGradients(losses(body(x)), body.parameters(), backend=backend)
    got, want = scaled.jacobian(), exact.jacobian()
    assert got.dtype == torch.float32
    for row, true in zip(got, want, strict=True):
        torch.testing.assert_close(row, true, rtol=0.1, atol=0.02 * true.abs().max().item())


@pytest.mark.parametrize("place", ["shared", "both", "own"])
def test_a_parameter_that_is_listed_twice_is_refused(place):
    net, x, _ = make()
    shared, own = net.split()
    twice = shared[0] if place != "own" else own[0][0]
    (shared if place == "shared" else own[1]).append(twice)
    shape = re.escape(str(tuple(twice.shape)))
    with pytest.raises(ConfigError, match=f"parameter of shape {shape} is listed twice in the sha"):
        TaskGradients(net.losses(x), shared, own)


def test_complex_parameters_are_refused():
    phase = nn.Parameter(torch.ones(2, 3, dtype=torch.complex64))
    losses = [phase.abs().sum(), phase.real.sum()]
    with pytest.raises(ConfigError, match=r"parameter of shape \(2, 3\) is complex: keep its real"):
        TaskGradients(losses, [phase], [[], []])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("needs", ["gram", "weights"])
def test_sparse_gradients_are_refused(backend, needs):
    table = nn.Embedding(9, 4, sparse=True)
    z = table(torch.tensor([1, 2, 2]))
    gradients = TaskGradients(
        [z.square().sum(), z.sum()], [table.weight], [[], []], backend=backend
    )
    with pytest.raises(
        ConfigError, match=r"dense: build torch.nn.Embedding and .* with sparse=False"
    ):
        gradients.gram() if needs == "gram" else gradients.apply(torch.ones(2))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("whole", [False, True], ids=["alone", "with the Jacobian"])
def test_norms_of_the_last_layer_are_those_of_autograd(way, whole):
    net, x, gradients = make(way=way)
    weight = net.trunk[2].weight
    losses = net.losses(x)
    expected = [torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in losses]
    if whole:
        gradients.jacobian()
    assert gradients.last_layer_norms().tolist() == pytest.approx(
        [g.norm().item() for g in expected]
    )
    gradients.apply(torch.ones(3))
    torch.testing.assert_close(weight.grad, torch.autograd.grad(sum(losses), weight)[0])


def test_the_last_layer_is_named_or_the_last_matrix_that_is_trained():
    net = Net(2, 1, 0)
    losses, (shared, own) = net.losses(torch.randn(6, 5)), net.split()
    first = net.trunk[0].weight
    expected = [torch.autograd.grad(x, first, retain_graph=True)[0].norm().item() for x in losses]
    named = TaskGradients(losses, shared, own, last=first)
    assert named.last_layer_norms().tolist() == pytest.approx(expected, rel=1e-5)
    net.trunk[2].weight.requires_grad_(False)
    losses = net.losses(torch.randn(6, 5))
    assert TaskGradients(losses, shared, own).last_layer_norms().min() > 0
    for parameters, last in ((shared, net.trunk[2].weight), ([net.partly], None)):
        with pytest.raises(ConfigError, match="share no last layer whose weight is trained"):
            TaskGradients(
                net.losses(torch.randn(6, 5)), parameters, own, last=last
            ).last_layer_norms()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("heads_T", [(1.0, 1.0, 1.0), (0.5, 0.0, -2.0)], ids=str)
@pytest.mark.parametrize("gram", [False, True], ids=["weights alone", "with the Gram matrix"])
def test_summed_parameters_get_the_sum_of_the_tasks_gradients(way, heads_T, gram):
    """What no method combines is weighed as the tasks' own parameters are."""
    net, x, _ = make()
    between = torch.nn.Linear(4, 4)
    cut = Cut.at(net.trunk(x)) if way[1] else None
    losses = net.losses_above(between(net.trunk(x) if cut is None else cut.leaf))
    own = net.split()[1]
    weights_T = torch.tensor([1.0, 3.0, -1.0])
    gradients = TaskGradients(
        losses, net.trunk.parameters(), own, backend=way[0], cut=cut, summed=between.parameters()
    )
    assert gradients.num_shared == sum(p.numel() for p in net.trunk.parameters())
    if gram:
        gradients.gram()
    gradients.apply(weights_T, torch.tensor(heads_T))
    again = net.losses_above(between(net.trunk(x)))
    for parameters, factors in (
        (net.trunk.parameters(), weights_T.tolist()),
        (between.parameters(), heads_T),
        (own[1], heads_T),
    ):
        total = sum(factor * loss for factor, loss in zip(factors, again, strict=True))
        parameters = list(parameters)
        expected = torch.autograd.grad(total, parameters, retain_graph=True)
        for p, expected_gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(p.grad, expected_gradient)
    with pytest.raises(ConfigError, match="listed twice"):
        TaskGradients(losses, net.trunk.parameters(), own, summed=own[0])


def test_means_of_several_batches_have_the_sums_of_their_gradients():
    net, between, inputs = Net(2, 1, 0), torch.nn.Linear(4, 4), torch.randn(2, 6, 5)
    shared, own = list(net.trunk.parameters()), net.split()[1]
    lists = (shared, own)

    def losses(x):
        return net.losses_above(between(net.trunk(x)))

    summed = list(between.parameters())
    parts = (TaskGradients(losses(x), *lists, summed=summed) for x in inputs)
    TaskGradients.mean(parts, *lists, summed=summed).apply(torch.tensor([2.0, 1.0]))
    total = sum((2 * first + second) / 2 for first, second in map(losses, inputs))
    for p, expected in zip(summed, torch.autograd.grad(total, summed), strict=True):
        torch.testing.assert_close(p.grad, expected)
