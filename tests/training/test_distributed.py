"""Trainings of two processes: what one of them meets reaches both, and they can be resumed."""

import os
import signal
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.algorithms.supervised.replicas import Replicas
from mtl_bench.architectures.base import Architecture
from mtl_bench.config.build import build_algorithm, build_data
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError, DataError, Interrupted, NonFiniteError, TrainingError
from mtl_bench.gradients import Communicator, DistributedGradients, TaskGradients
from mtl_bench.methods import CosReg, NashMTL
from mtl_bench.ranks import Ranks, Together
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.tasks import Task
from mtl_bench.training.checkpoint import Checkpoints
from mtl_bench.training.trainer import Trainer, TrainerSettings
from tests.algorithms.test_batch_gradients import NAMES, mpnn
from tests.together import run_together
from tests.training.runs import METHODS, Watcher, config_of, differences, read_steps, train

TWO = ("trainer.accumulate=2",)
DROPOUT = {"_target_": "tests.training.runs.DropoutMPNN"}


class Altered:
    """A data set whose batch with a number is changed, or fails, in the process that loads it."""

    def __init__(self, data, number, alter):
        self.data, self.number, self.alter = data, number, alter

    def __getattr__(self, name):
        return getattr(self.data, name)

    def train_batches(self, epoch, start=0, workers=0, pin=False, numbers=None):
        numbers = range(start, self.data.steps_per_epoch) if numbers is None else numbers
        pairs = zip(numbers, self.data.train_batches(epoch, numbers=numbers), strict=True)
        for number, batch in pairs:
            if number == self.number:
                self.alter(batch)
            yield batch


def poison(batch):
    batch.targets["mu"][0] = torch.nan


def fail(batch):
    raise DataError("molecule 7 is damaged")


def signal_in(rank: int, step: int, ranks: Ranks) -> Watcher:
    """Return an observer that sends the process of a rank a signal during a step."""
    stopping = ranks.number == rank
    return Watcher(
        lambda done: os.kill(os.getpid(), signal.SIGUSR1) if done == step * stopping else 0
    )


def train_together(ranks: Ranks, config: Any, *observers: Any, alter: Any = None) -> dict[str, Any]:
    """Train, or go on, to the end or an error, and return what there is then."""
    digest = config_hash(config)
    record = RunRecord(record_path(config, digest))
    error = None
    with ExitStack() as stack:
        ranks.lead(lambda: stack.enter_context(record) and None)
        with ranks.agreeing():
            data = build_data(config)
            algorithm = build_algorithm(
                config, Altered(data, *alter) if alter else data, torch.device("cpu"), ranks
            )
            trainer = Trainer(
                algorithm,
                TrainerSettings.of(config["trainer"]),
                record,
                Checkpoints(record.checkpoints, config, digest),
                torch.device("cpu"),
                observers,
                ranks,
            )
        try:
            trainer.resume()
            trainer.run()
        except (Interrupted, DataError, TrainingError) as met:
            error = met
        state = trainer.state_dict()
        del state["step_log"]
        if not ranks.leads:
            del state["method"]  # it is process 0 that runs the method
        return {
            "error": error,
            "state": state,
            "steps": read_steps(record.steps) if error is None else None,
        }


class Refusing:
    """A method's ``weights`` that refuse the third update."""

    def __init__(self, weights):
        self.weights, self.calls = weights, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == 3:
            raise NonFiniteError("the solver gives up")
        return self.weights(*arguments)


def own_loop(ranks: Ranks) -> dict[str, Any]:
    """Return weights and parameters of a loop of one's own over batches of 4 points a process."""
    model, inputs, method, shared, own, optimizer = loop_parts()
    for batch in inputs:
        x = batch[4 * ranks.number :][:4]
        local = TaskGradients(model(x).square().mean(dim=0).unbind(), shared, own)
        assert isinstance(ranks, Together)
        gradients = DistributedGradients(local, shared, own, Communicator(ranks))
        info = gradients.lead(partial(method.step, gradients))
        optimizer.step()
    return {"weights": info.weights_T, "parameters": [p.detach() for p in model.parameters()]}


