"""One backward pass for tasks that are evaluated side by side, against one for each of them."""

import pytest
import torch
from torch.func import functional_call

from mtl_bench.gradients import StackedGradients, copies_for_tasks
from tests.architectures.test_control import KINDS, TASKS, inputs_of, losses_of, network_of


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


def stacked(network, inputs, *, apart=True, last=None):
    shared = network.shared_parameters()
    copies = copies_for_tasks(shared, len(TASKS)) if apart else {}
    losses = losses_of(functional_call(network, copies, (inputs,)))
    own = network.stacked_parameters()
    everything = (list(shared.values()), list(own.values()), [*copies.values()])
    return StackedGradients(losses, *everything, last=last)


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


@pytest.mark.parametrize("apart", [True, False])
def test_tasks_that_are_left_out_have_no_part(apart):
    network, inputs = network_of(heads=True), inputs_of()
    shared = network.shared_parameters()
    copies = copies_for_tasks(shared, len(TASKS)) if apart else {}
    losses = losses_of(functional_call(network, copies, (inputs,)))
    own = network.stacked_parameters()
    gradients = StackedGradients(
        losses, [*shared.values()], [*own.values()], [*copies.values()], tasks=[2, 0]
    )
    rows_TP, stacks = one_by_one(network, inputs)
    assert gradients.tasks == (2, 0)
    torch.testing.assert_close(gradients.losses_T, losses[[2, 0]].detach())
    if apart:
        torch.testing.assert_close(gradients.jacobian(), rows_TP[[2, 0]])
    weights_S, heads_S = torch.tensor([[0.5, -2.0], [3.0, 0.25]], dtype=torch.float64)
    gradients.apply(weights_S, heads_S)
    found = torch.cat([p.grad.flatten() for p in shared.values()])
    torch.testing.assert_close(found, weights_S @ rows_TP[[2, 0]])
    for number, parameter in enumerate(own.values()):
        expected = heads_S[0] * stacks[2][number] + heads_S[1] * stacks[0][number]
        torch.testing.assert_close(parameter.grad, expected)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("heads", "layer"), [(False, 2), (True, 1)])
def test_norms_of_the_last_shared_layer_are_those_of_one_pass_per_task(apart, heads, layer):
    network, inputs = network_of(heads=heads), inputs_of()
    weight = network.last_shared_weight()
    assert weight is network.layers.weights[layer]
    losses = losses_of(network(inputs))
    expected = [torch.autograd.grad(x, weight, retain_graph=True)[0].norm().item() for x in losses]
    gradients = stacked(network, inputs, apart=apart, last=weight)
    assert gradients.last_layer_norms().tolist() == pytest.approx(expected)
    assert network_of(separate=True).last_shared_weight() is None
