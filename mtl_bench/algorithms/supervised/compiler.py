"""``torch.compile`` for the forward and backward passes of updates."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from mtl_bench.architectures.base import Architecture
from mtl_bench.architectures.segnet import unpool
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.errors import ConfigError
from mtl_bench.gradients.task_gradients import Backend
from mtl_bench.methods.base import Method

Mode = Literal["default", "reduce-overhead"]

GraphBackend = Callable[[torch.fx.GraphModule, Any], Callable[..., Any]]
"""Makes a function of a graph and of inputs that it will have."""

OPTIONS: dict[Mode, dict[str, Any]] = {
    "default": {},
    "reduce-overhead": {"triton.cudagraphs": True},
}
"""What torch.compile's modes mean to inductor."""

LIMIT = 1 << 10
"""Graphs of one function: for each network and task, shape of a batch and momentum of norms."""


class Compiler:
    """Compiles the parts of a network, each when it is first called.

    What comes of it is the same function but for rounding: stochastic layers draw what they draw
    without it. Graphs are made for tensors of one shape; the last, smaller batch of an epoch has
    graphs of its own, and so has a second look at a batch, which leaves batch norms alone.

    A compiled part is one node of the autograd graph: its backward pass computes the gradients of
    all that it was computed from. So the parts end where tasks part, see
    ``Architecture.compiled_parts``. T passes through one graph need what it has saved, so that
    torch may not reuse that memory; this is a setting of the process.

    Args:
        mode: ``default``, or ``reduce-overhead`` for CUDA graphs.
        device: where the network lives.
        backend: makes a function of a graph, by default inductor.
        ragged: the setting without which batches of one size differ in shape, see ``Dataset``.

    Raises:
        ConfigError: CUDA graphs are asked for on another device.
    """

    def __init__(
        self,
        mode: Mode,
        device: torch.device,
        backend: GraphBackend | None = None,
        ragged: str | None = None,
    ) -> None:
        import torch._dynamo as dynamo  # takes seconds

        if mode == "reduce-overhead" and device.type != "cuda":
            raise ConfigError(
                f"trainer.compile={mode}: there are no CUDA graphs on trainer.device={device}; use "
                "trainer.compile=default"
            )
        self.mode = mode
        self.ragged = ragged
        self.graphs = 0
        """Made in the running update."""
        self._backend = _inductor(mode) if backend is None else backend
        torch.compiler.allow_in_graph(unpool)  # which sets, for itself, what torch can't follow
        torch._functorch.config.donated_buffer = False
        dynamo.config.recompile_limit = LIMIT
        dynamo.config.accumulated_recompile_limit = LIMIT
        dynamo.config.fail_on_recompile_limit_hit = True  # would go on without, and say nothing

    def network(self, network: Architecture, method: Method, backend: Backend) -> Architecture:
        """Return a network of the same parameters and buffers, whose parts are compiled.

        It is for the updates of a training; the network itself stays as it is.

        Args:
            network: is trained.
            method: what will be done with the gradients.
            backend: how they are computed.

        Raises:
            ConfigError: one of these doesn't go with compiled parts.
        """
        key = f"trainer.compile={self.mode}"
        if method.differentiates_twice:
            raise ConfigError(
                f"{key}: {type(method).__name__} differentiates task gradients, and a compiled "
                "backward pass can't be differentiated; use trainer.compile=null"
            )
        if backend != "loop":
            raise ConfigError(
                f"{key}: a compiled backward pass computes all gradients of one task, which is "
                f"not gradients.backend={backend}; use gradients.backend=loop or "
                "trainer.compile=null"
            )
        return self._twin(network)

    def _twin(self, network: Architecture) -> Architecture:
        twin = copy.copy(network)  # with the same modules
        own = vars(twin)
        if isinstance(network, SingleTask):
            own["networks"] = {task: self._twin(each) for task, each in network.of_tasks()}
            return twin
        if not network.compiled_parts:
            raise ConfigError(
                f"trainer.compile={self.mode}: {type(network).__name__} has no part of fixed "
                "shapes; use trainer.compile=null"
            )
        if self.ragged is not None:
            raise ConfigError(
                f"trainer.compile={self.mode}: batches of one size differ in shape; use "
                f"{self.ragged} or trainer.compile=null"
            )
        for part in network.compiled_parts:
            name = f"{type(network).__name__}.{part}"
            own[part] = self._compile(getattr(network, part), name)
        return twin

    def _compile(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        compiled = torch.compile(function, fullgraph=True, dynamic=False, backend=self._counted)

        def call(*arguments: Any) -> Any:  # noqa: ANN401
            try:
                return compiled(*arguments)
            except torch._dynamo.exc.TorchDynamoException as error:
                function(*arguments)  # what the network itself refuses, it says in its own words
                reason = " ".join(str(error).partition("\n\n")[0].split())
                raise ConfigError(
                    f"trainer.compile={self.mode}: torch can't compile {name} ({reason}); use "
                    "trainer.compile=null"
                ) from error

        return call

    def _counted(self, graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:  # noqa: ANN401
        self.graphs += 1
        return self._backend(graph, inputs)

    @contextmanager
    def an_update(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Surround an update: in it CUDA graphs may use the memory of the one before again.

        Args:
            tell: takes a line if graphs were made, on how long the update has taken with it.
        """
        if self.mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        begin = time.perf_counter()
        yield
        if self.graphs:
            seconds = time.perf_counter() - begin
            tell(
                f"trainer.compile={self.mode}: an update in which torch compiled {self.graphs} "
                f"graphs took {seconds:.1f} s, which its phases forward and method have counted"
            )
            self.graphs = 0


def _inductor(mode: Mode) -> GraphBackend:
    options = OPTIONS[mode] | {
        "fallback_random": True,
        # else the fastest kernels on a GPU are found by trying, and are others in the next process
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }

    def compile_graph(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:  # noqa: ANN401
        from torch._inductor.compile_fx import compile_fx

        made: Any = compile_fx(graph, inputs, config_patches=options)
        return made

    return compile_graph
