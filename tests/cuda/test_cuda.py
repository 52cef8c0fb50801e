"""A GPU computes what the CPU computes, and runs on it are kept and continued."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from mtl_bench.algorithms.supervised.evaluation import evaluate
from mtl_bench.records.writer import RunRecord
from mtl_bench.runtime.processor import processor_name
from mtl_bench.training.run import run
from tests.cuda.conftest import ASKED
from tests.end_to_end.processes import ENVIRONMENT
from tests.methods.streams import METHODS, Network, build
from tests.training.runs import (
    SMALLEST,
    STEPS,
    DropoutMPNN,
    Watcher,
    config_of,
    parameters_of,
    smallest,
    stop_at,
    train,
    trainer_of,
)

CPU = torch.device("cpu")
TOTAL = 3 * STEPS
DATASETS = sorted(SMALLEST)

LOOKS = {
    "losses": ("method=ls",),
    "Gram matrix": ("method=mgda",),
    "gradients": ("method=graddrop",),
    "Gram matrix, streamed": ("method=mgda", "gradients.backend=streamed"),
    "Gram matrix, batched": ("method=mgda", "gradients.backend=batched"),
    "representation": ("method=mgda", "gradients.level=representation"),
    "a second look": ("method=taskforce", "method.transition=same_batch", "method.batch_size=4"),
    "networks of their own": ("method=stl",),
}
"""What a method can ask of an update, and the ways to get it."""


@pytest.mark.skipif(ASKED, reason="a GPU is asked for")
def test_no_other_test_and_none_of_its_processes_sees_a_gpu():
    assert torch.cuda.device_count() == 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ENVIRONMENT["CUDA_VISIBLE_DEVICES"] == ""


def close(found, expected, rel=1e-3):
    torch.testing.assert_close(found.cpu(), expected, rtol=rel, atol=1e-5)


def steps_of(name, device):
    """Let a method make steps with the small network; return each step's weights and gradients."""
    method, network = build(name, 3), Network().to(device)
    network.inputs, network.targets = network.inputs.to(device), network.targets.to(device)
    for _ in range(6):
        info = method.step_with(network.gradients())
        assert info.weights_T.device == CPU
        yield info.weights_T, network.shared_gradient(), network.head_gradients()


@pytest.mark.parametrize("name", METHODS)
def test_steps_of_every_method_are_those_of_the_cpu(name, device):
    rows_TP = Network().gradients().jacobian()
    for one, other in zip(steps_of(name, CPU), steps_of(name, device), strict=True):
        close(other[0], one[0])
        for found, expected in zip(other[2], one[2], strict=True):
            assert found.device.type == device.type
            close(found, expected)
        shared_P = other[1].cpu()
        if name == "graddrop":  # its draws are those of the device: one sign or the other
            signs_2P = torch.stack([rows_TP.clamp(min=0).sum(0), rows_TP.clamp(max=0).sum(0)])
            assert (shared_P - signs_2P).abs().amin(dim=0).max() < 1e-5
        else:
            close(shared_P, one[1])


def first_update(config):
    """Return the trainer after one update, and its result."""
    with RunRecord(Path(config["paths"]["results"])) as record:
        trainer = trainer_of(config, record, Watcher())
        batches = trainer.algorithm.data.train_batches(1, pin=trainer.device.type == "cuda")
        each = config["trainer"]["accumulate"]
        (component,) = trainer.algorithm.components
        return trainer, trainer.update(component, [next(batches) for _ in range(each)])


def whole_gradient(trainer):
    """Return what the update wrote for all parameters, on the CPU."""
    return torch.cat([p.grad.flatten().cpu() for p in parameters_of(trainer)])


@pytest.mark.parametrize(
    ("looks", "accumulate"),
    [(looks, each) for looks in LOOKS for each in (1, 2) if (looks, each) != ("representation", 2)],
)
def test_the_first_update_is_that_of_the_cpu(looks, accumulate, device, tiny_data, tmp_path):
    def update(where):
        words = (*LOOKS[looks], f"trainer.accumulate={accumulate}", f"trainer.device={where}")
        return first_update(config_of(tiny_data, tmp_path / str(where), *words))

    (one, expected), (other, found) = update(CPU), update(device)
    assert {p.device.type for p in other.algorithm.network.parameters()} == {device.type}
    close(found.losses_S, expected.losses_S)
    if expected.gram_SS is not None:
        scale = expected.gram_SS.diagonal().max()
        close(found.gram_SS / scale, expected.gram_SS / scale)
    if looks != "gradients":  # GradDrop draws on the device
        gradient_P, again_P = whole_gradient(one), whole_gradient(other)
        assert (again_P - gradient_P).norm() < 1e-3 * gradient_P.norm()
    assert all(p.isfinite().all() for p in other.algorithm.network.parameters())


