"""TaskForce: cooperative multi-agent reinforcement learning chooses the task weights."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from mtl_bench.errors import ConfigError, TrainingError
from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.taskforce.agents import AgentLosses, Agents
from mtl_bench.taskforce.noise import OrnsteinUhlenbeck, linear_decay
from mtl_bench.taskforce.observation import normalize_gram, normalizers, observe
from mtl_bench.taskforce.replay import Replay
from mtl_bench.taskforce.reward import gradient_reward, loss_reward
from mtl_bench.values import Fraction, HeadWeighting, NonNegative, Positive, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients

SATURATED = 0.95
"""Share of the bound beyond which an action counts as saturated."""


class TaskForce(Method):
    """One agent per task sees its row of [K | log(1 + L)] and answers with an action a_t.

    The weights are w = softmax(a) (Eq. 6). Training follows Algorithm 1, with the next batch as the
    next observation, and with its line 10 mended: the transition that is stored carries the reward
    that line 9 has just computed for it, whose gradient part belongs to the weights and Gram matrix
    of the step before. The agents learn from iteration ``batch_size`` + 1 on.

    ``normalize_scope`` says where the normalised gradients g_t / c_t take the place of the
    gradients: in the observation alone, or also in the reward and in the shared update, which is
    then sum_t w_t g_t / c_t. The tasks' own parameters never see c_t; under weighted heads their
    gradients are multiplied by w_t.

    The state is that of the game: the last observation, actions, weights, Gram matrix and losses,
    the replay buffer, the noise, the agents with their optimisers, and the generator that all
    draws come from.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: of the agents' first parameters, the noise and the sampling.
        normalize: what divides a task gradient: 1, its norm, the loss, or loss times norm.
        normalize_scope: where it does.
        action_bound: actions stay within plus and minus this (tanh, then noise, then a clamp);
            None for unbounded actions.
        lambda_l: factor of the loss reward (Eq. 10).
        lambda_g: factor of the gradient reward (Eq. 10).
        hidden_dim: width of the agents' two hidden layers.
        learning_rate: of the agents.
        batch_size: transitions in one update, at least 2 as batch-normalisation needs.
        buffer_size: transitions in the replay buffer.
        tau: share of the online networks in a soft target update (Eq. 13).
        gamma: discount.
        update_every: iterations between updates of the agents.
        noise_start: scale of the exploration noise at the first iteration.
        noise_end: scale after ``noise_steps`` iterations.
        noise_steps: length of the linear decay, in iterations.
        noise_theta: mean reversion of the Ornstein-Uhlenbeck noise.
        noise_sigma: standard deviation of its steps.
        grad_clip: largest gradient norm of one actor or critic.
        action_penalty: factor of the mean squared action in the actor loss.

    Raises:
        ConfigError: ``batch_size`` is 1.
    """

    needs: ClassVar[Needs] = "gram"

    previous_observation_TO: Tensor
    previous_actions_T: Tensor
    previous_weights_T: Tensor
    previous_gram_TT: Tensor
    previous_losses_T: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        normalize: Literal["none", "l2", "loss", "loss+"] = "l2",
        normalize_scope: Literal["observation", "all"] = "all",
        action_bound: Positive | None = 1.0,
        lambda_l: NonNegative = 1.0,
        lambda_g: NonNegative = 1e-3,
        hidden_dim: PositiveInt = 64,
        learning_rate: Positive = 5e-4,
        batch_size: PositiveInt = 64,
        buffer_size: PositiveInt = 100_000,
        tau: Fraction = 0.01,
        gamma: Fraction = 0.95,
        update_every: PositiveInt = 1,
        noise_start: NonNegative = 0.3,
        noise_end: NonNegative = 0.05,
        noise_steps: PositiveInt = 10_000,
        noise_theta: NonNegative = 0.15,
        noise_sigma: NonNegative = 0.2,
        grad_clip: Positive = 0.5,
        action_penalty: NonNegative = 1e-3,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        if batch_size < 2:
            raise ConfigError("method.batch_size=1: batch-normalisation needs at least 2")
        self.normalize = normalize
        self.normalize_scope = normalize_scope
        self.action_bound = action_bound
        self.lambda_l = lambda_l
        self.lambda_g = lambda_g
        self.batch_size = batch_size
        self.update_every = update_every
        self.noise_start = noise_start
        self.noise_end = noise_end
        self.noise_steps = noise_steps
        self.agents = Agents(
            num_tasks,
            self.generator,
            hidden_dim=hidden_dim,
            action_bound=action_bound,
            learning_rate=learning_rate,
            tau=tau,
            gamma=gamma,
            grad_clip=grad_clip,
            action_penalty=action_penalty,
        )
        self.replay = Replay(num_tasks, buffer_size)
        self.noise = OrnsteinUhlenbeck(num_tasks, noise_theta, noise_sigma)
        self.iteration = 0
        self.agent_losses = AgentLosses(0.0, 0.0)
        for name, shape, dtype in (
            ("observation_TO", (num_tasks, num_tasks + 1), torch.float32),
            ("actions_T", (num_tasks,), torch.float32),
            ("weights_T", (num_tasks,), torch.float64),
            ("gram_TT", (num_tasks, num_tasks), torch.float64),
            ("losses_T", (num_tasks,), torch.float64),
        ):
            self.register_buffer(f"previous_{name}", torch.zeros(shape, dtype=dtype))

    def step(self, gradients: TaskGradients) -> StepInfo:
        """Play one iteration of Algorithm 1 and write the gradients of every parameter.

        The diagnostics have the same keys at every step. ``reward``, ``reward_loss`` and
        ``reward_gradient`` belong to the step before, whose outcome has just been seen, and are 0
        at the first; ``critic_loss`` and ``actor_loss`` are those of the latest update, 0 before
        the first. Three tell whether the agents can learn at all: ``reward_deviation``, the spread
        of the rewards in the buffer, to be compared with the mean reward; ``td_error``, the root
        mean squared error of the critics in units of that spread; and ``weight_entropy``, log T for
        equal weights, 0 when one task has them all.
        """
        gram_TT = gradients.gram()
        weights_T = self.weights(gradients.losses_T, gram_TT)
        shared_T = weights_T
        if self.normalize_scope == "all":
            shared_T = weights_T / normalizers(gram_TT, gradients.losses_T, self.normalize)
        gradients.apply(shared_T, self.head_weights(weights_T))
        return StepInfo(weights_T, self.diagnostics)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Play one iteration and return w, float64 on the simplex, shape (T,).

        The weights are those of the gradients g_t / c_t under ``normalize_scope`` "all" and of the
        g_t under "observation". Every call is a move in the game: it stores a transition and may
        train the agents.

        Raises:
            TrainingError: a loss is negative, or a loss or gradient is not finite. Nothing of it
                is remembered then.
        """
        assert gram_TT is not None
        _require_valid(losses_T, gram_TT)
        self.iteration += 1
        normalized_TT = normalize_gram(gram_TT, normalizers(gram_TT, losses_T, self.normalize))
        observation_TO = observe(normalized_TT, losses_T)
        rewards = self._remember(observation_TO, losses_T)
        noise_scale = linear_decay(
            self.iteration - 1, self.noise_start, self.noise_end, self.noise_steps
        )
        actions_T = self._act(observation_TO, noise_scale)
        weights_T = torch.softmax(actions_T.double(), dim=0)
        self.previous_observation_TO.copy_(observation_TO)
        self.previous_actions_T.copy_(actions_T)
        self.previous_weights_T.copy_(weights_T)
        self.previous_gram_TT.copy_(normalized_TT if self.normalize_scope == "all" else gram_TT)
        self.previous_losses_T.copy_(losses_T)
        if self.iteration > self.batch_size and self.iteration % self.update_every == 0:
            batch = self.replay.sample(self.batch_size, self.generator)
            self.agent_losses = self.agents.update(batch)
        self.diagnostics = rewards | {
            "critic_loss": self.agent_losses.critic,
            "actor_loss": self.agent_losses.actor,
            "td_error": self.agent_losses.critic**0.5,
            "reward_deviation": self.replay.reward_deviation(),
            "noise_scale": noise_scale,
            "saturated": self._saturated(actions_T),
            "weight_entropy": torch.special.entr(weights_T).sum().item(),
        }
        return weights_T

    def _remember(self, observation_TO: Tensor, losses_T: Tensor) -> dict[str, float]:
        """Store the transition that this observation completes and return its rewards."""
        if self.iteration == 1:
            return {"reward_loss": 0.0, "reward_gradient": 0.0, "reward": 0.0}
        reward_loss = loss_reward(self.previous_losses_T, losses_T)
        reward_gradient = gradient_reward(self.previous_weights_T, self.previous_gram_TT)
        reward = self.lambda_l * reward_loss + self.lambda_g * reward_gradient
        self.replay.push(
            self.previous_observation_TO, self.previous_actions_T, reward, observation_TO
        )
        return {"reward_loss": reward_loss, "reward_gradient": reward_gradient, "reward": reward}

    def _act(self, observation_TO: Tensor, noise_scale: float) -> Tensor:
        """Return the (T,) actions with noise."""
        actions_T = self.agents.act(observation_TO)
        actions_T += noise_scale * self.noise.sample(self.generator)
        if self.action_bound is not None:
            actions_T.clamp_(-self.action_bound, self.action_bound)
        return actions_T

    def _saturated(self, actions_T: Tensor) -> float:
        """Return the share of actions near the bound, 0 if there is none."""
        if self.action_bound is None:
            return 0.0
        near = actions_T.abs() > SATURATED * self.action_bound
        return near.sum().item() / self.num_tasks

    def get_extra_state(self) -> dict[str, Any]:
        """Return the generator's state, the iteration and the latest agent losses."""
        state = super().get_extra_state()
        return state | {"iteration": self.iteration, "agent_losses": list(self.agent_losses)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        super().set_extra_state(state)
        self.iteration = state["iteration"]
        self.agent_losses = AgentLosses(*state["agent_losses"])


def _require_valid(losses_T: Tensor, gram_TT: Tensor) -> None:
    """Stop at numbers that would stay in the replay buffer and spoil the agents much later."""
    pairs = zip(losses_T.tolist(), gram_TT.diagonal().tolist(), strict=True)
    for task, (loss, square) in enumerate(pairs):
        if not (0 <= loss < inf and square < inf):
            raise TrainingError(
                f"task {task}: loss {loss:g}, squared gradient norm {square:g}; taskforce takes "
                "finite losses that are not negative, and finite gradients"
            )
