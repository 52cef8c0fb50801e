"""The trainer on an algorithm of two components, built without any configuration."""

import math
from contextlib import suppress

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from mtl_bench.algorithms.base import Algorithm, Component
from mtl_bench.errors import Interrupted, TrainingError
from mtl_bench.gradients import TaskGradients
from mtl_bench.methods import LS, NashMTL
from mtl_bench.metrics import MeanAbsoluteError
from mtl_bench.records.writer import RunRecord
from mtl_bench.scores import MeanOf
from mtl_bench.tasks import Metric, Task
from mtl_bench.training.checkpoint import Checkpoints
from mtl_bench.training.trainer import Trainer, TrainerSettings
from tests.training.runs import Watcher, differences, stop_at

TASKS = tuple(
    Task(name, name, nn.functional.mse_loss, (Metric("mae", reference=1.0),), MeanAbsoluteError)
    for name in ("left", "right")
)
CPU = torch.device("cpu")


class Losses:
    """Each task pulls the same linear layer to a point of its own."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, points):
        outputs = self.layer(points)
        losses = [(outputs - goal).square().mean() for goal in (1.0, -2.0)]
        return TaskGradients(losses, list(self.layer.parameters()), [[], []])


class Pair(Algorithm):
    """A critic and an actor, each a linear layer; the actor sees the critic after its update."""

    tasks = TASKS
    splits = ("test",)
    score = MeanOf.of("mae", TASKS)
    steps_per_epoch = 3

    def __init__(self, clip_norm=None):
        self.origin = {"kind": "simulated", "source": "tests", "manifest": "1"}
        torch.manual_seed(0)
        layers = {"critic": nn.Linear(2, 1), "actor": nn.Linear(1, 1)}
        methods = {"critic": NashMTL(2), "actor": LS(2)}
        self.components = tuple(
            Component(
                name,
                layer,
                Losses(layer),
                methods[name],
                [torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)],
                clip_norm,
            )
            for name, layer in layers.items()
        )
        self.ended = []

    @classmethod
    def serves(cls, data):
        return True

    def epoch(self, number, start):
        for step in range(start, self.steps_per_epoch):
            generator = torch.Generator().manual_seed(100 * number + step)
            yield torch.randn(8, 2, generator=generator)

    def step(self, data, update):
        critic, actor = self.components
        update(critic, data)
        update(actor, critic.module(data).detach())

    def evaluate(self, split, where, pause):
        pause()
        error = self.components[0].module(torch.ones(1, 2)).abs().item()
        return {task.name: {"mae": error} for task in self.tasks}

    def end_epoch(self, epoch, metrics):
        self.ended.append(epoch)
        return {"mae_test": self.score.value(metrics["test"])}

    def learning_rate(self):
        return 0.1

    def selected_epochs(self):
        return None

    def sample_names(self, epoch, step):
        return [[f"{epoch}.{step}"]]

    def parameter_counts(self):
        return {"total": 5, "shared": 5}

    def state_dict(self):
        return {
            c.name: [c.module.state_dict(), c.method.state_dict(), c.optimizers[0].state_dict()]
            for c in self.components
        }

    def load_state_dict(self, state):
        for c in self.components:
            for part, saved in zip((c.module, c.method, *c.optimizers), state[c.name], strict=True):
                part.load_state_dict(saved)


def train(folder, *observers, algorithm=None, **settings):
    """Train two epochs, or go on; return the trainer."""
    with RunRecord(folder) as record:
        trainer = Trainer(
            algorithm or Pair(),
            TrainerSettings(epochs=2, **settings),
            record,
            Checkpoints(record.checkpoints, {}, "digest"),
            CPU,
            observers,
        )
        trainer.resume()
        with suppress(Interrupted):
            trainer.run()
        return trainer


def rows(folder, component):
    parts = sorted((folder / "steps" / component).glob("*.parquet"))
    tables = [pq.read_table(part).to_pydict() for part in parts]
    return {
        name: [value for table in tables for value in table[name]]
        for name in tables[0]
        if not name.startswith("seconds")
    }


def test_each_component_has_a_step_log_of_its_own(tmp_path):
    trainer = train(tmp_path)
    critic, actor = (rows(tmp_path, name) for name in ("critic", "actor"))
    assert critic["step"] == actor["step"] == [1, 2, 3, 4, 5, 6]
    assert "gram/left" in critic
    assert "gram/left" not in actor
    assert actor["weight/left"] == [1.0] * 6
    line = trainer.progress.history[0]
    assert line["train_loss"].keys() == {
        f"{component}/{task}" for component in ("critic", "actor") for task in ("left", "right")
    }
    mean = sum(critic["loss/left"][:3]) / 3
    assert line["train_loss"]["critic/left"] == pytest.approx(mean)
    assert line["mae_test"] == line["test"]["left"]["mae"]


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_stopped_and_resumed_it_equals_an_uninterrupted_training(stop, tmp_path):
    straight = train(tmp_path / "straight")
    train(tmp_path / "stopped", stop_at(stop))
    resumed = train(tmp_path / "stopped")
    states = [trainer.state_dict() for trainer in (straight, resumed)]
    for state in states:
        del state["step_log"]
    assert differences(*states) == []
    for component in ("critic", "actor"):
        logs = [rows(tmp_path / name, component) for name in ("straight", "stopped")]
        assert differences(*logs) == []


def test_a_damaged_part_of_one_component_costs_the_other_nothing(tmp_path):
    train(tmp_path, stop_at(4))
    victim = min((tmp_path / "steps" / "actor").iterdir())
    victim.write_bytes(b"")
    watcher = Watcher()
    trainer = train(tmp_path, watcher)
    assert trainer.lost_parts == [f"actor/{victim.name}"]
    assert any(str(victim) in message for message in watcher.messages)
    assert rows(tmp_path, "critic")["step"] == [1, 2, 3, 4, 5, 6]


def test_the_step_log_keeps_every_nth_step(tmp_path):
    train(tmp_path, log_every=2)
    assert rows(tmp_path, "critic")["step"] == [2, 4, 6]


def test_an_observer_ends_a_training_that_goes_on_later(tmp_path):
    class Stop(Watcher):
        def on_step_end(self, trainer, results, error):
            assert [result.component for result in results] == ["critic", "actor"]
            if trainer.progress.step == 2:
                trainer.stop("enough")

    assert train(tmp_path, Stop()).progress.step == 2
    assert train(tmp_path).progress.step == 6


@pytest.mark.parametrize("clip_norm", [1e-3, 0.5, 1e6])
def test_the_combined_gradient_is_clipped_and_not_those_of_the_tasks(clip_norm, tmp_path):
    clipped, plain = Pair(clip_norm), Pair()
    found = []
    for algorithm in (clipped, plain):
        critic = algorithm.components[0]
        before = [p.detach().clone() for p in critic.parameters]
        trainer = train(tmp_path / str(len(found)), stop_at(1), algorithm=algorithm)
        assert trainer.progress.step == 1
        moved = [(b - p.detach()) / 0.1 for b, p in zip(before, critic.parameters, strict=True)]
        found.append(torch.cat([m.flatten() for m in moved]))
    ours, whole = found
    expected = whole * min(1.0, clip_norm / whole.norm().item())
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-6)


def test_a_refused_update_of_the_second_component_is_told_with_its_numbers(tmp_path):
    algorithm = Pair()
    with torch.no_grad():
        algorithm.components[1].module.weight.fill_(math.inf)
    with RunRecord(tmp_path) as record:
        checkpoints = Checkpoints(record.checkpoints, {}, "digest")
        trainer = Trainer(algorithm, TrainerSettings(epochs=1), record, checkpoints, CPU)
        with pytest.raises(TrainingError, match=r"actor: the loss of task left is (inf|nan)"):
            trainer.run()
    update = trainer.incident()["update"]
    assert update["component"] == "actor"
    assert update["samples"] == [["1.0"]]
    assert not math.isfinite(update["losses"]["left"])
