"""Multi-task SAC through the real trainer: stopped at any step, what it refuses, what it learns."""

import json
import shutil
from contextlib import suppress
from functools import partial

import pytest
import torch

from mtl_bench.algorithms.sac.episodes import describe_learning
from mtl_bench.algorithms.sac.temperature import Temperatures
from mtl_bench.config.build import build_algorithm, build_data, require_method
from mtl_bench.config.compose import compose_config
from mtl_bench.config.groups import describe_group
from mtl_bench.config.identity import config_hash
from mtl_bench.errors import ConfigError, ExplodedError, Interrupted, RecordError
from mtl_bench.inspect.replay import replay
from mtl_bench.methods import LS, PCGrad
from mtl_bench.records.reader import find_records
from mtl_bench.records.writer import RunRecord, record_path
from mtl_bench.training.checkpoint import Checkpoints
from mtl_bench.training.run import run
from mtl_bench.training.summary import summarize
from mtl_bench.training.trainer import Trainer, TrainerSettings
from mtl_bench.training.update import Update
from tests.algorithms.mirror import TASKS, mirror_sac
from tests.nightly import gate
from tests.training.runs import Watcher, differences, read_steps, stop_at

CPU = torch.device("cpu")
SMALL = (
    *("dataset=pendulum6", "profile=smoke", "logger.progress=off", "trainer.device=cpu"),
    *("dataset.tasks=[standard,reversed,heavy]", "dataset.horizon=6", "dataset.copies=2"),
    *("algorithm.batch_size=4", "algorithm.buffer_size=30", "algorithm.random_episodes=2"),
    *("algorithm.epoch_episodes=2", "architecture.hidden=[8]", "trainer.epochs=3"),
)
"""12 steps an epoch; the buffer has room for four episodes."""


def config_of(results, *overrides):
    return compose_config([*SMALL, f"paths.results={results}", *overrides])


def trainer_of(config, record, *observers):
    return Trainer(
        build_algorithm(config, build_data(config), CPU),
        TrainerSettings.of(config["trainer"]),
        record,
        Checkpoints(record.checkpoints, config, config_hash(config)),
        CPU,
        observers,
    )


def train(config, *observers):
    """Train, or go on, until the end or an interruption; return the trainer and its summary."""
    digest = config_hash(config)
    with RunRecord(record_path(config, digest)) as record:
        trainer = trainer_of(config, record, *observers)
        trainer.resume()
        summary = None
        with suppress(Interrupted):
            trainer.run()
            summary = summarize(config, digest, trainer)
        return trainer, summary


def state_of(trainer):
    """Return all that a run is, but the names of files, which depend on when it was saved."""
    state = trainer.state_dict()
    del state["step_log"], state["replay"]
    replay = trainer.algorithm.replay
    drawn = replay.sample(300, torch.Generator().manual_seed(0))
    return [state, list(replay.running()), list(drawn)]


def logs_of(trainer):
    lines = (trainer.record.path / "metrics.jsonl").read_text().splitlines()
    steps = [read_steps(trainer.record.steps / name) for name in ("critic", "actor")]
    return [json.loads(line) for line in lines], steps


@pytest.mark.parametrize(
    ("method", "stop"),
    gate(3, [("ls", 1), ("taskforce", 12), ("stl", 6), ("taskforce", 5), ("ls", 31)]),
)
def test_stopped_and_resumed_it_equals_an_uninterrupted_run(method, stop, tmp_path):
    overrides = [f"method={method}", "method.batch_size=4"][: 1 + (method == "taskforce")]
    straight, expected = train(config_of(tmp_path / "straight", *overrides))
    config = config_of(tmp_path / "stopped", *overrides)
    assert train(config, stop_at(stop))[1] is None
    resumed, summary = train(config)
    assert differences(state_of(straight), state_of(resumed)) == []
    assert differences(logs_of(straight), logs_of(resumed)) == []
    assert differences(expected["metrics"], summary["metrics"]) == []


