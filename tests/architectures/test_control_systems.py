"""The networks of PaCo, D-Grad(A), FiLM, soft modularisation and CARE."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from mtl_bench.architectures.control.base import Shape
from mtl_bench.architectures.control.care import CARE
from mtl_bench.architectures.control.dgrad import DGrad
from mtl_bench.architectures.control.film import FiLM
from mtl_bench.architectures.control.metadata import task_vectors, tfidf
from mtl_bench.architectures.control.mlp import MLP
from mtl_bench.architectures.control.paco import PaCo, rows_between
from mtl_bench.architectures.control.softmodular import SoftModular
from mtl_bench.config.build import build
from mtl_bench.config.compose import compose_config
from mtl_bench.environments.metaworld import ALL_TASKS, MT10
from mtl_bench.errors import ConfigError
from mtl_bench.gradients import StackedGradients, copies_for_tasks

TASKS = ("standard", "heavy", "long")
SAMPLES, OBSERVATION, ACTION = 5, 4, 2
POLICY = Shape(OBSERVATION, 2 * ACTION, output_bound=0.5, observation=OBSERVATION)
CRITICS = POLICY._replace(inputs=OBSERVATION + ACTION, outputs=1, members=2)

SMALL = {
    "paco": (PaCo, {"sets": 2, "hidden": (8, 7), "identical_sets": False}),
    "paco_identical": (PaCo, {"sets": 3, "hidden": (8, 7), "normalize": True}),
    "paco_output": (PaCo, {"sets": 2, "hidden": (8,), "composed": "output"}),
    "paco_none": (PaCo, {"hidden": (8,), "composed": "none"}),
    "dgrad": (DGrad, {"hidden": (8, 7)}),
    "dgrad_identity": (DGrad, {"hidden": (8, 7), "matrices": "identity", "task_id": False}),
    "film": (FiLM, {"encoder": (5, 6), "embedding": 3, "hidden": (8,)}),
    "softmodular": (
        SoftModular,
        {"layers": 3, "modules": 2, "units": 5, "base": (6, 6), "gating": (7, 7)},
    ),
    "care": (CARE, {"encoders": 3, "units": 5, "hidden": (8,)}),
    "care_learned": (CARE, {"encoders": 3, "units": 5, "hidden": (8,), "metadata": "learned"}),
}
NAMES = pytest.mark.parametrize("name", SMALL)


def network_of(name, shape=CRITICS):
    torch.manual_seed(1)
    kind, fields = SMALL[name]
    network = kind(TASKS, shape, **fields).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)  # no bias and no routing at zero
    return network


def inputs_of(shape=CRITICS, tasks=TASKS):
    torch.manual_seed(2)
    return torch.randn(len(tasks), SAMPLES, shape.inputs, dtype=torch.float64)


def losses_of(outputs_ETBO):
    scales = torch.tensor([1.0, -3.0, 20.0], dtype=torch.float64)
    return scales * outputs_ETBO.square().mean(dim=(0, 2, 3)) + outputs_ETBO.sum(dim=(0, 2, 3))


@NAMES
@pytest.mark.parametrize("shape", [POLICY, CRITICS], ids=["policy", "critics"])
def test_one_backward_pass_finds_what_one_per_task_finds(name, shape):
    network, inputs = network_of(name, shape), inputs_of(shape)
    shared, own = network.shared_parameters(), network.stacked_parameters()
    copies = copies_for_tasks(shared, len(TASKS))
    losses = losses_of(functional_call(network, copies, (inputs,)))
    gradients = StackedGradients(losses, [*shared.values()], [*own.values()], [*copies.values()])
    plain = losses_of(network(inputs))
    torch.testing.assert_close(losses, plain)
    rows, stacks = [], []
    for t in range(len(TASKS)):
        found = torch.autograd.grad(plain[t], [*shared.values(), *own.values()], retain_graph=True)
        rows.append(torch.cat([g.flatten() for g in found[: len(shared)]]))
        stacks.append(found[len(shared) :])
    torch.testing.assert_close(gradients.jacobian(), torch.stack(rows))
    weights_T = torch.tensor([0.5, 0.0, -2.0], dtype=torch.float64)
    gradients.apply(weights_T, weights_T)
    for number, parameter in enumerate(own.values()):
        expected = sum(w * stack[number] for w, stack in zip(weights_T, stacks, strict=True))
        torch.testing.assert_close(parameter.grad, expected)


@NAMES
def test_a_task_reaches_its_own_rows_alone(name):
    network, inputs = network_of(name), inputs_of()
    losses_of(network(inputs))[1].backward()
    for parameter in network.stacked_parameters().values():
        assert parameter.shape[1] == len(TASKS)
        assert not parameter.grad[:, [0, 2]].any()
        assert parameter.grad[:, 1].any()


@NAMES
def test_members_and_tasks_do_not_see_each_other(name):
    network, inputs = network_of(name), inputs_of()
    before = network(inputs)
    assert before.shape == (2, 3, SAMPLES, 1)
    inputs[1] += 1
    after = network(inputs)
    torch.testing.assert_close(before[:, [0, 2]], after[:, [0, 2]], rtol=0, atol=1e-13)
    assert (before[:, 1] - after[:, 1]).abs().max() > 1e-6


def linear(values, weight, bias):
    return nn.functional.linear(values, weight.T, bias.flatten())


def test_paco_is_the_network_with_composed_parameters():
    network, inputs = network_of("paco"), inputs_of()
    expected = torch.empty(2, 3, SAMPLES, 1, dtype=torch.float64)
    for e in range(2):
        for t in range(3):
            shares, values = network.compositions[0, t], inputs[t]
            for layer, (sets, biases) in enumerate(
                zip(network.weights, network.biases, strict=True)
            ):
                weight = sum(w * part for w, part in zip(shares, sets[e], strict=True))
                bias = sum(w * part for w, part in zip(shares, biases[e], strict=True))
                values = linear(values.relu() if layer else values, weight, bias)
            expected[e, t] = values
    torch.testing.assert_close(network(inputs), expected)


def as_plain(paco, heads=False, separate=False, task_id=False):
    """Return the MLP that the special case of a PaCo network must be equal to."""
    hidden = [weight.shape[-1] for weight in paco.weights[:-1]]
    plain = MLP(
        TASKS, CRITICS._replace(separate=separate), heads=heads, hidden=hidden, task_id=task_id
    ).double()
    pairs = zip(
        [*plain.layers.weights, *plain.layers.biases], [*paco.weights, *paco.biases], strict=True
    )
    with torch.no_grad():
        for target, source in pairs:
            target.copy_(source.reshape(target.shape))
    return plain


def test_one_set_with_weight_one_is_multi_task_sac():
    torch.manual_seed(0)
    paco = PaCo(TASKS, CRITICS, sets=1, hidden=(8, 7)).double()
    with torch.no_grad():
        paco.compositions.fill_(1)
    torch.testing.assert_close(paco(inputs_of()), as_plain(paco)(inputs_of()))


def test_one_hot_compositions_are_single_task_sac():
    torch.manual_seed(0)
    fields = {"sets": 3, "hidden": (8, 7), "compositions": "one_hot", "identical_sets": False}
    paco = PaCo(TASKS, CRITICS, **fields).double()
    torch.testing.assert_close(paco(inputs_of()), as_plain(paco, separate=True)(inputs_of()))


def test_composed_output_with_one_hot_compositions_is_multi_head_sac():
    torch.manual_seed(0)
    fields = {"sets": 3, "hidden": (8, 7), "compositions": "one_hot", "identical_sets": False}
    paco = PaCo(TASKS, CRITICS, composed="output", **fields).double()
    assert [weight.dim() for weight in paco.weights] == [3, 3, 4]
    torch.testing.assert_close(paco(inputs_of()), as_plain(paco, heads=True)(inputs_of()))


def test_nothing_composed_is_the_mlp_that_sees_the_task():
    paco = network_of("paco_none")
    assert not paco.stacked_parameters()
    torch.testing.assert_close(paco(inputs_of()), as_plain(paco, task_id=True)(inputs_of()))


def test_policy_and_critics_share_compositions_unless_told_not_to():
    critics = PaCo(TASKS, CRITICS, hidden=(8,))
    shape = POLICY._replace(critics=critics)
    assert PaCo(TASKS, shape, hidden=(8,)).compositions is critics.compositions
    alone = PaCo(TASKS, shape, hidden=(8,), share_compositions=False)
    assert alone.compositions is not critics.compositions
    plain = PaCo(TASKS, CRITICS, hidden=(8,), critics="none")
    only = PaCo(TASKS, POLICY._replace(critics=plain), hidden=(8,), critics="none")
    assert not plain.stacked_parameters()
    assert [*only.stacked_parameters()] == ["compositions"]


def test_identical_sets_begin_equal_and_differ_after_a_step():
    torch.manual_seed(0)
    network = PaCo(TASKS, CRITICS, sets=3, hidden=(8,))
    assert all(torch.equal(w[:, 0], w[:, 2]) for w in network.weights)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    network(inputs_of().float()).square().sum().backward()
    optimizer.step()
    assert not any(torch.equal(w[:, 0], w[:, 2]) for w in network.weights)


def test_a_reset_leaves_all_other_rows_as_they_are():
    network = network_of("paco")
    before = {name: p.clone() for name, p in network.named_parameters()}
    shares = torch.tensor([[0.0, 0, 0], [0.25, 0, 0.75], [0, 0, 0]], dtype=torch.float64)
    network.reset_tasks(torch.tensor([False, True, False]), shares)
    after = dict(network.named_parameters())
    rows = before.pop("compositions")[0]
    assert torch.equal(after["compositions"][0, [0, 2]], rows[[0, 2]])
    torch.testing.assert_close(after["compositions"][0, 1], 0.25 * rows[0] + 0.75 * rows[2])
    assert all(torch.equal(p, after[name]) for name, p in before.items())


def test_rows_between_tasks_halve_the_arcs_between_neighbours():
    angles = torch.tensor([0.3, 2.1, -2.0, 1.0])
    lengths = torch.tensor([1.0, 2.0, 3.0, 2.0])
    rows = lengths[:, None] * torch.stack((angles.cos(), angles.sin()), dim=1)
    found = rows_between(rows)
    turns = torch.tensor([0.3, 1.0, 2.1, 2 * torch.pi - 2.0, 2 * torch.pi + 0.3])
    expected = (turns[1:] + turns[:-1]) / 2
    torch.testing.assert_close(
        found, 2.0 * torch.stack((expected.cos(), expected.sin()), dim=1), rtol=1e-4, atol=1e-5
    )


def test_a_network_with_a_tasks_own_row_is_that_tasks():
    network, inputs = network_of("paco"), inputs_of()
    own = network.with_rows(network.compositions[0, [1]].detach())
    torch.testing.assert_close(own(inputs[[1]]), network(inputs)[:, [1]])
    assert network.compositions.shape[1] == 3


def test_dgrad_is_a_perceptron_with_matrices_between():
    network, inputs = network_of("dgrad"), inputs_of()
    ids = torch.eye(3, dtype=torch.float64)
    expected = torch.empty(2, 3, SAMPLES, 1, dtype=torch.float64)
    for e in range(2):
        for t in range(3):
            values = torch.cat([inputs[t], ids[t].expand(SAMPLES, -1)], dim=1)
            for layer in range(3):
                weight, bias = network.layers.weights[layer][e], network.layers.biases[layer][e]
                values = linear(values, weight, bias)
                if layer < 2:
                    matrix, shift = network.matrices[layer][e, t], network.shifts[layer][e, t]
                    values = linear(values.relu(), matrix, shift)
            expected[e, t] = values
    torch.testing.assert_close(network(inputs), expected)


def mean_cosine(network, inputs):
    """Return the mean |cos| between the gradients of two tasks, of critics that learn noise."""
    shared = network.shared_parameters()
    copies = copies_for_tasks(shared, inputs.shape[0])
    targets = torch.randn(*inputs.shape[:2])
    outputs = functional_call(network, copies, (inputs,)).squeeze(3)
    losses = (outputs - targets).square().mean(dim=(0, 2))
    gradients = StackedGradients(
        losses, [*shared.values()], [*network.stacked_parameters().values()], [*copies.values()]
    )
    gram = gradients.gram()
    lengths = gram.diagonal().sqrt()
    cosines = (gram / lengths.outer(lengths)).numpy()
    return float(np.mean([abs(cosines[i, j]) for i, j in combinations(range(len(gram)), 2)]))


def test_dgrad_makes_task_gradients_nearly_orthogonal_at_initialisation():
    """Critics of MT10: .33 to .54 in the plain network of the same depth, .04 in D-Grad(A)."""
    shape, cosines = Shape(43, 1, 2, output_bound=3e-3), {MLP: [], DGrad: []}
    for seed in range(3):
        torch.manual_seed(seed)
        inputs = torch.randn(10, 32, 43)
        for kind, fields in ((MLP, {"heads": False}), (DGrad, {})):
            network = kind(MT10, shape, hidden=(160, 160, 160), **fields)
            cosines[kind].append(mean_cosine(network, inputs))
    assert max(cosines[DGrad]) < 0.3 * min(cosines[MLP])


def test_film_scales_and_shifts_each_layer():
    network, inputs = network_of("film"), inputs_of()
    expected = torch.empty(2, 3, SAMPLES, 1, dtype=torch.float64)
    for e in range(2):
        for t in range(3):
            row = network.embeddings[e, t, 0]
            numbers = row @ network.modulation.weights[0][e] + network.modulation.biases[0][e, 0]
            values = inputs[t]
            for layer in range(2):
                weight, bias = network.encoder.weights[layer][e], network.encoder.biases[layer][e]
                values = linear(values, weight, bias)
                values = values if layer else values.relu()
                values = numbers[layer] * values + numbers[2 + layer]
            values = torch.cat([values, row.expand(SAMPLES, -1)], dim=1)
            values = linear(values, network.layers.weights[0][e], network.layers.biases[0][e])
            last = network.layers.weights[1][e], network.layers.biases[1][e]
            expected[e, t] = linear(values.relu(), *last)
    torch.testing.assert_close(network(inputs), expected)


def test_film_begins_with_encoders_that_see_the_observation():
    shape = Shape(39, 4, 2, output_bound=3e-3)
    for seed in range(3):
        torch.manual_seed(seed)
        seen = []
        network = FiLM(MT10, shape, hidden=(8,))
        network.layers.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))  # noqa: B023
        network(torch.randn(10, 64, 39))
        deviations = seen[0][..., :50].std(dim=2)
        assert deviations.amin(dim=2).min() > 0.01, "units that are the same whatever is seen"


def test_soft_modularisation_routes_between_modules():
    network, inputs = network_of("softmodular"), inputs_of()

    def run(layers, e, values):
        for layer, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
            values = linear(values.relu() if layer else values, weight[e], bias[e])
        return values

    expected = torch.empty(2, 3, SAMPLES, 1, dtype=torch.float64)
    for e in range(2):
        for t in range(3):
            base = run(network.base, e, inputs[t])
            task = network.task_rows[e, t, 0] + network.task_bias[e, 0]
            gate = run(network.gating, e, (base * task).relu())
            into, found = [base.relu()] * 2, []
            for layer in range(3):
                outputs = [
                    linear(x, network.weights[layer][e, n], network.biases[layer][e, n])
                    for n, x in enumerate(into)
                ]
                inner = gate
                if layer:
                    inner = run(network.skips[layer - 1], e, torch.cat(found, dim=1)) * gate
                routed = run(network.routing[layer], e, inner.relu())
                shares = routed.view(SAMPLES, -1, 2).softmax(dim=2)
                found.append(shares.flatten(1))
                into = [
                    sum(shares[:, j, [i]] * outputs[i] for i in range(2)).relu()
                    for j in range(shares.shape[1])
                ]
            expected[e, t] = run(network.output, e, into[0])
    torch.testing.assert_close(network(inputs), expected)


def test_soft_modularisation_begins_with_equal_routes():
    torch.manual_seed(0)
    network = SoftModular(TASKS, POLICY)
    routed = network.routing[0](torch.rand(1, 3, SAMPLES, 256))
    shares = routed.unflatten(3, (2, 2)).softmax(dim=4)
    assert (shares - 0.5).abs().max() < 0.2


@pytest.mark.parametrize("name", ["care", "care_learned"])
def test_care_mixes_encoders_by_the_context(name):
    network, inputs = network_of(name), inputs_of()
    encoder = network.encoder

    def run(layers, row, values):
        for layer, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
            values = linear(values.relu() if layer else values, weight[row], bias[row])
        return values

    expected = torch.empty(2, 3, SAMPLES, 1, dtype=torch.float64)
    for t in range(3):
        known = encoder.embeddings[0, t, 0] if name == "care_learned" else encoder.vectors_TD[t]
        context = run(encoder.context, 0, known if name == "care_learned" else known.relu())
        shares = run(encoder.attention, 0, context).softmax(dim=0)
        observations, actions = inputs[t].split([OBSERVATION, ACTION], dim=1)
        mixed = sum(a * run(encoder.encoders, m, observations) for m, a in enumerate(shares))
        values = torch.cat([mixed, context.expand(SAMPLES, -1), actions], dim=1)
        for e in range(2):
            expected[e, t] = run(network.layers, e, values)
    torch.testing.assert_close(network(inputs), expected)


def test_the_policy_reads_the_critics_encoder_and_never_moves_it():
    critics = network_of("care")
    policy = network_of("care", POLICY._replace(critics=critics))
    inputs = inputs_of(POLICY)
    before = policy(inputs)
    losses_of(before).sum().backward()
    assert not any(name.startswith("encoder") for name, _ in policy.named_parameters())
    assert all(p.grad is None for p in critics.parameters())
    with torch.no_grad():
        critics.encoder.encoders.weights[0].add_(1)
    assert not torch.equal(policy(inputs), before)


def test_attention_passes_no_gradient_to_the_context():
    network = network_of("care")
    encoder = network.encoder
    with torch.no_grad():  # the trunk sees nothing of the context, so that attention alone does
        network.layers.weights[0][:, 5:10] = 0
    network(inputs_of()).sum().backward()
    assert all(not p.grad.any() for p in encoder.context.parameters())
    assert all(p.grad.any() for p in encoder.attention.parameters())


def dense(*sizes):
    """Return the parameters of layers with these sizes."""
    return sum(i * o + o for i, o in pairwise(sizes))


HIDDEN = (400, 400, 400)
COUNTS = {  # of inputs and outputs of one network: of MT10's policy 39 and 8, of a critic 43 and 1
    "ls": lambda i, o: dense(i + 10, *HIDDEN, o),
    "stl": lambda i, o: 10 * dense(i, *HIDDEN, o),
    "wide": lambda i, o: dense(i + 10, 907, 907, 907, o),
    "multihead": lambda i, o: dense(i + 10, *HIDDEN) + 10 * dense(400, o),
    "film": lambda i, o: 10 * 50 + dense(50, 6) + dense(i, 50, 50, 50) + dense(100, *HIDDEN, o),
    "dgrad_a": lambda i, o: dense(i + 10, 160, 160, 160, o) + 3 * 10 * dense(160, 160),
    "paco": lambda i, o: 5 * dense(i, *HIDDEN, o),
    "paco_k3": lambda i, o: 3 * dense(i, *HIDDEN, o),
    "paco_k8": lambda i, o: 8 * dense(i, *HIDDEN, o),
    "paco_one_hot": lambda i, o: 10 * dense(i, *HIDDEN, o),
    "paco_output": lambda i, o: dense(i, *HIDDEN) + 5 * dense(400, o),
    "softmodular": lambda i, o: (
        dense(i, 400, 400) + dense(10, 400) + dense(400, 256, 256)
        + dense(256, 4) + dense(4, 256) + dense(256, 2)
        + 2 * dense(400, 256) + 2 * dense(256, 256) + dense(256, o)
    ),
    "softmodular_deep": lambda i, o: (
        dense(i, 400, 400) + dense(10, 400) + dense(400, 256, 256)
        + 3 * dense(256, 16) + dense(256, 4) + dense(16, 256) + dense(32, 256) + dense(48, 256)
        + 4 * dense(400, 128) + 3 * 4 * dense(128, 128) + dense(128, o)
    ),
}  # fmt: skip
ROWS = {"paco": 5, "paco_k3": 3, "paco_k8": 8, "paco_one_hot": 10, "paco_output": 5}


@pytest.mark.parametrize("system", COUNTS)
def test_parameters_at_full_size_are_those_of_the_papers_networks(system):
    """Policy and twin critics of MT10; PaCo's compositions count for both."""
    config = compose_config(["dataset=mt10", f"ablation={system}", "profile=paper"])
    section = config["architecture"]
    separate = system == "stl"
    policy = Shape(39, 8, separate=separate, observation=39)
    critics = build(section, tasks=MT10, shape=policy._replace(inputs=43, outputs=1, members=2))
    actor = build(section, tasks=MT10, shape=policy._replace(critics=critics))
    own = 10 * ROWS.get(system, 0)
    counts = [sum(p.numel() for p in network.parameters()) for network in (actor, critics)]
    assert counts == [COUNTS[system](39, 8) + own, 2 * COUNTS[system](43, 1) + own]


