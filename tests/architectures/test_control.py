"""Networks of T tasks side by side, and the squashed Gaussian policy."""

import math

import pytest
import torch

from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.architectures.control.policy import best_actions, sample_actions

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
