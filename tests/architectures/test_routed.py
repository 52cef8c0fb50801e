"""The agents of the routed network."""

import copy
from contextlib import suppress

import pytest
import torch
from torch.nn import functional as F

from mtl_bench.algorithms.supervised import Supervised
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.algorithms.supervised.network_checks import GradientFlow
from mtl_bench.architectures.routed import Routed
from mtl_bench.architectures.router import HISTORY, Router, simplex_projection
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.datasets.images import TaskImageBatch
from mtl_bench.errors import Interrupted
from mtl_bench.methods import PCGrad
from mtl_bench.metrics import MeanAbsoluteError
from mtl_bench.records.writer import RunRecord
from mtl_bench.tasks import Metric, Task
from mtl_bench.training.checkpoint import Checkpoints
from mtl_bench.training.trainer import Trainer, TrainerSettings
from tests.training.runs import differences, stop_at

CPU = torch.device("cpu")
NAMES = ("fish", "trees", "people")


class Agent:
    """Weighted policy learning of one task, with the history that all tasks share."""

    def __init__(self, layers, modules, rate):
        self.policy = [[1 / modules] * modules for _ in range(layers)]
        self.average = [0.0] * layers
        self.rate = rate

    def learn(self, reward, chosen, history, ratio):
        layers = len(chosen)
        bonuses = [
            ratio * history[layer].count(module) / len(history[layer]) / layers * abs(reward)
            for layer, module in enumerate(chosen)
        ]
        for layer, module in enumerate(chosen):
            total = reward + sum(bonuses[layer:])
            self.average[layer] = 0.9 * self.average[layer] + 0.1 * total
            step = total - self.average[layer]
            policy = self.policy[layer]
            step *= policy[module] if step < 0 else 1 - policy[module]
            policy[module] += self.rate * step
            self.policy[layer] = nearest(policy)


def nearest(values):
    """The projection on the simplex by bisection of the number that is taken from each."""
    low, high = min(values) - 1, max(values)
    for _ in range(100):
        middle = (low + high) / 2
        total = sum(max(0.0, v - middle) for v in values)
        low, high = (middle, high) if total > 1 else (low, middle)
    return [max(0.0, v - low) for v in values]


def test_agents_learn_as_the_algorithm_says():
    torch.manual_seed(0)
    router = Router(tasks=3, layers=2, modules=4, learning_rate=0.4, collaboration=0.3)
    plain = [Agent(2, 4, 0.4) for _ in range(3)]
    history = [[], []]
    for update in range(120):
        present = [[0, 1, 2], [2], [0, 2]][update % 3]
        losses = (2 * torch.rand(len(present))).tolist()
        routes = router.choices_TL.tolist()
        for layer in range(2):
            history[layer] = (history[layer] + [routes[t][layer] for t in present])[-HISTORY:]
        router.learn(present, losses)
        for t, loss in zip(present, losses, strict=True):
            plain[t].learn(-loss, routes[t], history, 0.3)
        left_out = [t for t in range(3) if t not in present]
        assert [router.choices_TL[t].tolist() for t in left_out] == [routes[t] for t in left_out]
        for t, agent in enumerate(plain):
            torch.testing.assert_close(router.policies_TLN[t].tolist(), agent.policy)
            torch.testing.assert_close(router.returns_TL[t].tolist(), agent.average)
    assert router.policies_TLN.std() > 0.05


def test_an_agent_finds_the_module_that_serves_its_task():
    torch.manual_seed(0)
    router = Router(tasks=2, layers=2, modules=4, learning_rate=0.3, collaboration=0.0)
    for _ in range(600):
        losses = [
            sum(module != task for module in router.modules_of(task)) / 2 for task in range(2)
        ]
        router.learn([0, 1], losses)
    router.eval()
    assert [router.modules_of(task) for task in range(2)] == [[0, 0], [1, 1]]


def test_modules_are_drawn_with_the_agents_probabilities():
    torch.manual_seed(0)
    router = Router(tasks=1, layers=1, modules=3, learning_rate=1e-9, collaboration=0.0)
    router.policies_TLN.copy_(torch.tensor([[[0.6, 0.4, 0.0]]]))
    drawn = []
    for _ in range(2000):
        router.learn([0], [1.0])
        drawn += router.modules_of(0)
    assert set(drawn) == {0, 1}
    assert abs(drawn.count(0) / len(drawn) - 0.6) < 0.06  # five standard deviations


@pytest.mark.parametrize("size", [1, 2, 20])
def test_the_projection_is_the_nearest_point_of_the_simplex(size):
    generator = torch.Generator().manual_seed(size)
    values = torch.randn(50, size, generator=generator, dtype=torch.float64)
    points = simplex_projection(values)
    assert (points >= 0).all()
    torch.testing.assert_close(points.sum(dim=1), torch.ones(50, dtype=torch.float64))
    corners = torch.eye(size, dtype=torch.float64)
    # no corner, and so no point, lies beyond the plane through the projection
    sides = (values - points) @ corners.T - ((values - points) * points).sum(dim=1, keepdim=True)
    assert sides.max() < 1e-12


