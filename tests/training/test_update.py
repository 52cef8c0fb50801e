"""Updates that are refused, and what is told of them."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from mtl_bench.algorithms.base import Component
from mtl_bench.config.build import build_data
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import NonFiniteError, TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods.base import Method
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.training.run import run
from mtl_bench.training.summary import summarize
from mtl_bench.training.update import (
    Update,
    check_finite,
    check_finite_state,
    find_nonfinite,
)
from tests.training.runs import (
    METHODS,
    STEPS,
    Watcher,
    config_of,
    parameters_of,
    read_steps,
    trainer_of,
)


@pytest.fixture
def trainer(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["taskforce"])
    with RunRecord(tmp_path / "record") as record:
        yield trainer_of(config, record, Watcher())


def test_the_first_number_that_is_not_finite_is_named():
    with pytest.raises(NonFiniteError, match=r"^the loss of task b is nan$") as info:
        check_finite({"a": 1.0, "b": math.nan, "c": math.inf}, "the loss of task {} is {}")
    assert info.value.recoverable
    check_finite({"a": 1.0}, "{} {}")


def test_a_state_is_searched_to_its_leaves():
    state = {"a": [torch.ones(2), {"b": (1, torch.tensor([0.0, math.inf]))}], "c": torch.ones(1)}
    assert find_nonfinite(state) == "a.1.b.1"
    assert find_nonfinite({"a": torch.tensor([1, 2]), "b": math.nan, "c": "x"}) is None
    with pytest.raises(TrainingError, match=r"a\.1\.b\.1 is no longer finite"):
        check_finite_state(state)


def agent_parameter(trainer):
    return next(p for name, p in trainer.algorithm.method.named_parameters() if "critic" in name)


def skip_nonfinite(trainer):
    trainer.settings = replace(trainer.settings, on_nonfinite="skip")


def train_steps(trainer, count):
    batch = next(trainer.algorithm.data.train_batches(1))
    for _ in range(count):
        trainer.train_step([batch])


def test_an_agent_that_is_not_finite_ends_the_run_even_where_batches_are_skipped(trainer):
    skip_nonfinite(trainer)
    with torch.no_grad():
        agent_parameter(trainer).fill_(math.nan)
    with pytest.raises(TrainingError, match="critic_loss of TaskForce is nan at epoch") as info:
        train_steps(trainer, STEPS + 1)
    assert "skip" not in str(info.value)
    assert trainer.incident()["update"]["diagnostics"].keys() >= {"critic_loss", "actor_loss"}


def test_no_checkpoint_is_made_of_a_state_that_is_not_finite(trainer):
    trainer.save()
    before = {path.name: path.read_bytes() for path in trainer.record.checkpoints.iterdir()}
    with torch.no_grad():
        agent_parameter(trainer).fill_(math.inf)
    with pytest.raises(TrainingError, match=r"^method\..*critic.* is no longer finite"):
        trainer.save()
    after = {path.name: path.read_bytes() for path in trainer.record.checkpoints.iterdir()}
    assert before == after


def test_running_statistics_come_back_when_an_update_is_left_out(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"], "trainer.on_nonfinite=skip")
    with RunRecord(tmp_path / "record") as record:
        trainer = trainer_of(config, record, Watcher())
        norm = nn.BatchNorm1d(1)
        trainer.algorithm.network.add_module("norm", norm)

        def spoil(gradient):
            norm(torch.arange(5.0)[:, None])
            return gradient * math.nan

        hook = parameters_of(trainer)[0].register_hook(spoil)
        train_steps(trainer, 1)
        hook.remove()
        assert trainer.progress.skipped == 1
        assert norm.num_batches_tracked == 0
        assert torch.equal(norm.running_mean, torch.zeros(1))


@pytest.mark.parametrize("method", ["ls", "mgda", "taskforce"])
def test_failed_json_tells_all_that_was_known(method, tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, f"method={method}", "optimizer.lr=1e30")
    with pytest.raises(TrainingError, match=r"mtl-bench replay .*seed0"):
        run(config)
    record = record_path(config, config_hash(config))
    failure = json.loads((record / "FAILED.json").read_text())
    assert (failure["kind"], failure["epoch"]) == ("TrainingError", 1)
    assert failure["batch"] == failure["step"]
    update, data = failure["update"], build_data(config)
    assert update["samples"] == [data.sample_names(1, failure["batch"])]
    assert update["losses"].keys() == set(data.task_names)
    assert {"nan", "inf"} & {str(value) for value in update["losses"].values()}


def test_a_failure_after_the_update_blames_no_update(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"])

    def fail(line):
        raise TrainingError("after the update")

    with RunRecord(tmp_path / "record") as record:
        trainer = trainer_of(config, record, Watcher(epoch=fail))
        with pytest.raises(TrainingError, match="after the update"):
            trainer.run()
        assert trainer.progress.step == STEPS
        assert "update" not in trainer.incident()


def test_a_failure_after_a_batch_that_was_left_out_does_not_blame_it(trainer):
    skip_nonfinite(trainer)
    hook = parameters_of(trainer)[0].register_hook(lambda gradient: gradient * math.nan)
    train_steps(trainer, 1)
    hook.remove()
    assert trainer.progress.skipped == 1
    assert "update" not in trainer.incident()


def test_the_parameter_whose_gradient_is_not_finite_is_named(trainer):
    name = next(
        name for name, _ in trainer.algorithm.network.named_parameters() if name.startswith("heads")
    )
    hook = trainer.algorithm.network.get_parameter(name).register_hook(
        lambda gradient: gradient * math.inf
    )
    with pytest.raises(TrainingError, match=f"^the gradient of {name} is not finite at epoch 1"):
        train_steps(trainer, 1)
    hook.remove()


def test_a_weight_that_float32_does_not_hold_is_named():
    class Huge(Method):
        def weights(self, losses_T, gram_TT=None):
            return torch.tensor([1.0, 1e39], dtype=torch.float64)

    def gradients(_):
        shared = torch.ones(1, requires_grad=True)
        return TaskGradients([shared.sum(), 0 * shared.sum()], [shared], [[], []])

    component = Component("", nn.Identity(), gradients, Huge(2), [])
    with pytest.raises(NonFiniteError, match=r"^the weight of task b is inf$"):
        Update("ab")(component, None)


def test_what_a_second_look_finds_is_not_skipped(tiny_data, tmp_path):
    words = ("method.transition=same_batch", "trainer.on_nonfinite=skip", "optimizer.lr=1e30")
    config = config_of(tiny_data, tmp_path, *METHODS["taskforce"], *words)
    with pytest.raises(TrainingError, match=r"^task \w+: loss .* at epoch 1, step 1; ") as info:
        run(config)
    assert "skip" not in str(info.value)


def test_names_of_samples_are_those_of_the_batch(tiny_data, tmp_path):
    data = build_data(config_of(tiny_data, tmp_path, *METHODS["ls"]))
    for number, batch in enumerate(data.train_batches(2)):
        names = data.sample_names(2, number)
        expected = data.targets[[int(name) for name in names]]
        deviation, mean = torch.std_mean(data.targets, dim=0)
        standard = ((expected - mean) / deviation).float()
        found = torch.stack([batch.targets[task] for task in data.task_names], dim=1)
        assert torch.equal(found.reshape(standard.shape), standard)


def test_fallbacks_of_a_solver_are_counted_epoch_by_epoch(tiny_data, tmp_path):
    """Aligned-MTL has nothing to align where no task has a gradient: after heads were zeroed."""
    zeroed = (1, 5, 6)
    config = config_of(tiny_data, tmp_path, "method=alignedmtl")

    def silence(step):
        if step in zeroed:
            with torch.no_grad():
                for head in trainer.algorithm.network.heads.values():
                    head.weight.zero_()

    with RunRecord(record_path(config, config_hash(config))) as record:
        trainer = trainer_of(config, record, Watcher(silence))
        trainer.run()
        found = read_steps(record.steps)["solver_fallback"]
    assert found == [float(step - 1 in zeroed) for step in range(1, 3 * STEPS + 1)]
    assert [line["solver_fallbacks"] for line in trainer.progress.history] == [1, 2, 0]
    assert summarize(config, config_hash(config), trainer)["solver_fallbacks"] == 3


class Watching(Method):
    """Says what it sees of an update: before it, after it, and of the batch when it is over."""

    def __init__(self, looks_again):
        super().__init__(1)
        self.looks_again = looks_again
        self.before = None

    def combine(self, gradients):
        self.before = gradients.shared[0].item()
        info = super().combine(gradients)
        return replace(info, diagnostics={"asked": 1.0, "moved": 0.0, "again": 0.0})

    def weights(self, losses_T, gram_TT=None):
        return torch.ones(1)

    def after_step(self, parameters):
        (parameter,) = parameters
        moved = parameter.item() - self.before
        assert moved == pytest.approx(-0.25 * parameter.grad.item())
        return {"moved": moved}

    def after_update(self, gradients):
        return {"again": gradients.losses_T.item()}


class Square:
    """The gradients of x^2, and how often the loss was computed."""

    def __init__(self, parameter):
        self.parameter, self.passes = parameter, 0

    def __call__(self, data):
        self.passes += 1
        return TaskGradients([self.parameter.square().sum()], [self.parameter], [[]])

    @contextmanager
    def reevaluate(self, data):
        yield self(data)


@pytest.mark.parametrize("looks_again", [False, True])
def test_what_a_method_says_after_an_update_adds_to_what_it_said_before(looks_again):
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(3.0)
    gradients = Square(module.weight)
    sgd = torch.optim.SGD(module.parameters(), lr=0.25)
    component = Component("", module, gradients, Watching(looks_again), [sgd])
    result = Update("a")(component, None)
    again = 1.5**2 if looks_again else 0.0  # 3 - 0.25 * 6
    assert result.diagnostics == {"asked": 1.0, "moved": -1.5, "again": again}
    assert gradients.passes == (2 if looks_again else 1)
