"""Multi-task soft actor-critic.

Legend of shape suffixes: T tasks, C copies of each task's environment, B samples of a task, O
observation numbers, A action numbers, I = O + A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mtl_bench.algorithms.base import Algorithm, Component, Metrics
from mtl_bench.algorithms.sac.episode_replay import EpisodeReplay, Transitions
from mtl_bench.algorithms.sac.episodes import describe_learning, play_rounds
from mtl_bench.algorithms.sac.gradients import ControlGradients, Losses
from mtl_bench.algorithms.sac.objectives import ActorData, CriticData, Objectives
from mtl_bench.algorithms.sac.stabilisation import (
    Disturbance,
    LossMask,
    Reset,
    disturb,
    reset_compositions,
)
from mtl_bench.algorithms.sac.temperature import Owner, TemperatureLoss, Temperatures
from mtl_bench.architectures.control.base import ControlNetwork
from mtl_bench.architectures.control.paco import PaCo
from mtl_bench.architectures.control.policy import LogStd
from mtl_bench.datasets.base import Split
from mtl_bench.environments.base import Suite
from mtl_bench.errors import ConfigError, ExplodedError, NoLabelsError, RecordError
from mtl_bench.methods.base import Method
from mtl_bench.scores import MeanOf
from mtl_bench.tasks import ControlTask, Metric
from mtl_bench.values import Fraction, Positive, PositiveInt

METRICS = (
    Metric("success", higher_is_better=True, decimals=3),
    Metric("return", higher_is_better=True, decimals=1),
)


class MultiTaskSAC(Algorithm):
    """Soft actor-critic of T tasks, with critics and policy as components.

    Haarnoja et al., Soft Actor-Critic Algorithms and Applications, 2018; per task t, with twin
    critics Q_i, their slow copies Q'_i and a temperature α_t of its own,

        y = r + γ (min_i Q'_i(s', a') - α_t log π(a'|s')),  a' ~ π(s'),
        L_critic[t] = mean sum_i (Q_i(s, a) - y)²,
        L_actor[t] = mean (α_t log π(a|s) - min_i Q_i(s, a)),  a ~ π(s).

    Every vector step is followed by one update of critics, policy, temperatures and slow copies, in
    this order, each from the same number of transitions of every task. Episodes never end in a
    terminal state, so that the value of the last state counts.

    Args:
        suite: environments to learn in.
        evaluation: environments to be evaluated in, always from the same beginnings.
        policy: (s) -> mean and logarithmic deviation of the actions.
        critics: (s, a) -> Q_i.
        methods: one for ``critic`` and one for ``actor``.
        optimizer: makes an optimiser of parameters.
        seed: of actions and draws.
        device: where the networks live.
        clip_norm: see ``Component``.
        batch_size: B.
        buffer_size: transitions of each task that are kept at least.
        random_episodes: episodes of every environment that come before the first update, of
            uniformly random actions.
        epoch_episodes: episodes of every environment between two evaluations.
        evaluation_rounds: episodes of every environment in an evaluation.
        gamma: γ.
        tau: share by which the slow copies follow at every update.
        temperature: whether each α is a task's own, or one is shared by all.
        initial_temperature: the first α.
        greatest_temperature: see ``Temperatures``.
        target_entropy: of the policy, for each of the A action numbers.
        temperature_loss: see ``Temperatures``.
        temperature_lr: null for that of the networks.
        log_std: how the logarithm of the policy's deviation is kept within its bounds.
        log_std_bounds: the least and the greatest.
        largest_loss: the run has exploded if the mean critic loss is above, over the tasks that
            are not left out.
        mask_loss_above: tasks whose critic loss is above are left out, see ``LossMask``.
        reset_masked: how the compositions of such tasks are made anew.
        loss_weights: ``temperature`` multiplies task t's losses of critics and policy by
            T softmax(-log α)_t, as Soft-Modularization does; that is 1 if α is shared.
        simultaneous: whether the policy learns from the critics as they are before the update.
        disturbance: for studies of the stabilisation: which task's row of compositions is
            multiplied by which factor before which update, counted from 1.
        method_on: ``critic`` leaves the policy to LS; ``auto`` does so for methods that read the
            losses' values, since the policy's may be negative.
    """

    splits = ("test",)
    fixed: ClassVar[Mapping[str, Any]] = {
        "trainer.accumulate": 1,
        "trainer.precision": "float32",
        "trainer.compile": None,
        "gradients.level": "parameters",
        "scheduler": None,
    }

    def __init__(
        self,
        suite: Suite,
        evaluation: Suite,
        policy: ControlNetwork,
        critics: ControlNetwork,
        methods: Mapping[str, Method],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        *,
        seed: int,
        device: torch.device,
        clip_norm: float | None = None,
        batch_size: PositiveInt = 128,
        buffer_size: PositiveInt = 100_000,
        random_episodes: PositiveInt = 10,
        epoch_episodes: PositiveInt = 10,
        evaluation_rounds: PositiveInt = 10,
        gamma: Fraction = 0.99,
        tau: Fraction = 0.005,
        temperature: Owner = "task",
        initial_temperature: Positive = 1.0,
        greatest_temperature: Positive | None = None,
        target_entropy: float = -1.0,
        temperature_loss: TemperatureLoss = "log_alpha",
        temperature_lr: Positive | None = None,
        log_std: LogStd = "clip",
        log_std_bounds: tuple[float, float] = (-20.0, 2.0),
        largest_loss: Positive = 1e8,
        mask_loss_above: Positive | None = None,
        reset_masked: Reset = "never",
        loss_weights: Literal["equal", "temperature"] = "equal",
        simultaneous: bool = False,
        disturbance: Disturbance | None = None,
        method_on: Literal["auto", "critic", "both"] = "auto",
    ) -> None:
        self.suite, self.evaluation, self.device = suite, evaluation, device
        self.batch_size, self.tau, self.simultaneous = batch_size, tau, simultaneous
        self.largest_loss = largest_loss
        self.mask = LossMask(suite.tasks, mask_loss_above, reset_masked)
        self.disturbance, self.updates = disturbance, 0
        self.random_steps = random_episodes * suite.horizon
        self.steps_per_epoch = epoch_episodes * suite.horizon
        self.evaluation_rounds = evaluation_rounds
        self.evaluation_beginning = evaluation.state_dict()
        self.tasks = tuple(ControlTask(task, task, METRICS) for task in suite.tasks)
        self.score = MeanOf.of("success", self.tasks)
        self.origin = suite.origin
        self.policy, self.critics = policy, critics
        if (reset_masked != "never" or disturbance) and not isinstance(policy, PaCo):
            raise ConfigError(
                "algorithm.reset_masked and algorithm.disturbance are for the compositions of "
                "architecture=paco: leave them at never and null with other networks"
            )
        self.slow_critics = deepcopy(critics).requires_grad_(False)
        self._networks = (critics, policy, self.slow_critics)
        self.replay = EpisodeReplay(suite, buffer_size)
        self.generator = torch.Generator().manual_seed(seed)
        self.training_successes: dict[str, list[float]] = {task: [] for task in suite.tasks}
        self._succeeded_TC = torch.zeros(len(suite.tasks), suite.copies, dtype=torch.bool)
        self._log_probs_TB = torch.empty(0)
        self.temperatures = Temperatures(
            len(suite.tasks),
            temperature,
            initial_temperature,
            greatest_temperature,
            target_entropy * suite.action_dim,
            temperature_loss,
            optimizer,
            temperature_lr,
            device,
        )
        self.objectives = Objectives(
            *(policy, critics, self.slow_critics, self.temperatures, gamma),
            *(log_std, log_std_bounds, loss_weights == "temperature"),
        )

        def component(
            name: str, network: ControlNetwork, losses: Losses, look: Callable[[Tensor], None]
        ) -> Component:
            method = methods[name]
            source = ControlGradients(network, losses, look, method, self.mask.present)
            return Component(
                *(name, network, source, method, [optimizer(network.parameters())], clip_norm),
                stacked=not source.shared,
            )

        self.components = (
            component("critic", critics, self.objectives.critic_losses, self._look_at_losses),
            component("actor", policy, self.objectives.actor_losses, self._look_at_log_probs),
        )

    @classmethod
    def serves(cls, data: type) -> bool:
        """Tell whether it is a suite of environments."""
        return issubclass(data, Suite)

    @property
    def vector_steps(self) -> int:
        """Steps of every environment so far."""
        return self.replay.vector_steps

    def epoch(self, number: int, start: int) -> Iterator[Transitions]:
        """Act and store, and yield what each update learns from."""
        while self.vector_steps < self.random_steps:
            self._act()
        for _ in range(start, self.steps_per_epoch):
            self._act()
            yield self.replay.sample(self.batch_size, self.generator)

    def step(self, data: Transitions, update: Callable[[Component, NamedTuple], object]) -> None:
        """Update critics, policy, temperatures and slow critics, in this order."""
        self.updates += 1
        if self.disturbance and self.disturbance["update"] == self.updates:
            disturb(self._networks, self.suite.tasks, self.disturbance)
        with suppress(NoLabelsError):  # all tasks are left out: only the slow critics go on
            self._learn(data.to(self.device), update)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.slow_critics.parameters()), list(self.critics.parameters()), self.tau
            )

    def _learn(self, batch: Transitions, update: Callable[[Component, NamedTuple], object]) -> None:
        """Update critics, policy and temperatures by the tasks that take part.

        Raises:
            NoLabelsError: there are none; nothing was moved.
        """
        critic, actor = self.components
        noise_TBA, next_noise_TBA = (self._noise(batch.actions_TBA.shape) for _ in range(2))
        inputs_TBI = torch.cat((batch.observations_TBO, batch.actions_TBA), dim=2)
        targets_TB = self.objectives.targets(batch, next_noise_TBA)
        if self.simultaneous:
            self.objectives.fix_critics(copied=True)
        update(critic, CriticData(inputs_TBI, targets_TB))
        if not self.simultaneous:
            self.objectives.fix_critics()
        update(actor, ActorData(batch.observations_TBO, noise_TBA))
        self.temperatures.update(self._log_probs_TB, self.mask.present())
        if (shares_TT := self.mask.shares(self.generator)) is not None:
            reset_compositions(self._networks, ~self.mask.healthy_T, shares_TT)

    def _look_at_losses(self, losses_T: Tensor) -> None:
        self.mask.look(losses_T)
        healthy_T = self.mask.healthy_T.to(losses_T.device)
        mean = losses_T[healthy_T].mean().item()  # NaN, which is above nothing, of no task
        if mean > self.largest_loss:
            raise ExplodedError(
                f"exploded: the mean critic loss is {mean:.3g}, above algorithm.largest_loss="
                f"{self.largest_loss:g}; another seed or a lower optimizer.lr may help"
            )

    def _look_at_log_probs(self, log_probs_TB: Tensor) -> None:
        self._log_probs_TB = log_probs_TB

    def _noise(self, shape: Iterable[int]) -> Tensor:
        """Draw on the CPU, so that every device gets the same numbers."""
        return torch.randn(tuple(shape), generator=self.generator).to(self.device)

    @torch.no_grad()
    def _act(self) -> None:
        """Make a vector step and store it."""
        replay, suite = self.replay, self.suite
        if replay.steps in (0, suite.horizon):
            replay.begin(suite.reset())
            self._succeeded_TC.zero_()
        shape = (len(suite.tasks), suite.copies, suite.action_dim)
        if self.vector_steps < self.random_steps:
            actions_TCA = 2 * torch.rand(shape, generator=self.generator) - 1
        else:
            observations_TCO = replay.running()[0][-1].to(self.device)
            noise_TCA = self._noise(shape)
            found_TCA, _ = self.objectives.sample(self.policy, observations_TCO, noise_TCA)
            actions_TCA = found_TCA.cpu()
        outcome = suite.step(actions_TCA.numpy())
        replay.append(actions_TCA.numpy(), outcome.rewards, outcome.observations)
        self._succeeded_TC |= torch.from_numpy(outcome.successes)
        if replay.steps == suite.horizon:
            for task, rows in zip(suite.tasks, self._succeeded_TC.tolist(), strict=True):
                self.training_successes[task] += map(float, rows)

    def evaluate(self, split: Split, where: str, pause: Callable[[], None]) -> Metrics:
        """Return each task's share of successful episodes and mean return, without noise."""
        return play_rounds(
            *(self.policy, self.evaluation, self.evaluation_beginning),
            *(self.evaluation_rounds, self.device, pause),
        )

    def end_epoch(self, epoch: int, metrics: dict[Split, Metrics]) -> dict[str, Any]:
        """Return the mean success, and what the epoch's training episodes were.

        Returns:
            The score; ``training_success`` of each task; ``environment_steps`` of each task so far;
            ``masked_updates`` of tasks that were left out of some.
        """
        successes = {task: fmean(ended) for task, ended in self.training_successes.items()}
        self.training_successes = {task: [] for task in successes}
        return {
            f"{self.score.key}_test": self.score.value(metrics["test"]),
            "training_success": successes,
            "environment_steps": self.vector_steps * self.suite.copies,
        } | ({"masked_updates": masked} if (masked := self.mask.end_epoch()) else {})

    def learning_rate(self) -> float:
        """Return the learning rate of critics and policy."""
        return fmean(c.optimizers[0].param_groups[0]["lr"] for c in self.components)

    def selected_epochs(self) -> None:
        """Return nothing: there is no validation."""

    def sample_names(self, epoch: int, step: int) -> list[list[str]]:
        """Return nothing: transitions have no names."""
        return []

    def parameter_counts(self) -> dict[str, int]:
        """Return how many scalars both networks have, each of them, and how many are shared.

        What both networks have counts for each of them, and once in the total.
        """
        networks = (self.policy, self.critics)
        every = {id(p): p for network in networks for p in network.parameters()}
        shared = (p for network in networks for p in network.shared_parameters().values())
        return {
            "total": sum(p.numel() for p in every.values()),
            "shared": sum(p.numel() for p in shared),
            **{c.name: sum(p.numel() for p in c.module.parameters()) for c in self.components},
        }

    def describe(self, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return how soon the tasks were learned."""
        return describe_learning(history)

    @classmethod
    def network_states(cls, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the states of critics and policy."""
        return {name: own["network"] for name, own in state["components"].items()}

    def keep_in(self, folder: Path) -> None:
        """Keep the replay buffer's parts in a folder."""
        self.replay.keep_in(folder)

    def write(self) -> None:
        """Write the episodes that are new."""
        self.replay.write()

    def damaged(self, state: dict[str, Any]) -> list[str]:
        """Return the parts of the replay buffer that are missing or damaged."""
        return self.replay.damaged(state["replay"])

    def state_dict(self) -> dict[str, Any]:
        """Return all states; the replay buffer's without the parts."""
        return {
            "components": {
                c.name: {
                    "network": c.module.state_dict(),
                    "method": c.method.state_dict(),
                    "optimizer": c.optimizers[0].state_dict(),
                }
                for c in self.components
            },
            "slow_critics": self.slow_critics.state_dict(),
            "temperatures": self.temperatures.state_dict(),
            "replay": self.replay.state_dict(),
            "suite": self.suite.state_dict(),
            "succeeded": self._succeeded_TC.clone(),
            "training_successes": deepcopy(self.training_successes),
            "mask": self.mask.state_dict(),
            "updates": self.updates,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; the running episode is gone through again.

        Raises:
            RecordError: it takes another course than before.
        """
        for c in self.components:
            own = state["components"][c.name]
            c.module.load_state_dict(own["network"])
            c.method.load_state_dict(own["method"])
            c.optimizers[0].load_state_dict(own["optimizer"])
        self.slow_critics.load_state_dict(state["slow_critics"])
        self.temperatures.load_state_dict(state["temperatures"])
        self.replay.load_state_dict(state["replay"])
        self._succeeded_TC = state["succeeded"].clone()
        self.training_successes = deepcopy(state["training_successes"])
        self.mask.load_state_dict(state["mask"])
        self.updates = state["updates"]
        self.generator.set_state(state["generator"])
        if self.replay.begun:
            observations, actions, _ = self.replay.running()
            found = self.suite.restore(state["suite"], actions.numpy())
            if not np.array_equal(found, observations[-1].numpy()):
                raise RecordError(
                    f"the running episode takes another course on {self.suite.simulator} here than "
                    "where the run was stopped: continue it on that machine, or move the folder "
                    "away to start anew"
                )
