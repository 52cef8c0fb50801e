"""What every method keeps, whatever its file is called."""

import itertools
import math
import subprocess
import sys
from functools import partial

import pytest
import torch

import mtl_bench.methods
from mtl_bench.errors import ConfigError, NonFiniteError, RecordError, TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import UW
from mtl_bench.methods.base import Method
from mtl_bench.testing.methods import (
    GRAMS,
    advance,
    as_plain,
    check_answer,
    check_randomness,
    check_state,
    check_weights,
    never,
    rounds,
)
from tests.methods.streams import METHODS, Network, build

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
    ("pcgrad", {"permutation": "fixed", "part": "direction"}),
    ("pcgrad", {"part": "magnitude"}),
    ("gls", {"variant": "log"}),
    ("stch", {"warmup_epochs": 0, "mu": 0.01}),
    ("fairgrad", {"alpha": 0.5}),
    ("fairgrad", {"alpha": 20.0}),
    ("upgrad", {"reduction": "mean"}),
    ("nashmtl", {"max_norm": None}),
    ("nashmtl", {"update_weights_every": 3}),
    ("alignedmtl", {"scale_mode": "median"}),
    ("alignedmtl", {"scale_mode": "rmse"}),
    pytest.param(("torchjd", {"aggregator": "GradVac"})),
    ("dbmtl", {"beta": 0.0}),
    ("equal", {"normalize": "loss+"}),
    ("moco", {"variant": "libmtl", "rho": 0.1}),
    ("composed", {"weighting": "RLW", "combination": "GradDrop"}),
    ("composed", {"weighting": "STCH", "combination": "NashMTL"}),
    ("torchjd", {"aggregator": "Random"}),
    ("torchjd", {"aggregator": "PCDWeighting"}),
    ("torchjd", {"aggregator": "ExcessMTLWeighting"}),
]


def make(variant, num_tasks, **fields):
    name, extra = (variant, {}) if isinstance(variant, str) else variant
    return build(name, num_tasks, **(extra | fields))


BY_GRADIENTS = ("graddrop", "GradDrop", "PCDWeighting", "dbmtl", "moco")
BY_GRAM = [v for v in VARIANTS if not any(name in str(v) for name in BY_GRADIENTS)]


MAY_REFUSE = {
    "torchjd": lambda losses_T, gram_TT: True,  # some of its aggregators do
}


@pytest.mark.parametrize("variant", BY_GRAM, ids=str)
def test_weights_are_finite_for_every_gram(variant):
    name = variant if isinstance(variant, str) else variant[0]
    check_weights(partial(make, variant), MAY_REFUSE.get(name, never))


BOUNDED = ["mgda", "cagrad", "imtl", "nashmtl", "alignedmtl", "pcgrad", "config", "sdmgrad"]


@pytest.mark.parametrize("name", BOUNDED)
def test_no_gram_makes_an_update_out_of_proportion(name):
    for case, gram in GRAMS.items():
        weights_T = build(name, len(gram)).weights(torch.ones(len(gram)), gram.double())
        norm = (weights_T @ gram.double() @ weights_T).clamp(min=0).sqrt().item()
        largest = gram.diagonal().max().sqrt().item()
        bound = math.sqrt(len(gram)) if name == "nashmtl" else 2 * len(gram) * largest
        assert norm <= 1.01 * bound + 1e-300, case


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_numbers_that_are_not_finite_are_refused_by_name(variant, bad):
    method = make(variant, 3)
    if variant in ("ls", "stl", "rlw", "cosreg"):
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


BY_GRAM_ALONE = [*BOUNDED, "gradnorm", "gradvac", "fairgrad", "upgrad"]


@pytest.mark.parametrize("name", BY_GRAM_ALONE)
def test_an_inner_product_that_is_not_finite_is_refused_by_the_name_of_its_task(name):
    gram_TT = torch.eye(3, dtype=torch.float64)
    gram_TT[1, 2] = gram_TT[2, 1] = math.nan
    with pytest.raises(TrainingError, match="an inner product of task 1 is not finite"):
        build(name, 3).weights(torch.ones(3), gram_TT)