def test_the_wide_control_has_the_parameters_of_paco():
    for inputs, outputs in ((39, 8), (43, 1)):
        wide, paco = COUNTS["wide"](inputs, outputs), COUNTS["paco"](inputs, outputs)
        assert wide == pytest.approx(paco, rel=0.003)


def test_every_task_of_ours_has_a_sentence():
    vectors = task_vectors(ALL_TASKS)
    assert vectors.shape == (50, 64)
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors.round(5), axis=0)) == 50


def test_sentences_with_common_words_are_closer():
    vectors = dict(zip(MT10, task_vectors(MT10), strict=True))

    def cosine(one, other):
        one, other = vectors[one], vectors[other]
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    for one, near, far in (
        ("window-open", "window-close", "reach"),
        ("drawer-open", "door-open", "push"),
        ("push", "pick-place", "drawer-close"),
    ):
        assert cosine(one, near) > cosine(one, far) + 0.1
    assert abs(tfidf({"a": "one two", "b": "two three"}).mean(axis=0)).max() < 1e-6


def test_vectors_and_sentences_of_a_file(tmp_path):
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps({"a": [1, 2, 3], "b": [3, 2, 1]}))
    assert task_vectors(("b", "a"), str(file)).tolist() == [[3, 2, 1], [1, 2, 3]]
    with pytest.raises(ConfigError, match="says nothing of c"):
        task_vectors(("a", "c"), str(file))
    file.write_text(json.dumps({"a": [1, 2, 3], "b": [3, 2]}))
    with pytest.raises(ConfigError, match="a sentence, or a vector"):
        task_vectors(("a", "b"), str(file))
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"tasks\.json"):
        task_vectors(("a",), str(file))
