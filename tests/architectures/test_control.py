"""Networks of T tasks side by side, the squashed Gaussian policy, and task gradients of both."""

import math

import pytest
import torch
from torch.func import functional_call

from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.architectures.control.policy import best_actions, sample_actions
from mtl_bench.gradients import StackedGradients, copies_for_tasks

TASKS = ("a", "b", "c")
SAMPLES = 5


def network_of(heads=False, separate=False, members=2, **fields):
    torch.manual_seed(0)
    shape = Shape(inputs=4, outputs=2, members=members, output_bound=0.5, separate=separate)
    network = MLP(TASKS, shape, hidden=(8, 7), heads=heads, **fields).double()
    with torch.no_grad():
        for bias in network.layers.biases:
            bias.normal_()
    return network


def inputs_of():
    return torch.randn(len(TASKS), SAMPLES, 4, dtype=torch.float64)


def evaluate_plainly(network, inputs_TBI):
    """One member, task and layer after the other, with torch's own linear layer."""
    members, tasks = network.members, len(TASKS)
    rows = torch.empty(members, tasks, SAMPLES, 2, dtype=torch.float64)
    for e in range(members):
        for t in range(tasks):
            values = inputs_TBI[t]
            if network.task_ids.size:
                one_hot = torch.eye(tasks, dtype=torch.float64)[t].expand(SAMPLES, -1)
                values = torch.cat([values, one_hot], dim=1)
            for layer, pair in enumerate(
                zip(network.layers.weights, network.layers.biases, strict=True)
            ):
                weight, bias = (p[e, t] if p.dim() == 4 else p[e] for p in pair)
                values = torch.nn.functional.linear(
                    values.relu() if layer else values, weight.T, bias[0]
                )
            rows[e, t] = values
    return rows


KINDS = pytest.mark.parametrize(
    "kind", [{}, {"heads": True}, {"separate": True}, {"task_id": False}], ids=str
)


@KINDS
@pytest.mark.parametrize("members", [1, 2])
def test_it_computes_what_single_networks_compute(kind, members):
    network, inputs = network_of(members=members, **kind), inputs_of()
    torch.testing.assert_close(network(inputs), evaluate_plainly(network, inputs))


def test_tasks_share_all_layers_but_their_heads_or_none():
    counts = {
        name: [len(n.shared_parameters()), len(n.stacked_parameters())]
        for name, n in {
            "plain": network_of(),
            "heads": network_of(heads=True),
            "separate": network_of(separate=True),
        }.items()
    }
    assert counts == {"plain": [6, 0], "heads": [4, 2], "separate": [0, 6]}


def losses_of(outputs_ETBO):
    """A loss of each task, of different sizes and signs."""
    scales = torch.tensor([1.0, -3.0, 20.0], dtype=torch.float64)
    return scales * outputs_ETBO.square().mean(dim=(0, 2, 3)) + outputs_ETBO.sum(dim=(0, 2, 3))


def one_by_one(network, inputs):
    """Return the (T, P) gradients of the shared parameters, and those of the own, in T passes."""
    shared = list(network.shared_parameters().values())
    own = list(network.stacked_parameters().values())
    rows, stacks = [], []
    for t in range(len(TASKS)):
        loss = losses_of(network(inputs))[t]
        found = torch.autograd.grad(loss, [*shared, *own], allow_unused=True)
        rows.append(torch.cat([g.flatten() for g in found[: len(shared)]]))
        stacks.append(found[len(shared) :])
    return torch.stack(rows), stacks


def stacked(network, inputs, *, apart=True):
    shared = network.shared_parameters()
    copies = copies_for_tasks(shared, len(TASKS)) if apart else {}
    losses = losses_of(functional_call(network, copies, (inputs,)))
    own = network.stacked_parameters()
    return StackedGradients(losses, list(shared.values()), list(own.values()), [*copies.values()])


