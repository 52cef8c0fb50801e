"""How often a step waits for the device that it computes on."""

import pytest
import torch

from mtl_bench.config.build import build_algorithm, build_data
from mtl_bench.config.groups import describe_group
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import TrainingError
from mtl_bench.records.writer import RunRecord
from mtl_bench.training.checkpoint import Checkpoints
from mtl_bench.training.trainer import Trainer, TrainerSettings
from tests.accelerator import DEVICE, StandIn, values_of
from tests.training.runs import Altered, Watcher, parameters_of, read_steps, smallest

STEPS = 8
AFAR = ("trainer.epochs=1", f"dataset.train_size={4 * STEPS}", "trainer.log_every=4")
NOTHING_READ = ("ls", "rlw", "stl")
ALWAYS = ("cosreg", "gradnorm", "nashmtl", "pcgrad", "taskforce", "uw")
MORE = {"dbmtl": 3, "famo": 2, "moco": 2}
"""Those that look at more than losses and Gram matrix, and how often they wait."""


def train(tmp_path, *words, alter=lambda *_: None, device=DEVICE):
    """Train an epoch on a stand-in device; return the waits of every step, and the trainer."""
    config = smallest("multimnist", tmp_path, tmp_path, *AFAR, *words)
    digest = config_hash(config)
    waits = []

    def count(step):
        waits.append(sum(stand_in.waits.values()))

    with RunRecord(tmp_path / digest) as record, StandIn() as stand_in:
        trainer = Trainer(
            build_algorithm(config, Altered(build_data(config), alter), device),
            TrainerSettings.of(config["trainer"]),
            record,
            Checkpoints(record.checkpoints, config, digest),
            device,
            [Watcher(count)],
        )
        for optimizer in trainer.algorithm.components[0].optimizers:
            for group in optimizer.param_groups:
                group["fused"] = False  # the stand-in has no fused kernels
        trainer.train_epoch()
        trainer.settle()
    for log in trainer.step_logs.values():
        log.flush()
    return [after - before for before, after in zip([0, *waits], waits, strict=False)], trainer


def waiting_methods():
    """All but GradDrop, which draws on the device: the stand-in has no generator."""
    for method in sorted({*describe_group("method")} - {"graddrop", *NOTHING_READ}):
        marks = () if method in ALWAYS else pytest.mark.nightly
        yield pytest.param(method, marks=marks)


@pytest.mark.parametrize("method", [*waiting_methods()])
def test_a_step_waits_once_for_its_device(tmp_path, method):
    waits, _ = train(tmp_path, f"method={method}", "trainer.log_every=1")
    assert waits == STEPS * [MORE.get(method, 1)]


@pytest.mark.parametrize("method", NOTHING_READ)
def test_a_method_that_reads_nothing_waits_for_the_log_alone(tmp_path, method):
    assert train(tmp_path, f"method={method}")[0] == [0, 0, 0, 1, 0, 0, 0, 1]
    always, _ = train(tmp_path, f"method={method}", "trainer.log_every=1")
    assert always == STEPS * [1]


def test_batches_that_are_averaged_cost_no_further_wait(tmp_path):
    assert train(tmp_path, "method=nashmtl", "trainer.accumulate=2")[0] == STEPS // 2 * [1]


def test_leaving_a_step_out_waits_for_losses_and_norm(tmp_path):
    waits, _ = train(tmp_path, "method=ls", "trainer.on_nonfinite=skip")
    assert waits == STEPS * [2]


@pytest.mark.parametrize("method", ["ls", "nashmtl"])
def test_it_learns_and_logs_what_the_cpu_does(tmp_path, method):
    _, there = train(tmp_path / "there", f"method={method}")
    _, here = train(tmp_path / "here", f"method={method}", device=torch.device("cpu"))
    assert there.progress.mean_losses() == pytest.approx(here.progress.mean_losses())
    logged, expected = read_steps(there.record.steps), read_steps(here.record.steps)
    assert logged["step"] == expected["step"] == [4, 8]
    assert logged["loss/left"] == pytest.approx(expected["loss/left"])
    for a, b in zip(parameters_of(there), parameters_of(here), strict=True):
        torch.testing.assert_close(values_of(a), b.detach())


@pytest.mark.parametrize("method", ["ls", "nashmtl"])
def test_an_error_that_comes_late_names_its_step(tmp_path, method):
    def spoil(epoch, number, batch):
        if number == 1:
            batch.images_BCHW.fill_(torch.inf)

    with pytest.raises(TrainingError, match="the loss of task left is nan at epoch 1, step 2;"):
        train(tmp_path, f"method={method}", alter=spoil)