@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_saved_and_loaded_it_goes_on_bit_for_bit(variant, steps):
    check_state(partial(make, variant), steps)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_state_of_a_method_for_another_number_of_tasks_is_refused(variant):
    state = make(variant, 3).state_dict()
    with pytest.raises(RecordError, match="the saved one was built for 3 tasks, this one for 4"):
        make(variant, 4).load_state_dict(state)
    del state["_extra_state"]["num_tasks"]  # as in checkpoints of earlier versions
    make(variant, 3).load_state_dict(state)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_global_generators_are_left_alone_and_the_seed_decides(variant):
    check_randomness(partial(make, variant))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_answers_have_their_shape_and_the_same_diagnostics(variant):
    check_answer(partial(make, variant))


@pytest.mark.parametrize(
    "variant", [*VARIANTS, ("taskforce", {"transition": "same_batch"})], ids=str
)
def test_it_goes_on_the_same_whatever_the_default_device_is(variant):
    games = [make(variant, 3), "cpu"], [make(variant, 3), "meta"]
    for losses_T, grads_TP in rounds(7, 3):
        found = []
        for method, device in games:
            shared = torch.zeros(grads_TP.shape[1], requires_grad=True)
            first, second = (
                TaskGradients([*(factor * losses_T + grads_TP @ shared)], [shared])
                for factor in (1.0, 0.9)
            )
            with torch.device(device):
                info = method.step(first, epoch=0)
                if method.looks_again:
                    method.after_update(second)
            found.append([info.weights_T.tolist(), shared.grad.tolist()])
        assert found[0] == found[1]


def test_sums_of_losses_read_none():
    """A component whose losses may be negative takes them as they are."""
    assert not any(build(name, 3).reads_losses for name in ("ls", "stl", "cosreg"))


def test_messages_name_tasks_by_their_names():
    method = build("mgda", 3)
    method.task_names = ("red", "green", "blue")
    losses_T, grads_TP = next(rounds(1, 3))
    grads_TP[1, 0] = math.nan
    with pytest.raises(NonFiniteError, match="the loss of task green is not finite"):
        advance(method, losses_T, grads_TP)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_who_says_that_it_reads_no_losses_makes_the_same_update_whatever_they_are(variant):
    one, other = make(variant, 3), make(variant, 3)
    for number, (losses_T, grads_TP) in enumerate(rounds(12, 3), start=1):
        first_P = advance(one, losses_T, grads_TP)[1]
        second_P = advance(other, torch.tensor([1.0, number, 0.5]) * losses_T, grads_TP)[1]
        assert one.reads_losses or torch.equal(first_P, second_P)
        if number % 4 == 0:
            one.end_epoch()
            other.end_epoch()


def test_an_epoch_that_ends_between_saving_and_loading_is_noticed():
    saved, loaded = build("stch", 3), build("stch", 3)
    assert "current_epoch" not in saved.state_dict()["_extra_state"]
    saved.step(Network().gradients(), epoch=4)
    loaded.load_state_dict(saved.state_dict())
    loaded.step(Network().gradients(), epoch=5)
    assert int(loaded.epoch) == 1


def test_by_default_a_method_has_nothing_to_say_of_an_update():
    assert build("ls", 3).after_step([torch.ones(1)]) == {}


def test_who_looks_again_must_have_been_shown_the_batch_before_the_next_step():
    network, method = Network(), build("famo", 3)
    for _ in range(2):
        method.step(network.gradients())
        assert method.awaits_update
        with pytest.raises(ConfigError, match=r"FAMO looks at every batch again: call after_upd"):
            method.step(network.gradients())
        method.after_update(network.gradients())
        assert not method.awaits_update


ZEROS = [
    *(v for v in VARIANTS if v != "stl"),
    ("uw", {"learning_rate": 2.5}),
    ("imtl", {"variant": "hybrid", "learning_rate": 2.5}),
    ("igbv2", {"base_epoch": 0, "random_epochs": 1, "update_after_epochs": 1, "update_every": 4}),
    ("taskforce", {"transition": "same_batch"}),
]
"""Learned numbers move by their rate at every step of a task that is fitted: those of 2.5 come as
far in 60 steps as those of the default rates in 6,000 and 150,000."""


