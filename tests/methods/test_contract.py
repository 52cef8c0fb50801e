"""What every method keeps, whatever its file is called."""

import io
import itertools
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

import mtl_bench.methods
from mtl_bench.errors import TrainingError
from mtl_bench.methods.base import Method
from tests.methods.streams import (
    METHODS,
    ZOO,
    Network,
    advance,
    as_plain,
    build,
    needs_qpsolvers,
    rounds,
)

VARIANTS = [
    *METHODS,
    ("dwa", {"variant": "epoch"}),
    ("dwa", {"window": 2}),
    ("uw", {"form": "classification"}),
    *(("mgda", {"normalize": kind}) for kind in ("l2", "loss", "loss+")),
    ("pcgrad", {"permutation": "shared", "reduction": "mean"}),
    ("cagrad", {"c": 0.0}),
    ("cagrad", {"c": 1.5, "rescale": 2, "scale": "one"}),
    ("imtl", {"variant": "hybrid", "learning_rate": 0.05}),
    ("nashmtl", {"max_norm": None}),
    ("alignedmtl", {"scale_mode": "median"}),
    ("alignedmtl", {"scale_mode": "rmse"}),
    pytest.param(("torchjd", {"aggregator": "GradVac"})),
    ("torchjd", {"aggregator": "Random"}),
    ("torchjd", {"aggregator": "PCDWeighting"}),
    ("torchjd", {"aggregator": "ExcessMTLWeighting"}),
]


def make(variant, num_tasks, **fields):
    name, extra = (variant, {}) if isinstance(variant, str) else variant
    return build(name, num_tasks, **(extra | fields))


BY_GRAM = [v for v in VARIANTS if "graddrop" not in str(v) and "PCDWeighting" not in str(v)]


@pytest.mark.parametrize("variant", BY_GRAM, ids=str)
def test_weights_are_finite_for_every_gram(variant):
    for case, gram in ZOO.items():
        method = make(variant, len(gram))
        for step in range(6):
            losses_T = torch.full((len(gram),), [0.0, 1e-8, 1.0, 1e8][step % 4])
            try:
                weights_T = method.weights(losses_T, gram.double())
            except TrainingError as error:
                name = type(method).__name__
                assert name == "TorchJD" or (name == "IGBv2" and losses_T[0] == 0), case
                assert name.lower() in str(error).lower()  # noqa: PT017
                continue
            assert weights_T.shape == (len(gram),), case
            assert weights_T.isfinite().all(), case
            assert all(math.isfinite(value) for value in method.diagnostics.values()), case
            method.end_epoch()


@pytest.mark.parametrize("name", ["mgda", "cagrad", "imtl", "nashmtl", "alignedmtl", "pcgrad"])
def test_no_gram_makes_an_update_out_of_proportion(name):
    for case, gram in ZOO.items():
        weights_T = build(name, len(gram)).weights(torch.ones(len(gram)), gram.double())
        norm = (weights_T @ gram.double() @ weights_T).clamp(min=0).sqrt().item()
        largest = gram.diagonal().max().sqrt().item()
        bound = math.sqrt(len(gram)) if name == "nashmtl" else 2 * len(gram) * largest
        assert norm <= 1.01 * bound + 1e-300, case


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_numbers_that_are_not_finite_are_refused_by_name(variant, bad):
    method = make(variant, 3)
    if method.needs == "losses" and isinstance(variant, str) and variant in ("ls", "stl", "rlw"):
        pytest.skip("looks at no number")
    losses_T, grads_TP = next(rounds(1, 3))
    grads_TP[1, 0] = bad
    if method.needs == "losses":
        losses_T[1] = bad
    before = repr(method.state_dict())
    with pytest.raises(TrainingError, match=r"task 1.*finite|task 1: loss"):
        advance(method, losses_T, grads_TP)
    if "torchjd" not in str(variant):
        assert repr(method.state_dict()) == before