def test_the_area_under_the_curve_counts_steps_and_not_epochs():
    shares = ({"a": 0.0, "b": 0.5}, {"a": 0.8, "b": 0.6}, {"a": 0.5, "b": 1.0})
    history = [
        {"training_success": share, "environment_steps": steps}
        for share, steps in zip(shares, (600, 800, 1000), strict=True)
    ]
    found = describe_learning(history)
    auc = {"a": (0.8 + 0.5) / 5, "b": 0.5 * 3 / 5 + (0.6 + 1.0) / 5}
    assert found["training_auc"] == pytest.approx(auc | {"mean": (auc["a"] + auc["b"]) / 2})
    assert found["steps_to_0.8"] == {"a": 800, "b": 1000, "mean": None}


def test_an_evaluation_leaves_no_trace(tmp_path):
    trainer, _ = train(config_of(tmp_path, "method=pcgrad"))
    algorithm = trainer.algorithm
    before = state_of(trainer)
    first = algorithm.evaluate("test", "", lambda: None)
    assert algorithm.evaluate("test", "", lambda: None) == first
    assert differences(before, state_of(trainer)) == []


def spoil(path):
    path.write_bytes(path.read_bytes()[:-8] + b"\0" * 7 + b"\1")


def test_a_damaged_part_is_named_and_the_checkpoint_before_is_used(tmp_path):
    config = config_of(tmp_path, "method=ls")
    straight, _ = train(config)
    expected = state_of(straight)
    shutil.rmtree(straight.record.path)
    stopped, _ = train(config, stop_at(20))
    newest = max((stopped.record.checkpoints / "replay").iterdir())
    spoil(newest)
    watcher = Watcher()
    resumed, _ = train(config, watcher)
    assert any(str(newest) in line and "previous.pt" in line for line in watcher.messages)
    assert differences(expected, state_of(resumed)) == []


def test_without_any_whole_checkpoint_the_run_is_refused(tmp_path):
    config = config_of(tmp_path, "method=ls")
    stopped, _ = train(config, stop_at(20))
    for part in (stopped.record.checkpoints / "replay").iterdir():
        part.unlink()
    with pytest.raises(RecordError, match="no checkpoint is left"):
        train(config)


def test_another_simulator_is_refused(tmp_path, monkeypatch):
    from mtl_bench.environments.pendulum import Pendulum

    config = config_of(tmp_path, "method=ls")
    train(config, stop_at(3))
    monkeypatch.setattr(Pendulum, "simulator", "pendulum 2")
    with pytest.raises(RecordError, match=r"begun on pendulum 1, and this is pendulum 2"):
        train(config)


def test_an_episode_that_takes_another_course_is_refused(tmp_path, monkeypatch):
    from mtl_bench.environments import pendulum

    config = config_of(tmp_path, "method=ls")
    train(config, stop_at(3))
    monkeypatch.setattr(pendulum, "STEP_SECONDS", 0.051)
    with pytest.raises(RecordError, match="another course"):
        train(config)


def test_a_loss_above_the_bound_ends_the_run_as_exploded(tmp_path):
    config = config_of(tmp_path, "method=ls", "algorithm.largest_loss=1e-6")
    with pytest.raises(ExplodedError, match=r"exploded.*largest_loss=1e-06"):
        run(config)
    (record,) = find_records(tmp_path)
    assert record.state == "exploded"
    assert record.score.key == "success"


def test_a_run_whose_tasks_are_all_left_out_of_every_update_goes_on_to_its_end(tmp_path):
    words = ("ablation=paco", "algorithm.mask_loss_above=1e-30", "logger.progress=plain")
    config = config_of(tmp_path, *words)
    run(config)
    (record,) = find_records(tmp_path)
    assert record.state == "finished"
    lines = (record.path / "metrics.jsonl").read_text().splitlines()
    masked = [json.loads(line)["masked_updates"] for line in lines]
    assert masked == [dict.fromkeys(("standard", "reversed", "heavy"), 12)] * 3
    with pytest.raises(ConfigError, match="step=5: all tasks were left out of it"):
        replay(record.path, 5)


