"""Multi-task learning as a bargaining game."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from mtl_bench.methods.base import Method, Needs, StepInfo
from mtl_bench.solvers import solve_nash
from mtl_bench.solvers.ccp import ConvexConcave
from mtl_bench.solvers.solution import Solution
from mtl_bench.values import HeadWeighting, Positive, PositiveInt

if TYPE_CHECKING:
    from mtl_bench.gradients import TaskGradients


class NashMTL(Method):
    """Takes the Nash bargaining solution: positive weights a with a_t (Ka)_t = 1 for every task.

    Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022, Claim 3.2. The weights have
    no fixed sum; ||sum_t a_t g_t|| is always the root of T.

    ``newton`` solves the equivalent strictly convex problem (``solvers.nash``). ``ccp`` is the
    official procedure, up to 20 convex programs with cvxpy and ECOS, each started at the weights of
    the step before (``solvers.ccp``; needs the extra ``nash-ccp``). Where gradients differ in scale
    by a factor of 30 or more it stops far from the solution, and a program that fails keeps the
    last weights: there both are silent, and here they are fallbacks in the step log.

    ``update_weights_every`` N renews the weights at every Nth step alone, beginning with the first,
    as in the official code, whose default is 1. The cost of the task gradients stays, since
    ``max_norm`` and the step log need the Gram matrix. A task that had no label when the weights
    were renewed keeps the one that it had, at first 1.

    ``max_norm`` clips the norm of the shared gradient (and so makes it constant); the tasks' own
    gradients keep their weights, as in the official code. The Aligned-MTL code does not clip. With
    ``gradients.level=representation`` it is the norm of the combined gradient of the representation
    that is clipped, while the official code always clips that of the shared parameters.

    Args:
        num_tasks: T.
        head_weighting: see ``Method``.
        seed: not used.
        solver: how the weights are found.
        max_norm: largest norm of the shared gradient; None for no limit.
        update_weights_every: steps for which weights are kept.

    Raises:
        ConfigError: ``solver`` is ccp and cvxpy or ECOS is not installed.

    Example:
        >>> import torch
        >>> from mtl_bench import NashMTL
        >>> gram_TT = torch.tensor([[4.0, -1.0], [-1.0, 1.0]]).double()
        >>> NashMTL(2).weights(torch.ones(2), gram_TT)
        tensor([0.7071, 1.4142], dtype=torch.float64)
    """

    needs: ClassVar[Needs] = "gram"

    previous_T: Tensor
    steps: Tensor

    def __init__(
        self,
        num_tasks: PositiveInt,
        *,
        head_weighting: HeadWeighting = "weighted",
        seed: int = 0,
        solver: Literal["newton", "ccp"] = "newton",
        max_norm: Positive | None = 1.0,
        update_weights_every: PositiveInt = 1,
    ) -> None:
        super().__init__(num_tasks, head_weighting=head_weighting, seed=seed)
        self.max_norm, self.update_weights_every = max_norm, update_weights_every
        self.register_buffer("previous_T", torch.ones(num_tasks, dtype=torch.float64))
        if update_weights_every > 1:
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._program = None
        if solver == "ccp":
            self._program = ConvexConcave(num_tasks)

    def combine(self, gradients: TaskGradients) -> StepInfo:
        """Choose the weights and write the gradients of every parameter."""
        gram_TT = gradients.gram()
        weights_T = self.weights(gradients.losses_T, gram_TT)
        shared_T = weights_T
        if self.max_norm is not None:
            norm = (weights_T @ gram_TT @ weights_T).clamp(min=0).sqrt()
            shared_T = weights_T * (self.max_norm / norm).clamp(max=1)
        gradients.apply(shared_T, self.head_weights(weights_T))
        return StepInfo(weights_T, self.diagnostics)

    def weights(self, losses_T: Tensor, gram_TT: Tensor | None = None) -> Tensor:
        """Return the bargaining solution, (T,), before any clipping.

        Raises:
            NonFiniteError: an entry of the Gram matrix is not finite.
        """
        assert gram_TT is not None
        gram = self.finite_gram(gram_TT)
        tasks = self.active
        if self.update_weights_every > 1:
            self.steps += 1
            if (int(self.steps) - 1) % self.update_weights_every > 0:
                return self.answer(Solution(self.previous_T[tasks].numpy(), 0, 0.0, False))
        if self._program is None:
            weights_T = self.answer(solve_nash(gram))
        else:
            program = self._program if self.present is None else ConvexConcave(len(gram))
            weights_T = self.answer(program.solve(gram, self.previous_T[tasks].numpy()))
        if self._program is not None or self.update_weights_every > 1:
            self.previous_T[tasks] = weights_T
        return weights_T
