"""What type checkers and editors see of the package; its modules are imported on demand."""

from mtl_bench.api import build_architecture as build_architecture
from mtl_bench.api import build_dataset as build_dataset
from mtl_bench.api import build_method as build_method
from mtl_bench.api import train as train
from mtl_bench.gradients import TaskGradients as TaskGradients
from mtl_bench.inspect.recorded_run import load_run as load_run
from mtl_bench.methods import *  # noqa: F403
from mtl_bench.records.frames import load_results as load_results

__version__: str
