"""The cosine regulariser's second derivatives, through every kind of task gradients."""

from itertools import combinations

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.architectures.control.paco import PaCo
from mtl_bench.cli import main
from mtl_bench.gradients import Cut, StackedGradients, TaskGradients, copies_for_tasks
from mtl_bench.methods import LS, CosReg
from mtl_bench.methods.cosreg import mean_squared_cosine

PENALTY = 3.0


def expected_gradients(losses_of, shared, own):
    """Return the gradients of losses and penalty by torch.func, all tasks' rows from scratch."""

    def rows(parameters):
        def gradient(t):
            found = grad(lambda s: losses_of({**parameters, **s})[t])(
                {name: parameters[name] for name in shared}
            )
            return torch.cat([found[name].flatten() for name in shared])

        return [gradient(t) for t in range(3)]

    def objective(parameters):
        cosines = [
            nn.functional.cosine_similarity(a, b, 0) for a, b in combinations(rows(parameters), 2)
        ]
        return losses_of(parameters).sum() + PENALTY * torch.stack(cosines).square().mean()

    return grad(objective)({**shared, **own})


@pytest.fixture
def network():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    heads = nn.ModuleList(nn.Linear(3, 2) for _ in range(3)).double()
    inputs = torch.randn(6, 4, dtype=torch.float64)
    return body, heads, inputs


def losses_from(heads, features):
    return [(2.0**t * head(features).tanh()).square().mean() for t, head in enumerate(heads)]


@pytest.mark.parametrize("cut", [False, True])
def test_the_gradient_is_that_of_losses_and_penalty(cut, network):
    body, heads, inputs = network
    whole = nn.ModuleDict({"body": body, "heads": heads})
    named = {name: p.detach() for name, p in whole.named_parameters()}
    shared = {name: p for name, p in named.items() if name.startswith("body")}
    own = {name: p for name, p in named.items() if name.startswith("heads")}

    def losses_of(parameters):
        def part(module, prefix):
            given = {
                n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)
            }
            return lambda x: functional_call(module, given, (x,))

        features = part(body, "body.")(inputs)
        return torch.stack(losses_from([part(heads[t], f"heads.{t}.") for t in range(3)], features))

    expected = expected_gradients(losses_of, shared, own)
    at = Cut.at(body(inputs)) if cut else None
    losses = losses_from(heads, at.leaf if at else body(inputs))
    gradients = TaskGradients(
        losses, body.parameters(), [[*head.parameters()] for head in heads], cut=at
    )
    info = CosReg(3, penalty=PENALTY).step(gradients)
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], msg=name)
    cosines_TT = gradients.known_gram_TT
    assert info.diagnostics["squared_cosine"] == pytest.approx(
        float(mean_squared_cosine(cosines_TT))
    )
    assert 0 < info.diagnostics["squared_cosine"] < 1


@pytest.mark.parametrize(
    "kind",
    [(MLP, {"heads": True}), (PaCo, {"sets": 2, "identical_sets": False})],
    ids=["mlp", "paco"],
)
def test_networks_of_tasks_side_by_side_have_the_same(kind):
    torch.manual_seed(0)
    build, fields = kind
    shape = Shape(4, 2, members=2, output_bound=0.5)
    network = build(("a", "b", "c"), shape, hidden=(6, 5), **fields).double()
    inputs = torch.randn(3, 7, 4, dtype=torch.float64)
    shared, own = network.shared_parameters(), network.stacked_parameters()

    def losses(parameters):
        outputs = functional_call(network, parameters, (inputs,))
        return outputs.square().mean(dim=(0, 2, 3)) + outputs.mean(dim=(0, 2, 3))

    expected = expected_gradients(
        losses,
        {name: p.detach() for name, p in shared.items()},
        {name: p.detach() for name, p in own.items()},
    )
    copies = copies_for_tasks(shared, 3)
    gradients = StackedGradients(
        losses({**copies, **own}), [*shared.values()], [*own.values()], [*copies.values()]
    )
    CosReg(3, penalty=PENALTY).step(gradients)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], msg=name)


def test_without_a_penalty_it_is_the_sum_of_the_losses(network):
    body, heads, inputs = network
    found = []
    for method in (CosReg(3, penalty=0.0), LS(3)):
        losses = losses_from(heads, body(inputs))
        own = [[*h.parameters()] for h in heads]
        info = method.step(TaskGradients(losses, body.parameters(), own))
        assert info.diagnostics.get("squared_cosine", 0.0) == 0.0
        found.append([p.grad.clone() for p in (*body.parameters(), *heads.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_of_zero_are_orthogonal_to_all():
    theta = torch.ones(2, requires_grad=True)
    CosReg(2).step(TaskGradients([theta.square().sum(), (0 * theta).sum()], [theta]))
    assert theta.grad.tolist() == [2.0, 2.0]


def test_the_penalty_makes_gradients_orthogonal():
    """Two quadratics whose gradients start nearly opposed; descent on the penalty turns them."""
    theta = torch.tensor([0.6, 0.1], requires_grad=True)
    places = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    cosines = []
    for _ in range(200):
        losses = [0.5 * (theta - place).square().sum() for place in places]
        info = CosReg(2, penalty=50.0).step(TaskGradients(losses, [theta]))
        cosines.append(info.diagnostics["squared_cosine"])
        with torch.no_grad():
            theta -= 1e-3 * theta.grad
    assert cosines[0] > 0.5
    assert cosines[-1] < 0.1


def test_batches_are_not_accumulated(tmp_path, capsys):
    words = "train dataset=multimnist method=cosreg profile=smoke trainer.accumulate=2"
    assert main([*words.split(), f"paths.results={tmp_path}"]) == 2
    assert "trainer.accumulate=2: CosReg differentiates" in capsys.readouterr().err