@pytest.mark.parametrize(
    ("method", "method_on", "actor"),
    [
        *(("pcgrad", "auto", "PCGrad"), ("pcgrad", "critic", "LS"), ("nashmtl", "both", "NashMTL")),
        *(("dwa", "auto", "LS"), ("taskforce", "auto", "LS"), ("uw", "both", "UW")),
        *(("ls", "auto", "LS"), ("graddrop", "auto", "GradDrop"), ("stl", "auto", "STL")),
    ],
)
def test_method_on_says_which_components_a_method_acts_on(method, method_on, actor, tmp_path):
    config = config_of(tmp_path, f"method={method}", f"algorithm.method_on={method_on}")
    algorithm = build_algorithm(config, build_data(config), CPU)
    critic_method, actor_method = (c.method for c in algorithm.components)
    assert type(critic_method).__name__.lower() == method
    assert type(actor_method).__name__ == actor
    assert critic_method is not actor_method
    if actor == type(critic_method).__name__ and method == "pcgrad":
        states = [m.generator.get_state() for m in (critic_method, actor_method)]
        assert not torch.equal(*states)


@pytest.mark.parametrize("component", ["critic", "actor"])
def test_a_single_task_learns_the_same_whatever_the_rewards_of_another(component, tmp_path):
    def trained(scale):
        scales = f"dataset.task_reward_scales={{heavy: {scale}}}"
        config = config_of(tmp_path, "method=stl", "trainer.clip_norm=0.1", scales)
        algorithm = build_algorithm(config, build_data(config), CPU)
        for data in algorithm.epoch(1, 0):
            algorithm.step(data, Update(algorithm.suite.tasks))
        (module,) = (c.module for c in algorithm.components if c.name == component)
        return torch.cat([p.flatten(2) for p in module.parameters()], dim=2)

    usual, large = trained(1.0), trained(30.0)
    assert torch.equal(usual[:, :2], large[:, :2])
    assert not torch.equal(usual[:, 2], large[:, 2])


ALWAYS = ("stl-mlp", "ls-multihead", "pcgrad-mlp", "nashmtl-multihead", "taskforce-mlp")


def whole_runs():
    """Every method, of which one of each kind is tested always."""
    pairs = [(method, "mlp") for method in describe_group("method") if method != "torchjd"]
    for pair in [*pairs, ("ls", "multihead"), ("nashmtl", "multihead"), ("graddrop", "multihead")]:
        name = "-".join(pair)
        yield pytest.param(*pair, marks=[] if name in ALWAYS else pytest.mark.nightly, id=name)


@pytest.mark.parametrize(("method", "architecture"), list(whole_runs()))
def test_every_method_makes_a_whole_run(method, architecture, tmp_path):
    overrides = [f"method={method}", f"architecture={architecture}"]
    if method == "taskforce":
        overrides.append("method.batch_size=4")
    trainer, summary = train(config_of(tmp_path, *overrides))
    assert trainer.progress.step == 36
    assert summary["untrained"] == []
    assert summary["metrics"]["last"].keys() == {"standard", "reversed", "heavy"}
    line = trainer.progress.history[-1]
    assert line["success_test"] == 0.0  # no episode is that short
    assert line["environment_steps"] == 2 * (12 + 36)
    assert line["training_success"].keys() == summary["metrics"]["last"].keys()
    names = {*line["training_success"], "mean"}
    assert summary["training_auc"].keys() == summary["steps_to_0.8"].keys() == names