def loop_parts():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2).double()
    shared, own = list(model.parameters()), [[], []]
    inputs = torch.randn(3, 8, 3, dtype=torch.float64)
    optimizer = torch.optim.SGD(shared, lr=0.1)
    return model, inputs, NashMTL(2), shared, own, optimizer


def scenarios(ranks: Ranks, configs: dict[str, Any]) -> dict[str, Any]:
    """Return what becomes of one training after the other, each in both processes."""
    found = {"straight": train_together(ranks, configs["straight"])}
    stop = signal_in(1, 3, ranks)
    found["stopped"] = train_together(ranks, configs["stopped"], stop)
    found["resumed"] = train_together(ranks, configs["stopped"])
    found["ls"] = train_together(ranks, configs["ls"], signal_in(0, 3, ranks))
    found["damaged"] = train_together(ranks, configs["damaged"], alter=(3, fail))
    found["mended"] = train_together(ranks, configs["damaged"])
    found["nan"] = train_together(ranks, configs["nan"], alter=(3, poison))
    found["own loop"] = own_loop(ranks)
    found["skipped"] = train_together(ranks, configs["skipped"], alter=(3, poison))
    return found


@pytest.fixture(scope="module")
def configs(tiny_data, tmp_path_factory):
    """Return the trainings by what happens to them; each has a folder of its own."""
    made = {}
    for name, method, *overrides in (
        ("straight", "taskforce"),
        ("stopped", "taskforce"),
        ("ls", "ls"),
        ("damaged", "taskforce"),
        ("nan", "taskforce"),
        ("skipped", "taskforce", "trainer.on_nonfinite=skip"),
        ("alone", "ls"),
    ):
        results = tmp_path_factory.mktemp(name)
        made[name] = config_of(tiny_data, results, *METHODS[method], *TWO, *overrides)
        if method == "taskforce":
            made[name]["architecture"] |= DROPOUT
    return made


@pytest.fixture(scope="module")
def found(configs, tmp_path_factory):
    """Return what became of the scenarios in process 0 and in process 1."""
    answers = run_together(2, tmp_path_factory.mktemp("processes") / "two", scenarios, configs)
    for answer in answers:
        assert isinstance(answer, dict), answer
    return answers


def both(found, name):
    first, second = (answer[name] for answer in found)
    for key in ("network", "learners", "progress"):
        assert not differences(first["state"][key], second["state"][key], key)
    return first, second


def test_both_processes_hold_the_same_network(found):
    first, second = both(found, "straight")
    assert first["error"] is second["error"] is None
    assert first["state"]["progress"]["step"] == 6


def test_each_process_draws_its_own_numbers(found):
    first, second = (answer["straight"]["state"]["generators"]["torch"] for answer in found)
    assert not torch.equal(first, second)
    (kept,) = found[0]["straight"]["state"]["other_generators"]
    assert torch.equal(kept["torch"], second)


def test_a_signal_to_one_process_stops_both_after_the_same_step(found):
    first, second = both(found, "stopped")
    assert str(first["error"]) == str(second["error"])
    assert str(first["error"]).startswith("SIGUSR1: stopped in epoch 2 after step 3")


def test_on_as_many_processes_a_training_goes_on_bit_for_bit(found):
    for answer in found:
        assert not differences(answer["straight"]["state"], answer["resumed"]["state"])
    assert not differences(found[0]["straight"]["steps"], found[0]["resumed"]["steps"])


def test_on_another_number_of_processes_it_goes_on_but_for_rounding(found, configs, tmp_path):
    """The record of two processes that were stopped, continued by one."""
    first, _ = both(found, "ls")
    assert isinstance(first["error"], Interrupted)
    straight, continued = train(configs["alone"]), train(configs["ls"])
    assert len(straight.metrics) == len(continued.metrics) == 3
    for before, after in zip(straight.metrics, continued.metrics, strict=True):
        for split in ("train_loss", "validation", "test"):
            flat = [pytest.approx(v, rel=1e-3) for v in leaves(before[split])]
            assert leaves(after[split]) == flat


