"""The policy of IGBv2: a Gaussian over scores, whose softmax are the task weights.

Legend of shape suffixes: B states, T tasks.
"""

from __future__ import annotations

from itertools import pairwise
from math import log, pi
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

LogProb = Literal["softmax", "gaussian", "tanh"]

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0


class PolicySample(NamedTuple):
    """Task weights drawn from the policy, and their log-probabilities."""

    weights_BT: Tensor
    log_probs_B: Tensor


def task_weights(scores_BT: Tensor) -> Tensor:
    """Return w = T softmax(u), of the same shape; the last dimension is that of the tasks."""
    return scores_BT.shape[-1] * scores_BT.softmax(dim=-1)


def log_probs(scores_BT: Tensor, means_BT: Tensor, log_stds_BT: Tensor, kind: LogProb) -> Tensor:
    """Return the log-probability of the action that the scores u stand for, shape (B,).

    Args:
        scores_BT: u.
        means_BT: mu(s).
        log_stds_BT: log sigma(s).
        kind: ``softmax`` is the density of w on the simplex, over its first T - 1 coordinates (a
            logistic-normal density; Aitchison and Shen, 1980). ``gaussian`` is that of u. ``tanh``
            is that of tanh(u), what the official code computes although it squashes with softmax.
    """
    if kind == "softmax":
        return _simplex_log_probs(scores_BT, means_BT, log_stds_BT)
    normalized_BT = (scores_BT - means_BT) * (-log_stds_BT).exp()
    log_probs_BT = -0.5 * normalized_BT.square() - log_stds_BT - 0.5 * log(2 * pi)
    if kind == "tanh":  # minus log(1 - tanh(u)^2), in a form that doesn't cancel
        log_probs_BT = log_probs_BT - 2 * (log(2) - scores_BT - F.softplus(-2 * scores_BT))
    return log_probs_BT.sum(dim=1)


def _simplex_log_probs(scores_BT: Tensor, means_BT: Tensor, log_stds_BT: Tensor) -> Tensor:
    """Return the log density of w = T softmax(u), shape (B,).

    The differences u_t - u_T are Gaussian with covariance D + sigma_T^2 11'. With precisions
    a_t = 1 / sigma_t^2 and their sum A, its determinant is A prod_t sigma_t^2 and its quadratic
    form is sum_t a_t (d_t - d)^2 with d_t = u_t - mu_t and their mean d under the weights a_t / A.
    The step from the differences to w divides by prod_t w_t / T.
    """
    num_tasks = scores_BT.shape[1]
    deltas_BT = scores_BT - means_BT
    shares_BT = (-2 * log_stds_BT).softmax(dim=1)  # a_t / A
    log_total_B = (-2 * log_stds_BT).logsumexp(dim=1)  # log A
    centred_BT = deltas_BT - (shares_BT * deltas_BT).sum(dim=1, keepdim=True)
    squares_B = (centred_BT * (-log_stds_BT).exp()).square().sum(dim=1)
    log_normal_B = -0.5 * (squares_B + log_total_B + (num_tasks - 1) * log(2 * pi))
    log_normal_B = log_normal_B - log_stds_BT.sum(dim=1)
    log_weights_BT = scores_BT.log_softmax(dim=1) + log(num_tasks)
    return log_normal_B - log_weights_BT.sum(dim=1) + log(num_tasks)


class Actor(nn.Module):
    """Two hidden ReLU layers from T losses to the means and log deviations of T scores.

    Args:
        num_tasks: T.
        hidden_dim: width of the hidden layers.
        log_prob: see ``log_probs``.
        generator: draws the parameters of each layer from U(-b, b) with b = 1 / sqrt(inputs), as
            torch.nn.Linear does.
    """

    def __init__(
        self, num_tasks: int, hidden_dim: int, log_prob: LogProb, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.log_prob = log_prob
        sizes = (num_tasks, hidden_dim, hidden_dim, 2 * num_tasks)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            linear = skip_init(nn.Linear, inputs, outputs, dtype=torch.float32)
            for parameter in linear.parameters():
                bound = inputs**-0.5
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
            layers += [linear, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, losses_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu(s) and log sigma(s), (B, T) each."""
        means_BT, log_stds_BT = self.layers(losses_BT).chunk(2, dim=-1)
        return means_BT, log_stds_BT.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def sample(self, losses_BT: Tensor, generator: torch.Generator) -> PolicySample:
        """Draw u = mu + sigma n and return the weights, differentiable in the parameters."""
        means_BT, log_stds_BT = self(losses_BT)
        noise_BT = torch.randn(means_BT.shape, generator=generator, dtype=means_BT.dtype)
        scores_BT = means_BT + log_stds_BT.exp() * noise_BT
        log_probs_B = log_probs(scores_BT, means_BT, log_stds_BT, self.log_prob)
        return PolicySample(task_weights(scores_BT), log_probs_B)
