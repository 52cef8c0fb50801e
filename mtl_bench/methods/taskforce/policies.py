"""What every learner of TaskForce begins with: the actors and what they see.

Legend of shape suffixes: T tasks, N actors (T, or one for all tasks), M = T / N actions of one
actor, B transitions, O = T + 1 numbers that one task's agent observes, D = T O numbers that all
observe, I inputs, P parameters of one network.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_bench.agents.mlp_ensemble import Learner, MLPEnsemble

ACTOR_OUTPUT_BOUND = 3e-3
NORM_MOMENTUM = 0.1
NORM_EPS = 1e-5


class AgentLosses(NamedTuple):
    """Critic and actor loss of one update, averaged over the agents."""

    critic: float
    actor: float


class Policies(Learner):
    """Actors mu_t, their observations batch-normalised without affine parameters.

    Args:
        num_tasks: T.
        generator: draws the initial parameters, and what a learner draws later.
        agents: one agent per task, or a single one.
        policy_input: whether an actor sees its own row or all.
        hidden_dim: width of the two hidden layers.
        action_bound: actions are tanh times this; None leaves them unbounded.
        learning_rate: of every Adam optimiser.
        grad_clip: largest gradient norm of one network.
        action_penalty: factor of the mean square in the actor loss.
        penalty_on: what is squared there: the ``action``, whose penalty vanishes at the bound with
            the slope of tanh, or the ``raw_output`` before tanh, as in the public MADDPG.
    """

    on_policy: ClassVar[bool] = False
    """Whether it draws its actions itself and learns from each of them once, when they are new."""

    running_mean_D: Tensor
    running_var_D: Tensor

    def __init__(
        self,
        num_tasks: int,
        generator: torch.Generator,
        *,
        agents: Literal["single", "multi"],
        policy_input: Literal["global", "local"],
        hidden_dim: int,
        action_bound: float | None,
        learning_rate: float,
        grad_clip: float,
        action_penalty: float,
        penalty_on: Literal["action", "raw_output"],
    ) -> None:
        super().__init__()
        self.generator = generator
        self.num_agents = num_tasks if agents == "multi" else 1
        self.num_actions = num_tasks // self.num_agents
        self.local_policies = policy_input == "local"
        self.action_bound = action_bound
        self.grad_clip = grad_clip
        self.action_penalty = action_penalty
        self.penalise_raw = penalty_on == "raw_output"
        observed = num_tasks + 1
        self.everything = num_tasks * observed
        self.actors = MLPEnsemble(
            self.num_agents,
            observed if self.local_policies else self.everything,
            hidden_dim,
            generator,
            ACTOR_OUTPUT_BOUND,
            output_dim=self.num_actions,
        )
        self.register_buffer("running_mean_D", torch.zeros(self.everything, dtype=torch.float32))
        self.register_buffer("running_var_D", torch.ones(self.everything, dtype=torch.float32))
        self.add_adam("actor", self.actors.parameters(), learning_rate)

    def outputs(self, observation_TO: Tensor) -> Tensor:
        """Return what the present actors say before any bound, (N, 1, M)."""
        return self.actors(self._seen(self._standardise(observation_TO[None]))).outputs_TBM

    def _standardise(self, observations_BTO: Tensor) -> Tensor:
        """Return all rows, (B, D), normalised with the running statistics."""
        return F.batch_norm(
            observations_BTO.flatten(1), self.running_mean_D, self.running_var_D, eps=NORM_EPS
        )

    def _standardise_batch(self, observations_BTO: Tensor, momentum: float) -> Tensor:
        """Return all rows, (B, D), normalised with their own statistics, which are kept."""
        return F.batch_norm(
            observations_BTO.flatten(1),
            self.running_mean_D,
            self.running_var_D,
            training=True,
            momentum=momentum,
            eps=NORM_EPS,
        )

    def _seen(self, observed_BD: Tensor) -> Tensor:
        """Return the actors' input, (N, B, O) or (N, B, D): their own rows or all of them."""
        if self.local_policies:
            return observed_BD.unflatten(1, (self.num_agents, -1)).transpose(0, 1)
        return observed_BD.expand(self.num_agents, -1, -1)

    def _split(self, actions_BT: Tensor) -> Tensor:
        """Return the actions of each agent, (N, B, M)."""
        return actions_BT.unflatten(1, (self.num_agents, self.num_actions)).transpose(0, 1)

    def _bounded(self, outputs_NBM: Tensor) -> Tensor:
        """Return the actions that belong to the actors' outputs."""
        return outputs_NBM if self.action_bound is None else self.action_bound * outputs_NBM.tanh()

    def _penalise(self, outputs_NBM: Tensor) -> tuple[float, Tensor]:
        """Return the penalty of the actors' outputs and its gradient."""
        factor = 2 * self.action_penalty / (outputs_NBM.shape[1] * self.num_actions)
        if self.penalise_raw or self.action_bound is None:
            penalty = self.action_penalty * outputs_NBM.square().mean().item()
            return penalty, factor * outputs_NBM
        actions_NBM = self._bounded(outputs_NBM)
        slopes_NBM = self.action_bound - actions_NBM.square() / self.action_bound
        penalty = self.action_penalty * actions_NBM.square().mean().item()
        return penalty, factor * actions_NBM * slopes_NBM

    def _fit(
        self, name: str, networks: MLPEnsemble, inputs_NBI: Tensor, targets_NB: Tensor
    ) -> float:
        """Descend the squared error of some networks and return its mean over the agents."""
        run = networks(inputs_NBI)
        errors_NB = run.outputs_TB - targets_NB
        gradient_NBM = (errors_NB * (2 / errors_NB.shape[1])).unsqueeze(2)
        self._descend(name, networks, networks.parameter_gradients(run, gradient_NBM))
        return errors_NB.square().mean().item()

    def _descend(self, name: str, networks: MLPEnsemble, gradient_TP: Tensor) -> None:
        """Take one optimiser step, with the gradient of each network clipped by its own norm."""
        norms_T1 = torch.linalg.vector_norm(gradient_TP, dim=1, keepdim=True)
        networks.flat_TP.grad = gradient_TP.mul_((self.grad_clip / (norms_T1 + 1e-6)).clamp_(max=1))
        self.optimizers[name].step()
        networks.flat_TP.grad = None
