"""The task gradients of one step: what they are, how they are computed, and the choice between."""

from mtl_bench.gradients.choice import choose_backend, choose_run
from mtl_bench.gradients.communicator import Communicator
from mtl_bench.gradients.cut import Cut
from mtl_bench.gradients.distributed import DistributedGradients
from mtl_bench.gradients.loss_scale import LossScale
from mtl_bench.gradients.representation import RepresentationGradients
from mtl_bench.gradients.stacked import StackedGradients, copies_for_tasks
from mtl_bench.gradients.task_gradients import Backend, TaskGradients
from mtl_bench.gradients.transfers import Transfers
from mtl_bench.gradients.weighted import WeightedGradients

__all__ = [
    "Backend",
    "Communicator",
    "Cut",
    "DistributedGradients",
    "LossScale",
    "RepresentationGradients",
    "StackedGradients",
    "TaskGradients",
    "Transfers",
    "WeightedGradients",
    "choose_backend",
    "choose_run",
    "copies_for_tasks",
]
