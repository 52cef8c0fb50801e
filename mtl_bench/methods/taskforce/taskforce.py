"""TaskForce: cooperative multi-agent reinforcement learning chooses the task weights."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from mtl_bench.agents.exploration import OrnsteinUhlenbeck, linear_decay, saturation
from mtl_bench.errors import ConfigError
from mtl_bench.gradients.normalize import Normalize, normalize_gram, normalizers
from mtl_bench.methods.base import Method, Needs, StepInfo, present_in
from mtl_bench.methods.taskforce.agents import Agents
from mtl_bench.methods.taskforce.bandit import Bandit
from mtl_bench.methods.taskforce.matd3 import MATD3
from mtl_bench.methods.taskforce.pending import PendingTransition, observe, require_valid
from mtl_bench.methods.taskforce.policies import AgentLosses
from mtl_bench.methods.taskforce.reward import NO_REWARD, Reward, Rewards
from mtl_bench.methods.taskforce.structure import Structure, describe_raw, require_joint
from mtl_bench.values import (
    Fraction,
    HeadWeighting,
    Name,
    NonNegative,
    Positive,
    PositiveInt,
)

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class TaskForce(Method):
    """One agent per task sees its row of [K | log(1 + L)] and chooses an action a_t.

    The weights are w = softmax(a) (Eq. 6). Training follows Algorithm 1, with the next batch as the
    next observation, and with its line 10 corrected: the stored transition carries the reward
    that line 9 has just computed for it, whose gradient part belongs to the weights and Gram matrix
    of the step before. The agents learn from iteration ``batch_size`` + 1 on. With ``transition``
    "same_batch" it follows Algorithm 2: the same batch, seen again after the update, completes the
    transition in the step in which it began.

    ``normalize_scope`` says where the normalised gradients g_t / c_t take the place of the
    gradients: in the observation alone, or also in the reward and in the shared update, which is
    then sum_t w_t g_t / c_t. The tasks' own parameters never see c_t; under weighted heads their
    gradients are multiplied by w_t.

    ``agents``, ``critic``, ``policy_input``, ``reward_scope``, ``gradient_reward`` and
    ``observation`` are the steps of the paper's ablation (appendix A, table 3); see ``Agents`` and
    ``Rewards``.

    The state is that of the game: the last observation, actions, weights, Gram matrix and losses,
    the replay buffer, the noise, the agents with their optimisers, and the generator that all
    draws come from.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: of the agents' first parameters, the noise and the sampling.
        observation: the Gram matrix, or ``raw``, the gradients themselves, which is refused with
            what it would cost.
        agents: one agent per task (``multi``) or one for all (``single``).
        critic: whether a critic judges all actions (``joint``) or those of its agent (``own``).
        policy_input: whether an actor sees its row (``local``) or all (``global``).
        learner: the paper's MADDPG, MATD3 (twin critics, smoothed targets, delayed actors), or a
            ``bandit`` that learns by policy gradients on ``batch_size`` new transitions at a time,
            needs ``gamma`` 0, draws from a Gaussian whose deviation begins as ``noise_start``, and
            has no use for the replay buffer, ``critic``, ``critic_inputs``, ``tau``,
            ``update_every`` and the other fields of the noise.
        critic_inputs: what normalises the critics' inputs; see ``Agents``.
        reward_scope: whether the loss reward is the sum over the tasks (``shared``) or each
            task's own.
        gradient_reward: Eq. 9 (``min_norm``), Eq. 23 (``imtl``), Nash welfare (``nash``,
            experimental), ``none``, or the path of a class of an added package; see
            ``gradient_rewards``.
        reward_gradients: whether it is of the gradients that w multiplies, ``normalized`` as
            ``normalize_scope`` says, or of the ``raw`` ones.
        transition: whether the next batch or the same one completes a transition.
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
        penalty_on: what is squared there, the ``action`` or the actor's ``raw_output``, whose
            penalty does not vanish at the bound.

    Raises:
        ConfigError: ``batch_size`` is 1, a single agent with what only several can have, a bandit
            with a future, or a reward that there isn't.

    Example:
        >>> import torch
        >>> from mtl_bench import TaskForce, TaskGradients
        >>> theta = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> method = TaskForce(2)
        >>> info = method.step(TaskGradients([theta[0].square(), theta[1].square()], [theta]))
        >>> info.weights_T.shape, round(info.weights_T.sum().item(), 6)
        (torch.Size([2]), 1.0)
    """

    needs: ClassVar[Needs] = "gram"

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        observation: Literal["gram", "raw"] = "gram",
        agents: Literal["single", "multi"] = "multi",
        critic: Literal["own", "joint"] = "joint",
        policy_input: Literal["global", "local"] = "local",
        learner: Literal["maddpg", "matd3", "bandit"] = "maddpg",
        critic_inputs: Literal["raw", "batch_norm", "layer_norm"] = "raw",
        reward_scope: Literal["own", "shared"] = "shared",
        gradient_reward: Name = "min_norm",
        reward_gradients: Literal["normalized", "raw"] = "normalized",
        transition: Literal["next_batch", "same_batch"] = "next_batch",
        normalize: Normalize = "l2",
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
        penalty_on: Literal["action", "raw_output"] = "action",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        if batch_size < 2:
            raise ConfigError("method.batch_size=1: batch-normalisation needs at least 2")
        if agents == "single":
            require_joint(critic=critic, policy_input=policy_input, reward_scope=reward_scope)
        self.structure = Structure(
            agents, critic, policy_input, hidden_dim, batch_size, buffer_size
        )
        self.observation = observation
        self.looks_again = transition == "same_batch"
        self.normalize = normalize
        self.normalize_scope = normalize_scope
        self.rewards_normalized = normalize_scope == "all" and reward_gradients == "normalized"
        self.action_bound = action_bound
        self.batch_size = batch_size
        self.update_every = update_every
        common: dict[str, Any] = {
            "agents": agents,
            "policy_input": policy_input,
            "hidden_dim": hidden_dim,
            "action_bound": action_bound,
            "learning_rate": learning_rate,
            "grad_clip": grad_clip,
            "action_penalty": action_penalty,
            "penalty_on": penalty_on,
        }
        self.agents: Agents | Bandit
        if learner == "bandit":
            if gamma or not noise_start:
                raise ConfigError(
                    f"method.learner=bandit with method.gamma={gamma}, method.noise_start="
                    f"{noise_start}: it needs method.gamma=0 and noise to begin with"
                )
            self.agents = Bandit(num_tasks, self.generator, deviation=noise_start, **common)
        else:
            kind = MATD3 if learner == "matd3" else Agents
            common |= {"critic": critic, "critic_inputs": critic_inputs, "tau": tau, "gamma": gamma}
            self.agents = kind(num_tasks, self.generator, **common)
        rewards = Rewards(lambda_l, lambda_g, gradient_reward, reward_scope == "own")
        self.memory = PendingTransition(num_tasks, buffer_size, rewards)
        self.noise = OrnsteinUhlenbeck(num_tasks, noise_theta, noise_sigma)
        self.noise_scale = partial(
            linear_decay, start=noise_start, end=noise_end, steps=noise_steps
        )
        self.iteration = 0
        self.agent_losses = AgentLosses(0.0, 0.0)

    @property
    def reads_losses(self) -> bool:
        """Whether its weights are made from the values of the losses: its agents observe them."""
        return True

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Play one iteration of Algorithm 1 or 2 and write the gradients of every parameter.

        The diagnostics have the same keys at every step. ``reward``, ``reward_loss`` and
        ``reward_gradient`` belong to the step before, whose outcome has just been seen, and are 0
        at the first (under "same_batch" they belong to the step itself); ``critic_loss`` and
        ``actor_loss`` are those of the latest update, 0 before the first. Three tell whether the
        agents can learn at all: ``reward_deviation``, the spread of the rewards in the buffer, to
        be compared with the mean reward; ``td_error``, the root mean squared error of the critics
        in units of that spread; and ``weight_entropy``, log T for equal weights, 0 when one task
        has them all. Where every task has a reward of its own these are means over the tasks.

        Raises:
            ConfigError: the observation is ``raw``.
        """
        if self.observation == "raw":
            cost = describe_raw(self.num_tasks, gradients.num_shared, self.structure)
            raise ConfigError(f"method.observation=raw is computed, not run: {cost}; use gram")
        gram_TT = gradients.gram()
        weights_T = self.weights(gradients.losses_T, gram_TT)
        shared_T = weights_T
        if self.normalize_scope == "all":
            shared_T = weights_T / normalizers(gram_TT, gradients.losses_T, self.normalize)
        gradients.apply(shared_T, self.head_weights(weights_T))
        return StepInfo(weights_T, self.diagnostics)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Make a move and return w, float64 on the simplex, shape (T,).

        The weights are those of the gradients g_t / c_t under ``normalize_scope`` "all" and of the
        g_t under "observation". Every call is a move in the game: it stores a transition and may
        train the agents, unless that is left to ``after_update``.

        Raises:
            NonFiniteError: a loss is negative, or a loss or gradient is not finite. Nothing of it
                is remembered then.
        """
        assert gram_TT is not None
        losses_T, gram_TT = self.memory.with_absent(losses_T, gram_TT, self.present)
        observation_TO, normalized_TT = self._observe(losses_T, gram_TT)
        self.iteration += 1
        reward = NO_REWARD
        if not self.looks_again and self.iteration > 1:
            reward = self.memory.finish(observation_TO, losses_T)
        noise_scale = self.noise_scale(self.iteration - 1)
        actions_T = self._act(observation_TO, noise_scale)
        chosen_T = torch.full_like(actions_T, -torch.inf, dtype=torch.float64)
        chosen_T[self.active] = actions_T[self.active].double()
        weights_T = torch.softmax(chosen_T, dim=0)
        rewarded_TT = normalized_TT if self.rewards_normalized else gram_TT
        self.memory.start(observation_TO, actions_T, weights_T, rewarded_TT, losses_T, self.active)
        if not self.looks_again:
            self._learn()
        self.diagnostics = self._outcome(reward) | {
            "noise_scale": noise_scale,
            "saturated": saturation(actions_T, self.action_bound),
            "weight_entropy": torch.special.entr(weights_T).sum().item(),
        }
        return self.of_present(weights_T)

    def after_update(self, gradients: TaskGradients) -> dict[str, float]:
        """Complete the transition of this step with what the same batch looks like now.

        Algorithm 2, lines 10 to 17. Returns the diagnostics that this changes.

        Raises:
            NonFiniteError: as in ``weights``. It stops the run even where batches that aren't
                finite are skipped, since here the parameters are at fault and not the batch.
        """
        present = present_in(gradients, self.num_tasks)
        losses_T, gram_TT = self.memory.with_absent(gradients.losses_T, gradients.gram(), present)
        observation_TO, _ = self._observe(losses_T, gram_TT)
        reward = self.memory.finish(observation_TO, losses_T)
        self._learn()
        outcome = self._outcome(reward)
        self.diagnostics = self.diagnostics | outcome
        return outcome

    def _observe(self, losses_T: Tensor, gram_TT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (T, O) observation and the (T, T) Gram matrix in it."""
        require_valid(losses_T, gram_TT, self.task_names)
        normalized_TT = normalize_gram(gram_TT, normalizers(gram_TT, losses_T, self.normalize))
        return observe(normalized_TT, losses_T), normalized_TT

    def _learn(self) -> None:
        """Update the agents if it is time."""
        if self.iteration <= self.batch_size:
            return
        if not self.agents.on_policy:
            if self.iteration % self.update_every == 0:
                batch = self.memory.replay.sample(self.batch_size, self.generator)
                self.agent_losses = self.agents.update(batch)
        elif self.iteration % self.batch_size == 1:
            batch = self.memory.replay.latest(self.batch_size)
            self.agent_losses = self.agents.update(batch)

    def _outcome(self, reward: Reward) -> dict[str, float]:
        """Return the diagnostics that depend on a reward or an update."""
        return {
            "reward_loss": reward.loss,
            "reward_gradient": reward.gradient,
            "reward": reward.mean,
            "critic_loss": self.agent_losses.critic,
            "actor_loss": self.agent_losses.actor,
            "td_error": self.agent_losses.critic**0.5,
            "reward_deviation": self.memory.replay.reward_deviation(),
        }

    def _act(self, observation_TO: Tensor, noise_scale: float) -> Tensor:
        """Return the (T,) actions with noise."""
        actions_T = self.agents.act(observation_TO)
        if self.agents.on_policy:
            return actions_T
        actions_T += noise_scale * self.noise.sample(self.generator)
        if self.action_bound is not None:
            actions_T.clamp_(-self.action_bound, self.action_bound)
        return actions_T

    def get_extra_state(self) -> dict[str, Any]:
        """Return the generator's state, the iteration and the latest agent losses."""
        state = super().get_extra_state()
        return state | {"iteration": self.iteration, "agent_losses": list(self.agent_losses)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        super().set_extra_state(state)
        self.iteration = state["iteration"]
        self.agent_losses = AgentLosses(*state["agent_losses"])