@pytest.mark.parametrize("dataset", DATASETS)
def test_losses_and_metrics_of_every_data_set_are_those_of_the_cpu(
    dataset, device, small_data, tmp_path
):
    def look(where):
        words = ("method=ls", f"trainer.device={where}")
        config = smallest(dataset, small_data, tmp_path / str(where), *words)
        with RunRecord(Path(config["paths"]["results"])) as record:
            trainer = trainer_of(config, record, Watcher())
            batches = trainer.algorithm.data.evaluation_batches("test")
            algorithm = trainer.algorithm
            metrics = evaluate(algorithm.network, batches, algorithm.tasks, trainer.device)
            trainer.algorithm.network.train()
            (batch, *_) = trainer.algorithm.data.train_batches(1)
            return metrics, algorithm.components[0].gradients([batch]).losses_T

    (expected, expected_T), (found, found_T) = look(CPU), look(device)
    close(found_T, expected_T)
    for task, values in expected.items():
        assert found[task] == pytest.approx(values, rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("looks", ["losses", "Gram matrix", "gradients"])
def test_bf16_is_close_to_float32_and_keeps_parameters_wide(looks, device, tiny_data, tmp_path):
    words = (*LOOKS[looks], "trainer.precision=bf16", f"trainer.device={device}")
    trainer, found = first_update(config_of(tiny_data, tmp_path / "narrow", *words))
    _, expected = first_update(config_of(tiny_data, tmp_path / "wide", *LOOKS[looks]))
    close(found.losses_S, expected.losses_S, rel=5e-2)
    assert {p.dtype for p in trainer.algorithm.network.parameters()} == {torch.float32}
    assert all(p.isfinite().all() for p in trainer.algorithm.network.parameters())


COMPILED = [looks for looks in LOOKS if not looks.endswith(("streamed", "batched"))]


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize(
    ("dataset", "looks", "accumulate"),
    [
        *(
            ("multimnist", looks, each)
            for looks in COMPILED
            for each in (1, 2)
            if (looks, each) != ("representation", 2)
        ),
        *(("qm9", looks, 1) for looks in ("losses", "Gram matrix")),
    ],
)
def test_compiled_trainings_are_the_plain_ones(
    dataset, looks, accumulate, mode, device, small_data, mixed_data, tmp_path
):
    """CUDA graphs are recorded after the first updates and replayed from then on."""
    words = (*LOOKS[looks], f"trainer.device={device}", f"trainer.accumulate={accumulate}")
    words = (*words, "dataset.train_size=16", "dataset.batch_size=4", "trainer.epochs=3")
    data = small_data
    if dataset == "qm9":
        data, words = mixed_data, (*words, "dataset.padded=true")
    mode = mode if device.type == "cuda" else "null"  # inductor takes minutes on a CPU
    plain, compiled = (
        train(smallest(dataset, data, tmp_path / way, *words, f"trainer.compile={each}"))
        for way, each in (("plain", "null"), ("compiled", mode))
    )
    for name, values in plain.steps.items():
        if name.startswith("loss/"):
            assert compiled.steps[name] == pytest.approx(values, rel=1e-2)


def drawing(data, results, *overrides):
    """Return the configuration of a training whose network draws at every step."""
    config = config_of(data, results, *overrides)
    config["architecture"]["_target_"] = f"{DropoutMPNN.__module__}.{DropoutMPNN.__name__}"
    return config


@pytest.mark.parametrize("looks", ["losses", "a second look"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_stopped_and_resumed_is_uninterrupted(looks, accumulate, device, tiny_data, tmp_path):
    """Workers bring the batches of one of the parts."""
    words = (*LOOKS[looks], f"trainer.device={device}", f"trainer.accumulate={accumulate}")
    straight = train(drawing(tiny_data, tmp_path / "straight", *words))
    config = drawing(tiny_data, tmp_path / "stopped", *words)
    config["trainer"]["workers"] = 2
    assert train(config, stop_at(3)).selected is None
    config["trainer"]["workers"] = 0
    end = train(config)
    assert end.steps["step"] == list(range(1, TOTAL // accumulate + 1))
    for name, values in straight.steps.items():
        if name.startswith("loss/"):
            assert end.steps[name] == pytest.approx(values, rel=2e-3)
    assert end.selected["metrics"].keys() == straight.selected["metrics"].keys()


def test_what_was_begun_on_one_device_goes_on_on_the_other(device, tiny_data, tmp_path):
    words = ("method=taskforce", "method.batch_size=4")
    config = config_of(tiny_data, tmp_path, *words, f"trainer.device={device}")
    assert train(config, stop_at(STEPS + 1)).selected is None
    config["trainer"]["device"] = "cpu"
    assert train(config, stop_at(2)).selected is None
    config["trainer"]["device"] = str(device)
    end = train(config)
    assert end.steps["step"] == list(range(1, TOTAL + 1))
    assert all(math.isfinite(x) for x in end.steps["loss/mu"])


def test_a_run_says_what_it_ran_on(device, tiny_data, tmp_path):
    words = ("method=mgda", f"trainer.device={device}", "trainer.determinism=off")
    path = run(config_of(tiny_data, tmp_path, *words)).path
    summary = json.loads((path / "summary.json").read_text())
    environment = json.loads((path / "environment.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", TOTAL)
    assert torch.device(summary["device"]).type == device.type
    assert summary["peak_memory_bytes"] > 0
    expected = torch.cuda.get_device_name() if device.type == "cuda" else processor_name()
    assert environment["device"] == expected
