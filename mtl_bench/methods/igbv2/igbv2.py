"""IGBv2: a soft actor-critic chooses the weights of the logarithms of the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from mtl_bench.errors import ConfigError
from mtl_bench.methods.base import Method, StepInfo
from mtl_bench.methods.igbv2.policy import task_weights
from mtl_bench.methods.igbv2.sac import SoftActorCritic, UpdateMetrics, make_replay
from mtl_bench.methods.log_losses import nonnegative
from mtl_bench.values import Fraction, HeadWeighting, NonNegativeInt, Positive, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class IGBv2(Method):
    """Improvable gap balancing, second form (Dai, Fei and Lu, UAI 2023).

    What is minimised is sum_t w_t log L_t, so that the gradient of task t is multiplied by
    w_t / L_t, and by 0 where L_t is 0 (or w_t / L_t overflows float32): nothing is left to
    minimise there. The agent observes the losses as they are and chooses the weights w =
    T softmax(u), where u is always drawn from a Gaussian. The reward is the relative drop, in
    units of the mean losses of epoch ``base_epoch``, of the loss that has improved least from one
    step to the next. Transitions are stored from the end of that epoch on; the weights are those of
    standard normal u in the first ``random_epochs`` epochs.

    From epoch ``update_after_epochs`` on, every ``update_every`` steps the agent makes
    int(``update_every`` k / 2) updates with batches of int(``batch_size`` k / 2) transitions, where
    k = 1 + the filled share of the buffer. Epochs are counted from 0, as in the official code.

    Deviations from the official code (IGB4MTL):

    - ``log_prob``. The official code corrects the log-probability for a tanh, although actions go
      through a softmax (``tanh`` gives this form). Here it is the density of w on the simplex. Its
      entropy is largest for weights spread evenly over the simplex, so that a policy that has
      nothing to learn yet weighs at random, as that of the official code does. ``gaussian``, the
      density of u, takes the softmax for a part of the environment. Its entropy has no largest
      value: while the temperature is high sigma goes to its upper limit e^2 and the means drift
      apart, one task gets all the weight, and the saturated softmax leaves no gradient to come
      back by.
    - ``reward_scale`` is constant. In the official NYU-v2 training it is the first learning rate
      divided by the current one; the official QM9 training overwrites a variable and divides it
      by itself, so that it is 1.
    - Epochs are counted by ``end_epoch``, not by multiples of a number of steps; the two agree
      where no batch is skipped.

    Args:
        num_tasks: T.
        head_weighting: whether w_t / L_t or 1 multiplies the gradient of task t's own parameters.
        seed: of the networks' first parameters, the random weights, the policy and the sampling.
        base_epoch: the epoch whose mean losses are the unit of the reward.
        random_epochs: epochs with random weights.
        update_after_epochs: epochs before the first update, more than ``base_epoch``.
        update_every: steps between rounds of updates.
        batch_size: transitions in one update when the buffer is full; half of it when empty.
        buffer_size: transitions in the replay buffer.
        reward_scale: factor of the reward.
        hidden_dim: width of the two hidden layers of actor and critics.
        learning_rate: of actor, critics and temperature.
        gamma: discount.
        tau: share of the online critics in a soft target update.
        initial_alpha: temperature at first; it tunes itself towards the entropy -T.
        log_prob: the density that the entropy is of; ``tanh`` is that of the official code.

    Raises:
        ConfigError: updates would begin before there is a transition to learn from.

    Example:
        >>> import torch
        >>> from mtl_bench import IGBv2, TaskGradients
        >>> theta = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> method = IGBv2(2)
        >>> gradients = TaskGradients([theta[0].square(), theta[1].square()], [theta])
        >>> info = method.step(gradients, epoch=0)
        >>> info.weights_T.shape, round(info.weights_T.sum().item(), 6)
        (torch.Size([2]), 2.0)
    """

    previous_losses_T: Tensor
    previous_weights_T: Tensor
    loss_sums_T: Tensor
    base_losses_T: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        base_epoch: NonNegativeInt = 1,
        random_epochs: NonNegativeInt = 5,
        update_after_epochs: PositiveInt = 3,
        update_every: Annotated[int, Ge(2)] = 50,
        batch_size: Annotated[int, Ge(2)] = 256,
        buffer_size: PositiveInt = 10_000,
        reward_scale: Positive = 1.0,
        hidden_dim: PositiveInt = 128,
        learning_rate: Positive = 3e-4,
        gamma: Fraction = 0.99,
        tau: Fraction = 0.005,
        initial_alpha: Positive = 0.2,
        log_prob: Literal["softmax", "gaussian", "tanh"] = "softmax",
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        if update_after_epochs <= base_epoch:
            raise ConfigError(
                f"method.update_after_epochs={update_after_epochs}: transitions are stored after "
                f"epoch method.base_epoch={base_epoch}; updates must begin later than that"
            )
        self.base_epoch = base_epoch
        self.random_epochs = random_epochs
        self.update_after_epochs = update_after_epochs
        self.update_every = update_every
        self.batch_size = batch_size
        self.reward_scale = reward_scale
        self.sac = SoftActorCritic(
            num_tasks,
            self.generator,
            hidden_dim=hidden_dim,
            learning_rate=learning_rate,
            gamma=gamma,
            tau=tau,
            initial_alpha=initial_alpha,
            log_prob=log_prob,
        )
        self.replay = make_replay(num_tasks, buffer_size)
        self.iteration = 0
        self.epoch = 0
        self.epoch_steps = 0
        self.updates = 0
        self.health = UpdateMetrics(0.0, 0.0, 0.0)
        for name in ("previous_losses_T", "previous_weights_T", "loss_sums_T", "base_losses_T"):
            self.register_buffer(name, torch.zeros(num_tasks, dtype=torch.float64))

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Choose w, and write the gradients of sum_t w_t log L_t.

        The weights that are reported are w, with sum T; what multiplies the gradient of L_t is
        w_t / L_t. The diagnostics have the same keys at every step. ``reward`` belongs to the step
        before, whose outcome has just been seen; ``critic_loss``, ``actor_loss`` and ``entropy``
        are those of the latest update. All are 0 as long as there is none. ``updates`` counts the
        updates made so far.
        """
        weights_T = self.weights(gradients.losses_T)
        factors_T = weights_T / gradients.losses_T.double()
        factors_T = torch.where(factors_T.float().isfinite(), factors_T, 0.0)
        gradients.apply(factors_T, self.head_weights(factors_T))
        return StepInfo(weights_T, self.diagnostics)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Play one step and return w, the weights of the log L_t, float64 with sum T, shape (T,).

        Every call stores a transition once there is a base, and may train the agent.

        Raises:
            NonFiniteError: a loss is negative or not finite. Nothing of it is remembered then.
        """
        losses_T = self._with_absent(nonnegative(self, losses_T))
        reward = self._remember(losses_T)
        if self.epoch >= self.update_after_epochs and self.iteration % self.update_every == 0:
            self._learn()
        if self.epoch < self.random_epochs:
            scores_T = torch.randn(self.num_tasks, generator=self.generator, dtype=torch.float64)
            weights_T = task_weights(scores_T)
        else:
            weights_T = self.sac.act(losses_T, self.generator).double()
        self.previous_losses_T.copy_(losses_T)
        self.previous_weights_T.copy_(weights_T)
        self.loss_sums_T += losses_T
        self.epoch_steps += 1
        self.iteration += 1
        self.diagnostics = {
            "reward": reward,
            "alpha": self.sac.temperature.value(),
            "updates": float(self.updates),
            **self.health._asdict(),
        }
        if self.present is None:
            return weights_T
        weights_S = self.of_present(weights_T)
        return weights_S * (len(weights_S) / weights_S.sum())

    def _with_absent(self, losses_S: Tensor) -> Tensor:
        """Return (T,) losses: of tasks without labels the last known one, 1 if there is none."""
        if self.present is None:
            return losses_S
        known_T = self.previous_losses_T.clone()
        if self.iteration == 0:
            known_T.fill_(1.0)
        known_T[self.present] = losses_S
        return known_T

    def end_epoch(self) -> None:
        """Take note that an epoch has ended; the mean losses of ``base_epoch`` are kept.

        One in which every update was skipped isn't counted.
        """
        if not self.epoch_steps:
            return
        if self.epoch == self.base_epoch:
            self.base_losses_T.copy_(self.loss_sums_T / self.epoch_steps)
        self.loss_sums_T.zero_()
        self.epoch_steps = 0
        self.epoch += 1

    def _remember(self, losses_T: Tensor) -> float:
        """Store the transition that these losses complete and return its reward."""
        if self.epoch <= self.base_epoch:
            return 0.0
        reward = self.reward_scale * improvement_reward(
            self.previous_losses_T, losses_T, self.base_losses_T
        )
        self.replay.append(self.previous_losses_T, self.previous_weights_T, reward, losses_T)
        return reward

    def _learn(self) -> None:
        """Make one round of updates."""
        k = 1 + len(self.replay) / self.replay.capacity
        for _ in range(int(self.update_every * k / 2)):
            batch = self.replay.sample(int(self.batch_size * k / 2), self.generator)
            self.health = self.sac.update(batch, self.generator)
            self.updates += 1

    def get_extra_state(self) -> dict[str, Any]:
        """Return the generator's state, the counters and the latest numbers of the agent."""
        return super().get_extra_state() | {
            "iteration": self.iteration,
            "epoch": self.epoch,
            "epoch_steps": self.epoch_steps,
            "updates": self.updates,
            "health": list(self.health),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        super().set_extra_state(state)
        self.iteration = state["iteration"]
        self.epoch = state["epoch"]
        self.epoch_steps = state["epoch_steps"]
        self.updates = state["updates"]
        self.health = UpdateMetrics(*state["health"])


def improvement_reward(before_T: Tensor, after_T: Tensor, base_T: Tensor) -> float:
    """Return the relative drop of the loss that has improved least, min_t (before - after) / base.

    A task whose base is 0 had nothing to improve and does not count; the reward is 0 if none does.

    Args:
        before_T: task losses of one step.
        after_T: those of the next step, on another batch.
        base_T: what a drop is measured against, not negative.
    """
    drops_T = (before_T.double() - after_T.double()) / base_T.double()
    counted = drops_T[base_T > 0]
    return counted.min().item() if len(counted) else 0.0