@pytest.mark.parametrize(("tasks", "count"), [("pendulum6", 6), ("heavy", 1), ("[long,heavy]", 2)])
def test_a_method_is_tried_with_as_many_tasks_as_are_chosen(tasks, count, tmp_path):
    config = config_of(tmp_path, "method=ls", f"dataset.tasks={tasks}")
    require_method(config)
    assert len(build_algorithm(config, build_data(config), CPU).tasks) == count


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("trainer.accumulate=2", "trainer.accumulate=2: algorithm=sac takes 1 alone"),
        ("trainer.precision=bf16", "trainer.precision=bf16: algorithm=sac takes float32 alone"),
        ("gradients.level=representation", "gradients.level=representation: algorithm=sac"),
        ("algorithm.gamma=1.5", r"algorithm.gamma=1.5"),
        ("algorithm.gama=0.9", "algorithm.gama"),
        ("dataset.task_reward_scales={heavy: -1.0}", "task_reward_scales"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(override, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        config_of(tmp_path, "method=ls", override)


@pytest.mark.parametrize(("algorithm", "dataset"), [("supervised", "pendulum6"), ("sac", "qm9")])
def test_an_algorithm_is_refused_on_what_it_can_not_learn_from(algorithm, dataset):
    with pytest.raises(ConfigError, match=f"algorithm={algorithm} can't learn from .*={dataset}"):
        compose_config([f"dataset={dataset}", "method=ls", f"algorithm={algorithm}"])


def test_it_asks_for_no_validation_data(tmp_path):
    config = config_of(tmp_path, "method=ls", "protocol.selection=best_val")
    with pytest.raises(ConfigError, match=r"dataset=pendulum6 has none.*: use last_k_mean"):
        build_data(config)


@pytest.mark.parametrize("method", [pytest.param(LS, marks=pytest.mark.nightly), PCGrad])
def test_two_opposite_tasks_are_learned(method, tmp_path):
    algorithm = mirror_sac({"critic": method(2), "actor": method(2)}, seed=0)
    with RunRecord(tmp_path) as record:
        checkpoints = Checkpoints(record.checkpoints, {}, "digest")
        trainer = Trainer(algorithm, TrainerSettings(epochs=1), record, checkpoints, CPU)
        before = algorithm.evaluate("test", "", lambda: None)
        trainer.run()
    metrics = trainer.progress.history[-1]["test"]
    for task in TASKS:
        assert metrics[task]["success"] > 0.75 > before[task]["success"]
        assert metrics[task]["return"] > before[task]["return"] / 2


class Recorder:
    """Takes the place of the trainer's update: keeps losses and gradients, moves nothing."""

    def __init__(self):
        self.losses, self.gradients = {}, {}

    def __call__(self, component, data):
        found = component.gradients(data)
        component.method.step_with(found)
        self.losses[component.name] = found.losses_T
        self.gradients[component.name] = [p.grad.clone() for p in component.parameters]


def test_losses_targets_and_slow_critics_are_those_of_the_formulas():
    algorithm = mirror_sac({"critic": LS(2), "actor": PCGrad(2)}, seed=1, tau=0.25)
    batch = next(algorithm.epoch(1, 0))
    with torch.no_grad():
        for p in algorithm.slow_critics.parameters():
            p.add_(0.1)
    slow = [p.clone() for p in algorithm.slow_critics.parameters()]
    state, policy = algorithm.generator.get_state(), algorithm.policy
    alpha_T1 = algorithm.temperatures.alpha_T1

    def act(observations, noise):
        mean, log_std = policy(observations)[0].chunk(2, dim=-1)
        normal = torch.distributions.Normal(mean, log_std.exp())
        inner = mean + log_std.exp() * noise
        actions = inner.tanh()
        jacobian = (1 - actions.square()).log()
        return actions, (normal.log_prob(inner) - jacobian).sum(dim=-1)

    def value(critics, observations, actions):
        return critics(torch.cat([observations, actions], dim=2))[..., 0]

    generator = torch.Generator()
    generator.set_state(state)
    noise, next_noise = (torch.randn(batch.actions_TBA.shape, generator=generator) for _ in "ab")
    actions, log_probs = act(batch.next_TBO, next_noise)
    best = value(algorithm.slow_critics, batch.next_TBO, actions).min(dim=0).values
    targets = (batch.rewards_TB + 0.5 * (best - alpha_T1 * log_probs)).detach()
    errors = value(algorithm.critics, batch.observations_TBO, batch.actions_TBA) - targets
    critic_T = errors.square().sum(dim=0).mean(dim=1)
    actions, log_probs = act(batch.observations_TBO, noise)
    best = value(algorithm.critics, batch.observations_TBO, actions).min(dim=0).values
    actor_T = (alpha_T1 * log_probs - best).mean(dim=1)

    recorder = Recorder()
    algorithm.step(batch, recorder)
    torch.testing.assert_close(recorder.losses["critic"], critic_T.detach())
    torch.testing.assert_close(recorder.losses["actor"], actor_T.detach())
    expected = torch.autograd.grad(critic_T.sum(), list(algorithm.critics.parameters()))
    torch.testing.assert_close(recorder.gradients["critic"], list(expected))
    assert all(p.grad is not None for p in policy.parameters())
    for p, before, fast in zip(
        algorithm.slow_critics.parameters(), slow, algorithm.critics.parameters(), strict=True
    ):
        torch.testing.assert_close(p, 0.75 * before + 0.25 * fast.detach())


@pytest.mark.parametrize("loss", ["log_alpha", "alpha"])
def test_each_temperature_falls_while_its_policy_is_more_random_than_the_target(loss):
    sgd = partial(torch.optim.SGD, lr=0.1)
    temperatures = Temperatures(2, "task", 0.5, None, -1.0, loss, sgd, None, CPU)
    temperatures.update(torch.tensor([[-2.0, -4.0], [2.0, 4.0]]))  # entropies 3 and -3
    slopes = torch.tensor([4.0, -2.0]) * (0.5 if loss == "alpha" else 1.0)
    expected = torch.tensor(0.5).log() - 0.1 * slopes
    torch.testing.assert_close(temperatures.log_alpha.detach(), expected)


def test_a_shared_temperature_follows_the_mean_entropy():
    sgd = partial(torch.optim.SGD, lr=0.1)
    shared, alone = (
        Temperatures(tasks, owner, 0.5, None, -1.0, "alpha", sgd, None, CPU)
        for tasks, owner in ((2, "shared"), (1, "task"))
    )
    log_probs_TB = torch.tensor([[-2.0, -4.0], [2.0, 5.0]])
    shared.update(log_probs_TB)
    alone.update(log_probs_TB.mean().view(1, 1))
    torch.testing.assert_close(shared.alpha_T1, alone.alpha_T1)


def test_a_temperature_rises_to_its_limit_alone():
    sgd = partial(torch.optim.SGD, lr=0.1)
    temperatures = Temperatures(2, "task", 0.9, 1.0, -1.0, "log_alpha", sgd, None, CPU)
    temperatures.update(torch.tensor([[9.0], [-9.0]]))
    raised, lowered = temperatures.alpha_T1.flatten().tolist()
    assert raised == 1.0
    assert lowered < 0.9


def test_a_run_with_one_temperature_for_all_tasks(tmp_path):
    trainer, _ = train(config_of(tmp_path, "method=ls", "algorithm.temperature=shared"))
    assert trainer.algorithm.temperatures.alpha_T1.shape == (1, 1)
    assert trainer.progress.step == 36


@pytest.mark.parametrize("method", [pytest.param("ls", marks=pytest.mark.nightly), "pcgrad"])
def test_ten_tasks_of_metaworld_make_a_whole_run(method, tmp_path):
    pytest.importorskip("metaworld", reason="needs the extra rl")
    overrides = ("dataset=mt10", "profile=smoke", f"method={method}", "logger.progress=off")
    config = compose_config([*overrides, "trainer.device=cpu", f"paths.results={tmp_path}"])
    trainer, summary = train(config)
    assert trainer.progress.step == 40
    assert len(summary["metrics"]["last"]) == 10
    assert all(metrics["return"] > 0 for metrics in summary["metrics"]["last"].values())
