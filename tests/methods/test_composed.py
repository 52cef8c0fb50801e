"""A loss weighting and a gradient method in one: the same as one after the other by hand."""

import pytest
import torch

from mtl_bench.config.build import build_run_method
from mtl_bench.config.compose import compose_config
from mtl_bench.errors import ConfigError
from mtl_bench.gradients import TaskGradients, WeightedGradients
from mtl_bench.methods import DWA, RLW, UW, Composed, GradDrop, PCGrad
from mtl_bench.testing.methods import rounds
from tests.methods.streams import Network


def by_hand(network, weights_T):
    """Return the gradients of the weighted losses, differentiated anew."""
    gradients = network.gradients()
    losses = [w * loss for w, loss in zip(weights_T.float(), gradients.losses, strict=True)]
    return TaskGradients(losses, gradients.shared, gradients.own)


def written(network):
    return torch.cat([network.shared_gradient(), *network.head_gradients()])


@pytest.mark.parametrize("name", ["PCGrad", "GradDrop", "NashMTL", "IMTL"])
def test_a_composition_is_the_one_after_the_other(name):
    fields = {"variant": "hybrid"} if name == "IMTL" else {}
    method = Composed(3, seed=4, combination=name, combination_fields=fields)
    weighting, combination = UW(3), type(method.combination)(3, seed=5, **fields)
    for _ in range(3):
        network, other = Network(), Network()
        method.step(network.gradients())
        weights_T = weighting.weights(other.gradients().losses_T)
        combination.step(by_hand(other, weights_T))
        torch.testing.assert_close(written(network), written(other), rtol=1e-4, atol=1e-6)


def test_a_composition_weighs_the_tasks_that_have_labels():
    method = Composed(3, weighting="DWA", weighting_fields={"window": 1})
    weighting, surgery = DWA(3, window=1), PCGrad(2)

    def gradients(losses_T, grads_TP):
        theta = torch.zeros(grads_TP.shape[1], requires_grad=True)
        losses = [losses_T[t] + grads_TP[t] @ theta for t in (0, 2)]
        return TaskGradients(losses, [theta], tasks=[0, 2])

    for game in rounds(3, 3):
        found_T = method.step_with(gradients(*game)).weights_T
        w_S = weighting.step_with(gradients(*game)).weights_T[[0, 2]]
        v_S = surgery.combine(WeightedGradients(gradients(*game), w_S)).weights_T
        torch.testing.assert_close(found_T[[0, 2]], v_S * w_S)
        assert found_T[1] == 0


def test_a_composition_counts_epochs_if_its_weighting_does():
    method = Composed(2, weighting="DWA", weighting_fields={"variant": "epoch"})
    alone, surgery = DWA(2, variant="epoch"), PCGrad(2, seed=1)
    gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
    for epoch in range(4):
        losses_T = torch.tensor([1.0, 1.0 + epoch**2])
        w_T = alone.weights(losses_T)
        expected_T = w_T * surgery.weights(losses_T, gram_TT * w_T[:, None] * w_T)
        torch.testing.assert_close(method.weights(losses_T, gram_TT), expected_T)
        method.end_epoch()
        alone.end_epoch()
    assert (w_T - 1).abs().min() > 0.01
    assert method.counts_epochs
    assert not Composed(2).counts_epochs


def test_its_two_methods_draw_different_numbers():
    method = Composed(2, seed=3, weighting="RLW", combination="GradDrop")
    assert isinstance(method.weighting, RLW)
    assert isinstance(method.combination, GradDrop)
    draws = [torch.rand(3, generator=part.generator) for part in method.children()]
    assert not torch.equal(*draws)
    assert method.needs == "grads"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("method.weighting=PCGrad", "method.weighting=PCGrad"),
        ("method.combination_fields={permutation: often}", "method.combination_fields.permutation"),
        ("method.weighting_fields={learning_rate: -1.0}", "method.weighting_fields.learning_rate"),
        ("method.weighting_fields={lr: 1.0}", "unknown key method.weighting_fields.lr"),
    ],
)
def test_fields_are_checked_by_the_constructors_of_the_two(words, message):
    with pytest.raises(ConfigError, match=message):
        compose_config(["dataset=qm9", "method=composed", "profile=smoke", words])


@pytest.mark.parametrize("protocol", ["nash", "aligned"])
def test_pcgrad_on_uw_has_what_the_protocol_has_of_both(protocol):
    common = ("dataset=nyuv2", "profile=smoke", f"protocol={protocol}")

    def built(*words):
        return build_run_method(compose_config([*common, *words]), 3)

    both, uw, pcgrad = (
        built(word) for word in ("ablation=uw_pcgrad", "method=uw", "method=pcgrad")
    )
    assert isinstance(both, Composed)
    for _ in range(3):
        losses_T = torch.tensor([0.5, 2.0, 1.0])
        assert torch.equal(both.weighting.weights(losses_T), uw.weights(losses_T))
    assert both.combination.permutation == pcgrad.permutation
    assert both.combination.head_weighting == pcgrad.head_weighting == "unweighted"