@pytest.mark.parametrize("before", [0, 1, 7])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_saved_and_loaded_it_goes_on_bit_for_bit(variant, before):
    original = make(variant, 3)
    stream = list(rounds(before + 9, 3))
    for step, game in enumerate(stream[:before]):
        advance(original, *game)
        if step % 3 == 2:
            original.end_epoch()
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    restored = make(variant, 3)
    advance(restored, *stream[-1])  # a past of its own, to be forgotten
    restored.load_state_dict(torch.load(file, weights_only=True))
    for step, game in enumerate(stream[before:]):
        (info, gradient), (again, same) = advance(original, *game), advance(restored, *game)
        assert torch.equal(info.weights_T, again.weights_T)
        assert torch.equal(gradient, same)
        assert info.diagnostics == again.diagnostics
        if step % 3 == 2:
            original.end_epoch()
            restored.end_epoch()
    assert as_plain(original.state_dict()) == as_plain(restored.state_dict())


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_global_generators_are_left_alone_and_the_seed_decides(variant):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    runs = []
    for _ in range(2):
        method = make(variant, 3)
        runs.append([advance(method, *game)[1].tolist() for game in rounds(3, 3)])
    assert runs[0] == runs[1]
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_step_brings_the_same_diagnostics(variant):
    method = make(variant, 3)
    stream = [*rounds(3, 3), (torch.ones(3), torch.zeros(3, 40))]
    keys = [set(advance(method, *game)[0].diagnostics) for game in stream]
    assert keys == [keys[0]] * len(keys)


DETERMINISTIC = ["ls", "uw", "dwa", "mgda", "cagrad", "imtl", "nashmtl", "alignedmtl"]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_tasks_in_another_order_get_the_same_weights(name):
    order = torch.tensor([2, 0, 3, 1])
    one, other = build(name, 4), build(name, 4)
    for losses_T, grads_TP in rounds(4, 4):
        gram_TT = grads_TP.double() @ grads_TP.double().T
        weights_T = one.weights(losses_T, gram_TT)
        permuted_T = other.weights(losses_T[order], gram_TT[order][:, order])
        torch.testing.assert_close(permuted_T, weights_T[order])


@pytest.mark.parametrize("name", ["mgda", "cagrad", "imtl", "alignedmtl", "pcgrad"])
def test_weights_ignore_the_scale_of_all_gradients_together(name):
    losses_T, grads_TP = next(rounds(1, 4))
    gram_TT = grads_TP.double() @ grads_TP.double().T
    reference_T = build(name, 4).weights(losses_T, gram_TT)
    for scale in (1e-20, 1e20):
        torch.testing.assert_close(build(name, 4).weights(losses_T, scale * gram_TT), reference_T)


@needs_qpsolvers
def test_no_two_methods_are_the_same():
    names = [m if isinstance(m, str) else m.values[0] for m in METHODS]
    names.remove("stl")  # differs from ls in the network
    updates = {}
    for name in names:
        method = build(name, 3, **({"window": 2} if name == "dwa" else {}))
        gradient = torch.cat([advance(method, *game)[1] for game in rounds(6, 3)])
        updates[name] = gradient / gradient.norm()
    for one, other in itertools.combinations(names, 2):
        assert (updates[one] - updates[other]).norm() > 1e-3, (one, other)


@pytest.mark.parametrize("protocol", ["nash", "aligned"])
@pytest.mark.parametrize("name", METHODS)
def test_on_a_real_network_the_update_is_what_the_weights_say(name, protocol):
    network = Network()
    method = build(name, 3, protocol)
    info = method.step(network.gradients())
    shared, heads = network.shared_gradient(), network.head_gradients()
    assert shared.isfinite().all()
    assert all(head.isfinite().all() for head in heads)
    weights_T = info.weights_T
    if name == "igbv2":  # minimises sum_t w_t log L_t
        weights_T = weights_T / network.gradients().losses_T
    jacobian_TP = network.gradients().jacobian()
    if name not in ("graddrop", "taskforce"):
        expected = weights_T.float() @ jacobian_TP
        if name == "nashmtl" and protocol == "nash":
            expected = expected / expected.norm()
        torch.testing.assert_close(shared, expected, rtol=1e-4, atol=1e-5)
    if getattr(method, "head_weighting", None) == "unweighted":
        weights_T = torch.ones(3)
    reference = Network()
    gradients = reference.gradients()
    gradients.apply(torch.ones(3), weights_T)
    for head, expected in zip(heads, reference.head_gradients(), strict=True):
        torch.testing.assert_close(head, expected, rtol=1e-4, atol=1e-6)


CLASSES = {
    *("STL", "LS", "RLW", "DWA", "UW", "MGDA", "GradDrop", "PCGrad", "CAGrad", "IMTL"),
    *("NashMTL", "AlignedMTL", "TorchJD", "TaskForce"),
}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_classes_are_found_by_name(name):
    found = getattr(mtl_bench.methods, name)
    assert issubclass(found, Method)
    assert found.__name__ == name


def test_a_wrong_name_is_an_attribute_error():
    for name in ("Nothing", "mgda2", "Ls"):
        with pytest.raises(AttributeError, match=name):
            getattr(mtl_bench.methods, name)


def test_importing_the_package_imports_no_torch():
    code = "import sys, mtl_bench.methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