def leaves(values):
    if isinstance(values, dict):
        return [leaf for value in values.values() for leaf in leaves(value)]
    return [values]


def test_damaged_data_of_one_process_stop_both(found):
    first, second = both(found, "damaged")
    for each in (first, second):
        assert isinstance(each["error"], DataError)
        assert str(each["error"]) == "molecule 7 is damaged"
    assert first["state"]["progress"]["step"] == 1


def test_after_it_was_mended_the_training_is_as_if_nothing_had_happened(found):
    for answer in found:
        assert not differences(answer["straight"]["state"], answer["mended"]["state"])


def test_a_nan_of_one_process_is_refused_by_both(found):
    first, second = both(found, "nan")
    assert str(first["error"]) == str(second["error"])
    assert "the loss of task mu is nan at epoch 1, step 2" in str(first["error"])


def test_both_processes_leave_out_what_one_refuses(found):
    first, second = both(found, "skipped")
    assert first["error"] is second["error"] is None
    assert [line["skipped"] for line in first["state"]["progress"]["history"]] == [1, 1, 1]


def test_a_loop_of_ones_own_makes_the_updates_of_the_whole_batch(found):
    model, inputs, method, shared, own, optimizer = loop_parts()
    for x in inputs:
        losses = model(x).square().mean(dim=0).unbind()
        info = method.step(TaskGradients(losses, shared, own))
        optimizer.step()
    for answer in found:
        torch.testing.assert_close(answer["own loop"]["weights"], info.weights_T)
        expected = [p.detach() for p in shared]
        torch.testing.assert_close(answer["own loop"]["parameters"], expected)


def test_what_is_for_one_process_is_refused_in_one_line(tiny_data, tmp_path):
    two = Ranks()
    two.size = 2
    config = config_of(tiny_data, tmp_path, *METHODS["ls"])
    config["algorithm"] = {"name": "sac", "_target_": "mtl_bench.algorithms.sac.sac.MultiTaskSAC"}
    with pytest.raises(ConfigError, match=r"^algorithm=sac trains in one process"):
        build_algorithm(config, None, torch.device("cpu"), two)


def norm_of(kind, **fields):
    network = Architecture()
    network.norm = kind(3, **fields)
    return network


def numbered(epoch, start=0, numbers=None):
    """Take the place of a data set's ``train_batches``."""


def unnumbered(epoch, start=0):
    """Take the place of one that knows no numbers."""


@pytest.mark.parametrize(
    ("network", "batches", "message"),
    [
        (norm_of(torch.nn.SyncBatchNorm), numbered, "^norm is a SyncBatchNorm, which 2 processes"),
        (norm_of(torch.nn.BatchNorm2d, momentum=None), numbered, "BatchNorm2d without momentum"),
        (Architecture(), unnumbered, "^dataset=mine: its train_batches has no argument numbers"),
    ],
    ids=["SyncBatchNorm", "no momentum", "no numbers"],
)
def test_a_network_or_data_set_for_one_process_is_refused(network, batches, message):
    """Nothing is sent before it is."""
    data = SimpleNamespace(name="mine", train_batches=batches)
    with pytest.raises(ConfigError, match=message):
        Replicas(network, data, second_of_two())


def test_a_method_that_differentiates_twice_is_for_one_process():
    network, tasks = mpnn(), [Task(n, n, functional.mse_loss, (), dict) for n in NAMES]
    with pytest.raises(ConfigError, match=r"^CosReg differentiates task gradients"):
        BatchGradients(
            network, tasks, CosReg(len(NAMES)), torch.device("cpu"), ranks=second_of_two()
        )


def second_of_two():
    """Return a process that nobody has joined, which can do nothing but count."""
    two = object.__new__(Together)
    two.number, two.size = 1, 2
    return two
