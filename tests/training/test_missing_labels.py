"""Batches that lack labels of some tasks."""

import math

import pytest
import torch

from mtl_bench import build_method
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.config.build import build_data
from mtl_bench.config.groups import describe_group
from mtl_bench.errors import TrainingError
from tests.algorithms.test_batch_gradients import CPU, NAMES, TASKS, molecules, mpnn, norms, points
from tests.training.runs import Altered, config_of, differences, stop_at, train

METHODS = sorted(describe_group("method"))


def without(batch, *tasks):
    """Return the batch as if these tasks had never been labelled."""
    for task in tasks:
        del batch.targets[task]
    return batch


def method_of(name):
    return build_method(name, 3, dataset="qm9", profile="smoke")


def step(method, network, *batches):
    gradients = BatchGradients(network, TASKS, method, CPU)(batches)
    return gradients, method.step_with(gradients)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("build", [mpnn, norms])
def test_a_task_without_labels_takes_no_part_in_the_step(name, build):
    batch_of = {mpnn: molecules, norms: points}[build]
    network, method = build(), method_of(name)
    step(method, network, batch_of(0))
    gradients, info = step(method, network, without(batch_of(1), "b"))
    assert gradients.tasks == (0, 2)
    assert info.weights_T.shape == (3,)
    assert info.weights_T[1] == 0
    assert info.weights_T[[0, 2]].isfinite().all()
    if gradients.known_gram_TT is not None:
        assert gradients.known_gram_TT.shape == (2, 2)
    assert all(p.grad is None for p in network.task_parameters("b"))
    for task in ("a", "c"):
        assert all(p.grad is not None for p in network.task_parameters(task))
    _, info = step(method, network, batch_of(2))
    assert info.weights_T.isfinite().all()


@pytest.mark.parametrize("name", ["mgda", "cagrad", "nashmtl", "alignedmtl", "imtl"])
def test_the_others_are_weighed_as_if_there_were_no_more(name):
    batch = without(molecules(0), "b")
    method, pair = method_of(name), build_method(name, 2, dataset="qm9", profile="smoke")
    gradients, info = step(method, mpnn(), batch)
    expected_T = pair.weights(gradients.losses_T, gradients.gram())
    if name in ("mgda", "cagrad"):  # scaled by the number of all tasks
        expected_T = expected_T * 3 / 2
    torch.testing.assert_close(info.weights_T[[0, 2]], expected_T)


@pytest.mark.parametrize("name", ["uw", "dwa"])
def test_what_is_learnt_about_a_task_rests_with_it(name):
    method = method_of(name)
    for seed in range(3):
        step(method, mpnn(), molecules(seed))
    before = {k: v.clone() for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
    step(method, mpnn(), without(molecules(3), "b"))
    after = method.state_dict()
    key = {"uw": "log_variances.values_T", "dwa": "window_WT"}[name]
    if name == "uw":
        assert after[key][1] == before[key][1]
        assert (after[key] != before[key]).tolist() == [True, False, True]
    else:
        assert after[key][-1, 1] == before[key][-1, 1]


@pytest.mark.parametrize("name", ["ls", "mgda"])
def test_accumulated_means_are_over_the_batches_with_labels(name):
    network, method = mpnn(), method_of(name)
    batches = [molecules(0), without(molecules(1), "b"), without(molecules(2), "a", "b")]
    gradients, _ = step(method, network, *batches)
    twin = mpnn()
    expected = []
    for task, sources in zip(TASKS, ((0, 1), (0,), (0, 1, 2)), strict=True):
        losses = [
            task.loss(twin(b)[task.name], b.targets[task.name]) for b in map(molecules, sources)
        ]
        expected.append(torch.stack(losses).mean())
    torch.testing.assert_close(gradients.losses_T, torch.stack(expected).detach())
    if name == "mgda":
        shared = twin.shared_parameters()
        rows = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in expected]
        rows_TP = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
        torch.testing.assert_close(gradients.jacobian(), rows_TP, rtol=1e-3, atol=1e-6)


def test_a_batch_without_any_label_is_refused():
    with pytest.raises(TrainingError, match="a batch has no labels of any task"):
        step(method_of("ls"), mpnn(), without(molecules(0), *NAMES))


def thin_out(epoch, number, batch):
    """Take away 30 % of the labels, a task's for the whole batch."""
    generator = torch.Generator().manual_seed(1000 * epoch + number)
    missing = torch.rand(len(batch.targets), generator=generator) < 0.3
    for task, gone in zip(list(batch.targets), missing.tolist(), strict=True):
        if gone:
            del batch.targets[task]


@pytest.mark.parametrize("name", METHODS)
def test_training_with_labels_missing_stops_and_goes_on_bit_for_bit(name, tiny_data, tmp_path):
    def run(folder, *observers):
        config = config_of(tiny_data, tmp_path / folder, f"method={name}", "trainer.epochs=2")
        for observer in observers:
            train(config, observer, data=Altered(build_data(config), thin_out))
        return train(config, data=Altered(build_data(config), thin_out))

    straight = run("straight")
    missing = [math.isnan(x) for k, v in straight.steps.items() if k.startswith("loss/") for x in v]
    assert 0.15 < sum(missing) / len(missing) < 0.45
    assert differences(straight._asdict(), run("stopped", stop_at(3))._asdict()) == []


@pytest.mark.parametrize(("labelled", "untrained"), [((), ["mu"]), ((2,), [])])
def test_a_task_without_a_label_in_the_whole_run_is_told(labelled, untrained, tiny_data, tmp_path):
    def unlabel(epoch, number, batch):
        if epoch not in labelled or number > 0:
            without(batch, "mu")

    config = config_of(tiny_data, tmp_path, "method=ls", "trainer.epochs=2")
    data = Altered(build_data(config), unlabel)
    assert train(config, data=data).selected["untrained"] == untrained