@pytest.mark.parametrize("variant", ZEROS, ids=str)
def test_a_task_that_is_fitted_exactly_stops_no_method(variant):
    network, method = Network(), make(variant, 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def fitted():
        gradients = network.gradients()
        losses = list(gradients.losses)
        losses[1] = losses[1] * 0
        return TaskGradients(losses, gradients.shared, gradients.own)

    for number in range(60):
        info = method.step_with(fitted())
        assert info.weights_T.float().isfinite().all()
        assert all(math.isfinite(value) for value in info.diagnostics.values())
        assert all(p.grad.isfinite().all() for p in network.parameters())
        optimizer.step()
        if method.looks_again:
            assert all(map(math.isfinite, method.after_update(fitted()).values()))
        if number % 10 == 9:
            method.end_epoch()
    assert all(math.isfinite(x) for x in flat(as_plain(method.state_dict())))


def flat(values):
    """Return the numbers in nested lists and dictionaries."""
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list):
        return [number for value in values for number in flat(value)]
    return [values] if isinstance(values, float) else []


DETERMINISTIC = [
    *("ls", "uw", "dwa", "mgda", "cagrad", "imtl", "nashmtl", "alignedmtl", "gls", "stch", "famo"),
    *("gradnorm", "fairgrad", "upgrad", "config"),
]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_tasks_in_another_order_get_the_same_weights(name):
    order = torch.tensor([2, 0, 3, 1])
    one, other = build(name, 4), build(name, 4)
    for losses_T, grads_TP in rounds(4, 4):
        gram_TT = grads_TP.double() @ grads_TP.double().T
        weights_T = one.weights(losses_T, gram_TT)
        permuted_T = other.weights(losses_T[order], gram_TT[order][:, order])
        torch.testing.assert_close(permuted_T, weights_T[order])


SCALE_FREE = [
    *("mgda", "cagrad", "imtl", "alignedmtl", "pcgrad"),
    *("gradnorm", "gradvac", "upgrad", "config", "sdmgrad"),
]


@pytest.mark.parametrize("name", SCALE_FREE)
def test_weights_ignore_the_scale_of_all_gradients_together(name):
    losses_T, grads_TP = next(rounds(1, 4))
    gram_TT = grads_TP.double() @ grads_TP.double().T
    reference_T = build(name, 4).weights(losses_T, gram_TT)
    for scale in (1e-200, 1e-20, 1e20, 1e200):
        torch.testing.assert_close(build(name, 4).weights(losses_T, scale * gram_TT), reference_T)


def test_no_two_methods_are_the_same():
    names = [m if isinstance(m, str) else m.values[0] for m in METHODS]
    names.remove("stl")  # differs from ls in the network
    names.remove("torchjd")  # another implementation of upgrad
    names.remove("cosreg")  # differs from ls by the curvature of losses, and these have none
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
    info = method.step(network.gradients(), epoch=0)
    shared, heads = network.shared_gradient(), network.head_gradients()
    assert shared.isfinite().all()
    assert all(head.isfinite().all() for head in heads)
    if name == "cosreg":  # its penalty moves every parameter, see test_cosreg.py
        return
    weights_T = info.weights_T
    if name == "igbv2":  # minimises sum_t w_t log L_t
        weights_T = weights_T / network.gradients().losses_T
    jacobian_TP = network.gradients().jacobian()
    if name != "graddrop":
        rows_TP = jacobian_TP
        if name in ("equal", "taskforce"):
            rows_TP = torch.nn.functional.normalize(jacobian_TP)
        expected = weights_T.float() @ rows_TP
        if name == "nashmtl" and protocol == "nash":
            expected = expected / expected.norm()
        torch.testing.assert_close(shared, expected, rtol=1e-4, atol=1e-5)
    if name == "dbmtl":  # descends the logarithms
        weights_T = 1 / network.gradients().losses_T
    elif name == "composed":  # of the losses that uncertainties weigh
        weights_T = UW(3, form="regression").weights(network.gradients().losses_T)
    elif getattr(method, "head_weighting", None) == "unweighted":
        weights_T = torch.ones(3)
    reference = Network()
    gradients = reference.gradients()
    gradients.apply(torch.ones(3), weights_T)
    for head, expected in zip(heads, reference.head_gradients(), strict=True):
        torch.testing.assert_close(head, expected, rtol=1e-4, atol=1e-6)


CLASSES = {
    *("STL", "LS", "RLW", "DWA", "UW", "MGDA", "GradDrop", "PCGrad", "CAGrad", "IMTL"),
    *("NashMTL", "AlignedMTL", "TorchJD", "TaskForce", "GLS", "STCH", "FAMO", "GradNorm"),
    *("GradVac", "FairGrad", "UPGrad", "ConFIG", "SDMGrad", "DBMTL", "MoCo", "Composed", "CosReg"),
    "Equal",
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
