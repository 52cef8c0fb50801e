"""Agents that choose modules, one for each task.

Legend of shape suffixes: T tasks, S of them that took part, L layers, N modules of a layer, H past
choices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

HISTORY = 256
"""Past choices of a layer, of all tasks, that the collaboration reward counts."""


class Router(nn.Module):
    """Tabular agents that learn by weighted policy learning (WPL) which modules serve their task.

    Rosenbaum et al., Routing Networks, ICLR 2018, Algorithm 2. Agent t has a probability
    π[t, l, n] for every module n of every layer l, at first 1 / N. It chooses modules a_1 ... a_L,
    is rewarded by r, the negative loss of its task, and for every choice by
    r_l = ρ / L |r| times the share of a_l among the layer's latest 256 choices of all tasks, the
    collaboration reward. With the return R_l = r + r_l + ... + r_L,

        R̄[t, l] <- (1 - λ) R̄[t, l] + λ R_l,       Δ = R_l - R̄[t, l],
        Δ <- Δ (1 - π[t, l, a_l]) if Δ < 0, and Δ π[t, l, a_l] otherwise,
        π[t, l, :] <- projection of π[t, l, :] + λ Δ e_{a_l} on the simplex.

    R̄ begins with 0. The rewards are those of the released code, which takes ρ² for ρ.

    A choice stays until the next update, so that everything that is computed for one update sees
    one network. All that the agents know are buffers; what they draw comes from torch's global
    generator.

    Args:
        tasks: T.
        layers: L.
        modules: N.
        learning_rate: λ.
        collaboration: ρ.
    """

    policies_TLN: Tensor
    returns_TL: Tensor
    choices_TL: Tensor
    history_LH: Tensor

    def __init__(
        self, tasks: int, layers: int, modules: int, learning_rate: float, collaboration: float
    ) -> None:
        super().__init__()
        self.learning_rate, self.collaboration = learning_rate, collaboration
        uniform_TLN = torch.full((tasks, layers, modules), 1 / modules, dtype=torch.float64)
        self.register_buffer("policies_TLN", uniform_TLN)
        self.register_buffer("returns_TL", torch.zeros(tasks, layers, dtype=torch.float64))
        self.register_buffer("choices_TL", draw(uniform_TLN))
        self.register_buffer("history_LH", torch.full((layers, HISTORY), modules))

    def modules_of(self, task: int) -> list[int]:
        """Return the module of each layer: drawn while training, the likeliest in evaluation."""
        likeliest_L = self.policies_TLN[task].argmax(dim=1)
        numbers: list[int] = (self.choices_TL[task] if self.training else likeliest_L).tolist()
        return numbers

    @torch.no_grad()
    def learn(self, tasks: Sequence[int], losses: Sequence[float]) -> None:
        """Learn from an update, and draw the choices of the tasks that took part anew.

        Args:
            tasks: numbers of the S tasks that took part.
            losses: theirs.
        """
        chosen_SL = self.choices_TL[list(tasks)]
        reward_S1 = -chosen_SL.new_tensor(losses, dtype=torch.float64)[:, None]
        returns_SL = self._returns(reward_S1, chosen_SL)
        average_SL = torch.lerp(self.returns_TL[list(tasks)], returns_SL, self.learning_rate)
        self.returns_TL[list(tasks)] = average_SL
        policies_SLN = self.policies_TLN[list(tasks)]
        taken_SL1 = chosen_SL[:, :, None]
        probability_SL = policies_SLN.gather(2, taken_SL1)[:, :, 0]
        advantage_SL = returns_SL - average_SL
        weight_SL = torch.where(advantage_SL < 0, 1 - probability_SL, probability_SL)
        step_SL = self.learning_rate * advantage_SL * weight_SL
        policies_SLN = simplex_projection(
            policies_SLN.scatter_add(2, taken_SL1, step_SL[:, :, None])
        )
        self.policies_TLN[list(tasks)] = policies_SLN
        self.choices_TL[list(tasks)] = draw(policies_SLN)

    def _returns(self, reward_S1: Tensor, chosen_SL: Tensor) -> Tensor:
        """Note the choices, and return R_l of each."""
        layers, modules = self.policies_TLN.shape[1:]
        history_LH = torch.cat([self.history_LH, chosen_SL.T], dim=1)[:, -HISTORY:]
        self.history_LH.copy_(history_LH)
        # the last column counts the places that no choice has filled yet
        counts_LN = functional.one_hot(history_LH, modules + 1).sum(dim=1)[:, :-1].double()
        shares_LN = counts_LN / counts_LN.sum(dim=1, keepdim=True)
        shares_SL = shares_LN.T.gather(0, chosen_SL)
        bonus_SL = self.collaboration / layers * reward_S1.abs() * shares_SL
        return reward_S1 + bonus_SL.flip(1).cumsum(1).flip(1)


def draw(policies_TLN: Tensor) -> Tensor:
    """Return a module of every layer for every task, (T, L), drawn on the CPU."""
    drawn = torch.multinomial(policies_TLN.flatten(0, 1).cpu(), 1)
    return drawn.view(policies_TLN.shape[:2]).to(policies_TLN.device)


def simplex_projection(values: Tensor) -> Tensor:
    """Return the nearest points of the probability simplex, along the last dimension.

    Duchi et al., Efficient Projections onto the l1-Ball, ICML 2008.

    Example:
        >>> import torch
        >>> from mtl_bench.architectures.router import simplex_projection
        >>> simplex_projection(torch.tensor([0.75, 0.5, -0.5]))
        tensor([0.6250, 0.3750, 0.0000])
    """
    ordered = values.sort(dim=-1, descending=True).values
    counts = torch.arange(1, values.shape[-1] + 1, device=values.device)
    thresholds = (ordered.cumsum(-1) - 1) / counts
    support = (ordered > thresholds).sum(dim=-1, keepdim=True)
    return (values - thresholds.gather(-1, support - 1)).clamp(min=0)