@pytest.mark.parametrize("kind", [{}, {"heads": True}, {"task_id": False}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_one_backward_pass_finds_what_one_per_task_finds(kind, dtype):
    network, inputs = network_of(**kind).to(dtype), inputs_of().to(dtype)
    gradients = stacked(network, inputs)
    expected_TP, _ = one_by_one(network, inputs)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(gradients.jacobian(), expected_TP, rtol=tolerance, atol=tolerance)
    products = expected_TP.double() @ expected_TP.double().T
    relative = (gradients.gram() - products).abs() / products.diagonal().sqrt().outer(
        products.diagonal().sqrt()
    )
    assert relative.max() < (1e-12 if dtype == torch.float64 else 3e-6)
    assert not any(p.grad is not None for p in network.parameters())


@KINDS
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("heads_T", [None, (1.0, 1.0, 1.0), (0.0, 2.0, -1.0)], ids=str)
def test_weights_and_head_weights_reach_the_parameters_that_they_are_for(kind, apart, heads_T):
    network, inputs = network_of(**kind), inputs_of()
    weights_T = torch.tensor([0.5, 0.0, -2.0], dtype=torch.float64)
    heads = weights_T if heads_T is None else torch.tensor(heads_T, dtype=torch.float64)
    gradients = stacked(network, inputs, apart=apart)
    if apart:
        gradients.gram()
    gradients.apply(weights_T, None if heads_T is None else heads)
    shared_P, stacks = one_by_one(network, inputs) if network.shared_parameters() else (None, None)
    if shared_P is not None:
        found = torch.cat([p.grad.flatten() for p in network.shared_parameters().values()])
        torch.testing.assert_close(found, weights_T @ shared_P)
    for number, parameter in enumerate(network.stacked_parameters().values()):
        if stacks is None:
            losses = losses_of(network(inputs))
            rows = [torch.autograd.grad(loss, parameter, retain_graph=True)[0] for loss in losses]
        else:
            rows = [stack[number] for stack in stacks]
        expected = sum(weight * row for weight, row in zip(heads, rows, strict=True))
        torch.testing.assert_close(parameter.grad, expected)


def test_a_vector_in_place_of_weights():
    network, inputs = network_of(heads=True), inputs_of()
    gradients = stacked(network, inputs)
    vector_P = torch.arange(float(gradients.num_shared), dtype=torch.float64)
    gradients.apply_vector(vector_P)
    found = torch.cat([p.grad.flatten() for p in network.shared_parameters().values()])
    torch.testing.assert_close(found, vector_P)
    own = list(network.stacked_parameters().values())
    expected = torch.autograd.grad(losses_of(network(inputs)).sum(), own)
    for parameter, gradient in zip(own, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_separate_networks_never_touch_each_other():
    network, inputs = network_of(separate=True), inputs_of()
    before = network(inputs)
    inputs[1] += 1
    after = network(inputs)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    losses_of(after)[1].backward()
    for parameter in network.parameters():
        assert not parameter.grad[:, [0, 2]].any()
        assert parameter.grad[:, 1].any()


@pytest.mark.parametrize("mean", [-3.0, 0.2, 6.0])
@pytest.mark.parametrize("log_std", [-8.0, -0.5, 5.0])
@pytest.mark.parametrize("kind", ["clip", "tanh"])
def test_log_probabilities_are_those_of_a_transformed_normal_distribution(mean, log_std, kind):
    outputs = torch.tensor([mean, -mean, log_std, log_std], dtype=torch.float64).expand(2, 3, -1)
    noise = torch.randn(2, 3, 2, dtype=torch.float64)
    actions, found = sample_actions(outputs, noise, (-5.0, 2.0), kind)
    spread = -1.5 + 3.5 * math.tanh(log_std)
    std = math.exp(min(max(log_std, -5.0), 2.0) if kind == "clip" else spread)
    loc = torch.tensor([mean, -mean], dtype=torch.float64)
    normal = torch.distributions.Normal(loc, std)
    transform = torch.distributions.transforms.TanhTransform(cache_size=1)
    squashed = torch.distributions.TransformedDistribution(normal, transform)
    inner = loc + std * noise
    expected = squashed.log_prob(transform(inner)).sum(dim=-1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(actions, inner.tanh())
    torch.testing.assert_close(best_actions(outputs), loc.tanh().expand(2, 3, -1))


@pytest.mark.parametrize("initialization", ["he", "xavier"])
def test_weights_begin_within_their_bounds(initialization):
    torch.manual_seed(0)
    shape = Shape(inputs=30, outputs=20, output_bound=1e-3)
    network = MLP(
        ("a",), shape, heads=False, hidden=(40,), task_id=False, initialization=initialization
    )
    first, last = (weight.abs().max().item() for weight in network.layers.weights)
    bound = math.sqrt(6 / (30 if initialization == "he" else 70))
    assert 0.95 * bound < first <= bound
    bound = 1e-3 if initialization == "he" else math.sqrt(6 / 60)
    assert 0.95 * bound < last <= bound
    assert not any(bias.any() for bias in network.layers.biases)
