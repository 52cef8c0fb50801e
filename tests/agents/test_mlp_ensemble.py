import pytest
import torch
from torch.nn import functional as F

from mtl_bench.agents.mlp_ensemble import MLPEnsemble
from mtl_bench.agents.normalized_ensemble import NormalizedMLPEnsemble

T, B, INPUTS, H = 3, 7, 4, 5


def build(seed=0, **kwargs):
    return MLPEnsemble(T, INPUTS, H, torch.Generator().manual_seed(seed), **kwargs)


def one_by_one(flat_TP, inputs_TBI, m):
    """The same networks, one after the other, from slices counted by hand."""
    outputs = []
    for row, inputs in zip(flat_TP, inputs_TBI, strict=True):
        w1, b1, w2, b2, w3, b3 = row.split([INPUTS * H, H, H * H, H, H * m, m])
        hidden = F.relu(inputs @ w1.view(INPUTS, H) + b1)
        hidden = F.relu(hidden @ w2.view(H, H) + b2)
        outputs.append(hidden @ w3.view(H, m) + b3)
    return torch.stack(outputs)


@pytest.mark.parametrize("m", [1, 3])
def test_outputs_and_gradients_against_autograd(m):
    networks = build(output_dim=m).double()
    inputs_TBI = torch.randn(T, B, INPUTS, generator=torch.Generator().manual_seed(1)).double()
    upstream_TBM = torch.randn(T, B, m, generator=torch.Generator().manual_seed(2)).double()
    flat_TP = networks.flat_TP.detach().clone().requires_grad_()
    expected_TBM = one_by_one(flat_TP, inputs_TBI, m)
    run = networks(inputs_TBI)
    torch.testing.assert_close(run.outputs_TBM, expected_TBM.detach())
    (expected_TP,) = torch.autograd.grad((expected_TBM * upstream_TBM).sum(), [flat_TP])
    torch.testing.assert_close(networks.parameter_gradients(run, upstream_TBM), expected_TP)
    assert not run.outputs_TBM.requires_grad
    if m == 1:
        assert run.outputs_TB.shape == (T, B)


def test_initial_parameters_follow_torch_linear():
    networks = MLPEnsemble(50, INPUTS, 64, torch.Generator().manual_seed(0), output_bound=3e-3)
    layers = networks.view(networks.flat_TP)
    bounds = [INPUTS**-0.5, INPUTS**-0.5, 1 / 8, 1 / 8, 3e-3, 3e-3]
    for part, bound in zip(layers, bounds, strict=True):
        assert part.abs().max() <= bound
        assert part.abs().max() > 0.8 * bound
    weights = layers.weight2_THH
    assert weights.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=0.01)
    assert not torch.equal(weights[0], weights[1])


def test_parameters_come_from_the_generator_alone():
    state = torch.get_rng_state()
    assert torch.equal(build(3).flat_TP, build(3).flat_TP)
    assert not torch.equal(build(3).flat_TP, build(4).flat_TP)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("kind", "first"), [("batch_norm", 1), ("batch_norm", 0), ("layer_norm", 0)]
)
def test_normalised_inputs_against_autograd(kind, first):
    generator = torch.Generator().manual_seed(0)
    networks = NormalizedMLPEnsemble(T, INPUTS, H, generator, kind, first).double()
    own_TP = networks.flat_TP[:, -2 * (INPUTS - first) :]
    assert own_TP.unique().tolist() == [0, 1]  # a shift of 0 and a scale of 1
    own_TP += torch.randn(own_TP.shape, generator=generator).double()
    inputs_TBI = 3 * torch.randn(T, B, INPUTS, generator=generator).double() + 1
    upstream_TB1 = torch.randn(T, B, 1, generator=generator).double()
    flat_TP = networks.flat_TP.detach().clone().requires_grad_()
    leaves_TBI = inputs_TBI.clone().requires_grad_()
    normal = []
    for row, inputs in zip(flat_TP, leaves_TBI, strict=True):
        scale, shift = row[-2 * (INPUTS - first) :].split(INPUTS - first)
        values = inputs[:, first:]
        if kind == "batch_norm":
            values = F.batch_norm(values, None, None, scale, shift, training=True, eps=1e-5)
        else:
            values = F.layer_norm(values, (INPUTS,), scale, shift, eps=1e-5)
        normal.append(torch.cat([inputs[:, :first], values], dim=1))
    expected = one_by_one(flat_TP[:, : -2 * (INPUTS - first)], torch.stack(normal), 1)
    run = networks(inputs_TBI)
    torch.testing.assert_close(run.outputs_TBM, expected.detach())
    (parameters_TP, leaf_TBI) = torch.autograd.grad(
        (expected * upstream_TB1).sum(), [flat_TP, leaves_TBI]
    )
    torch.testing.assert_close(networks.parameter_gradients(run, upstream_TB1), parameters_TP)
    torch.testing.assert_close(networks.input_gradients(run, upstream_TB1), leaf_TBI)