def batch(seed, **sizes):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(sum(sizes.values()), 3, 32, 32, generator=generator)
    targets = {t: torch.randint(5, (n,), generator=generator) for t, n in sizes.items()}
    return TaskImageBatch(images, targets)


def squared_error(scores, targets):
    return F.mse_loss(scores, F.one_hot(targets, 5).float())


class ErrorOfScores(MeanAbsoluteError):
    def update(self, prediction, target):
        super().update(prediction.argmax(dim=1).float(), target.float())


TASKS = tuple(
    Task(name, name, squared_error, (Metric("mae", reference=1.0),), ErrorOfScores)
    for name in NAMES
)


class Patches:
    """Noise with labels, three updates an epoch; the second lacks one of the tasks."""

    name, task_names, tasks = "patches", NAMES, TASKS
    task_inputs, has_validation, steps_per_epoch = True, False, 3

    def __init__(self):
        self.origin = {"kind": "procedural", "source": "tests", "manifest": "1"}

    def train_batches(self, epoch, start=0, **loading):
        for number in range(start, 3):
            own = NAMES if number != 1 else NAMES[::2]
            yield batch(10 * epoch + number, **dict.fromkeys(own, 3))

    def sample_names(self, epoch, number):
        return [f"{epoch}.{number}"]

    def evaluation_batches(self, split, **loading):
        yield batch(0, **dict.fromkeys(NAMES, 3))


def train(folder, *observers):
    """Train two epochs, or go on; return the trainer."""
    torch.manual_seed(0)
    network = Routed(NAMES, modules=4)
    algorithm = Supervised(
        Patches(),
        network,
        PCGrad(3),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        device=CPU,
        clip_norm=40.0,
    )
    with RunRecord(folder) as record:
        checkpoints = Checkpoints(record.checkpoints, {}, "digest")
        trainer = Trainer(algorithm, TrainerSettings(epochs=2), record, checkpoints, CPU, observers)
        trainer.resume()
        with suppress(Interrupted):
            trainer.run()
    return trainer


@pytest.mark.parametrize("stop", [1, 4])
def test_agents_go_on_bit_for_bit_after_a_stop(stop, tmp_path):
    straight = train(tmp_path / "straight")
    stopped = train(tmp_path / "stopped", stop_at(stop))
    assert stopped.progress.step == stop
    resumed = train(tmp_path / "stopped")
    states = [trainer.state_dict() for trainer in (straight, resumed)]
    for state in states:
        del state["step_log"]
    assert differences(*states) == []
    router = straight.algorithm.network.router
    history = router.history_LH
    assert (history < 4).sum().item() == 3 * (3 + 2 + 3) * 2  # of three layers in two epochs
    assert (router.returns_TL < 0).all()


def test_choices_stay_while_an_update_is_computed():
    torch.manual_seed(0)
    network, data = Routed(NAMES, modules=4), batch(0, fish=2, trees=1, people=3)
    first, again = network(data), network(data)
    for task in NAMES:
        torch.testing.assert_close(first[task], again[task], rtol=0, atol=0)
    routes = network.router.choices_TL.clone()
    network.after_update({"trees": 0.2})
    changed = (network.router.choices_TL != routes).any(dim=1).tolist()
    assert changed[0] is changed[2] is False


def test_modules_that_no_task_has_chosen_are_no_reason_to_warn():
    torch.manual_seed(0)
    said = []
    network = Routed(NAMES, modules=8)
    flow = GradientFlow(network, NAMES, said.append)
    BatchGradients(network, TASKS, PCGrad(3), CPU, flow=flow)([batch(0, fish=2, trees=1, people=3)])
    assert said == []


def test_separate_networks_are_told_their_own_loss():
    torch.manual_seed(0)
    networks = SingleTask(NAMES, lambda tasks: Routed(tasks, modules=4))
    networks.after_update({"trees": 0.5})
    counts = [(n.router.history_LH < 4).sum().item() for n in networks.networks.values()]
    assert counts == [0, 3, 0]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_method_combines_the_gradients_of_the_trunk_alone(accumulate):
    """Modules get the plain sum of the tasks' gradients, those of routes that meet among them."""
    torch.manual_seed(0)
    network = Routed(NAMES, modules=2)
    batches = [batch(seed, fish=2, trees=1, people=3) for seed in range(accumulate)]
    pcgrad, twin = PCGrad(3), copy.deepcopy(network)
    info = pcgrad.step(BatchGradients(network, TASKS, pcgrad, CPU)(batches))
    assert info.weights_T.max() > 1.01
    for task, loss in enumerate(NAMES):
        own = [TASKS[task].loss(twin(b)[loss], b.targets[loss]) for b in batches]
        torch.stack(own).mean().backward()
    for module, expected in zip(network.layers.parameters(), twin.layers.parameters(), strict=True):
        wanted = torch.zeros_like(expected) if expected.grad is None else expected.grad
        torch.testing.assert_close(module.grad, wanted, rtol=1e-4, atol=1e-6)
    changed = [
        not torch.allclose(p.grad, q.grad)
        for p, q in zip(network.trunk.parameters(), twin.trunk.parameters(), strict=True)
    ]
    assert any(changed)
