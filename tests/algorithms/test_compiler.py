"""Updates with compiled parts are the plain ones, and what can't be compiled is refused."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from mtl_bench.algorithms.supervised import compiler as module
from mtl_bench.algorithms.supervised.batch_gradients import BatchGradients
from mtl_bench.algorithms.supervised.compiler import Compiler
from mtl_bench.architectures.base import Architecture
from mtl_bench.architectures.celeba_resnet import CelebAResNet
from mtl_bench.architectures.cross_stitch import CrossStitch
from mtl_bench.architectures.cross_stitch_fc import CrossStitchFC
from mtl_bench.architectures.lenet import LeNet
from mtl_bench.architectures.mpnn import MPNN
from mtl_bench.architectures.mtan import MTAN
from mtl_bench.architectures.pspnet import PSPNet
from mtl_bench.architectures.segnet import SegNet
from mtl_bench.architectures.single_task import SingleTask
from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.datasets.images import ImageBatch
from mtl_bench.errors import ConfigError, DataError
from mtl_bench.methods import LS, MGDA, STL, CosReg, GradDrop, GradNorm, TaskForce
from mtl_bench.tasks import Task
from tests.algorithms.test_batch_gradients import CPU, NAMES, norms
from tests.end_to_end.processes import call
from tests.molecules import random_store
from tests.training.runs import Watcher, differences, smallest, stop_at, train

NIGHTLY = pytest.mark.nightly
NEEDS_COMPILER = pytest.mark.skipif(
    shutil.which("g++") is None, reason="inductor needs a C++ compiler"
)

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")  # which torch hides otherwise


def aot_eager():
    """Return AOTAutograd with the kernels of torch, which needs no compiler of C++."""
    return torch._dynamo.lookup_backend("aot_eager")


class Branches(Architecture):
    """Two tensors that the tasks share; a branch of each has batch norm and dropout."""

    compiled_parts = ("features", "branch")

    def __init__(self, tasks=NAMES):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Dropout(0.4))
        heads = {
            t: (nn.Linear(12, 3), nn.BatchNorm1d(3), nn.Dropout(0.3), nn.Linear(3, 1))
            for t in tasks
        }
        self.heads = nn.ModuleDict({t: nn.Sequential(*head) for t, head in heads.items()})

    def features(self, batch):
        low = self.first(batch.images_BCHW)
        return low, self.second(low)

    def branch(self, task, features):
        return self.heads[task](torch.cat(features, dim=1))

    def forward(self, batch):
        features = self.features(batch)
        return {task: self.branch(task, features) for task in self.heads}

    def shared_parameters(self):
        return [*self.first.parameters(), *self.second.parameters()]

    def task_parameters(self, task):
        return list(self.heads[task].parameters())


NETWORKS = {
    "branches": (Branches, NAMES, (8, 4)),
    "mpnn": (partial(MPNN, dim=8, edge_hidden=6), NAMES, (4, 11)),
    "lenet": (LeNet, ("left", "right"), (4, 1, 28, 28)),
    "cross_stitch_fc": (CrossStitchFC, NAMES, (4, 3, 32, 32)),
    "celeba_resnet": (partial(CelebAResNet, width=0.01), NAMES, (3, 3, 64, 64)),
    "segnet": (partial(SegNet, width=0.01), ("segmentation", "depth"), (2, 3, 32, 32)),
    "mtan": (partial(MTAN, width=0.01), ("segmentation", "normal"), (2, 3, 32, 32)),
    "cross_stitch": (partial(CrossStitch, width=0.01), ("depth", "normal"), (2, 3, 32, 32)),
    "pspnet": (
        partial(PSPNet, width=0.01, pretrained=None, classes=3),
        *(("segmentation", "instance"), (3, 3, 32, 32)),
    ),
}
"""Name -> constructor, tasks, shape of the images, or of a batch of padded molecules."""


def batch_of(name, generator, fewer, dtype):
    """Return a random batch, a smaller one if it is asked for and two are left."""
    _, names, (size, *shape) = NETWORKS[name]
    size -= fewer and size > 2
    if name != "mpnn":
        pixels = torch.randn(size, *shape, generator=generator, dtype=dtype)
        return ImageBatch(pixels, dict.fromkeys(names, torch.zeros(1)))
    chosen = torch.randperm(9, generator=generator)[:size].numpy()
    batch = random_store(range(3, 12), names).__getitems__(chosen).padded(*shape)
    return replace(batch, atoms_AF=batch.atoms_AF.to(dtype), pairs_PE=batch.pairs_PE.to(dtype))


NORMS = partial(GradNorm, norms_of="last_layer")
AGAIN = partial(TaskForce, transition="same_batch", batch_size=4)
CASES = [
    pytest.param("branches", MGDA, 1, id="branches"),
    pytest.param("branches", AGAIN, 1, id="a second look", marks=NIGHTLY),
    pytest.param("branches", LS, 2, id="repeated forward passes", marks=NIGHTLY),
    pytest.param("branches", LS, 1, id="ls", marks=NIGHTLY),
    pytest.param("branches", GradDrop, 2, id="graddrop", marks=NIGHTLY),
    pytest.param("branches", NORMS, 1, id="gradnorm", marks=NIGHTLY),
    pytest.param("mpnn", LS, 2, id="padded molecules, repeated forward passes", marks=NIGHTLY),
    pytest.param("mpnn", MGDA, 1, id="mpnn", marks=NIGHTLY),
    pytest.param("lenet", MGDA, 1, id="lenet"),
    *(pytest.param(name, MGDA, 1, id=name, marks=NIGHTLY) for name in [*NETWORKS][3:]),
]


def build(name, compiled, method, separate=False, **settings):
    """Return a network, in float64 where it isn't asked for less, and the gradients of updates."""
    kind, names, _ = NETWORKS[name]
    torch.manual_seed(0)
    network = SingleTask(names, kind) if separate else kind(names)
    if "precision" not in settings:
        network.double()
    tasks = [Task(t, t, lambda p, y: (p - 1).square().mean(), (), lambda: None) for t in names]
    compiler = Compiler("default", CPU, aot_eager()) if compiled else None
    return network, BatchGradients(network, tasks, method, CPU, compiler=compiler, **settings)


def updates(name, compiled, method, accumulate=1, **settings):
    """Make three updates, the last of which has smaller batches, and return all that they leave."""
    network, source = build(name, compiled, method, **settings)
    dtype = next(network.parameters()).dtype
    optimizer = torch.optim.SGD(network.parameters(), 1e-2)
    found = []
    for number in range(3):
        generator = torch.Generator().manual_seed(number)
        batches = [batch_of(name, generator, number == 2, dtype) for _ in range(accumulate)]
        gradients = source(batches)
        info = method.step(gradients)
        written = torch.cat([p.grad.flatten() for p in network.parameters()])
        found.append([gradients.losses_T, info.weights_T, gradients.known_gram_TT, written])
        optimizer.step()
        if method.looks_again:
            with source.reevaluate(batches) as updated:
                found.append([updated.losses_T, updated.gram()])
                method.after_update(updated)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return found, buffers, torch.get_rng_state(), network


@pytest.mark.parametrize(("name", "method", "accumulate"), CASES)
def test_compiled_updates_are_the_plain_ones(name, method, accumulate):
    tasks = len(NETWORKS[name][1])
    plain, compiled = (updates(name, way, method(tasks), accumulate) for way in (False, True))
    for ours, theirs in zip(compiled[0], plain[0], strict=True):
        for value, expected in zip(ours, theirs, strict=True):
            if expected is None:
                assert value is None
                continue
            assert (value - expected).norm() <= 1e-9 * expected.norm()
    torch.testing.assert_close(compiled[1], plain[1], rtol=1e-9, atol=1e-12)
    assert torch.equal(compiled[2], plain[2])  # as much was drawn
    assert compiled[3].state_dict().keys() == plain[3].state_dict().keys()


@NIGHTLY
def test_separate_networks_are_compiled_each():
    plain, compiled = (updates("lenet", way, STL(2), separate=True) for way in (False, True))
    for ours, theirs in zip(compiled[0], plain[0], strict=True):
        torch.testing.assert_close(ours, theirs)


@NIGHTLY
@pytest.mark.parametrize("name", ["lenet", "mpnn"])
def test_bf16_is_compiled(name):
    tasks = len(NETWORKS[name][1])
    plain, compiled = (updates(name, way, MGDA(tasks), precision="bf16") for way in (False, True))
    for ours, theirs in zip(compiled[0], plain[0], strict=True):
        assert (ours[3] - theirs[3]).norm() <= 5e-2 * theirs[3].norm()


def test_a_task_never_passes_through_another_tasks_branch():
    network, source = build("branches", True, LS(3))
    with torch.no_grad():
        network.heads["b"][0].weight.fill_(torch.inf)
    batch = ImageBatch(torch.randn(8, 4).double(), dict.fromkeys(NAMES, torch.zeros(1)))
    rows_TP = source([batch]).jacobian()
    assert [row.isfinite().all().item() for row in rows_TP] == [True, False, True]


def test_evaluation_and_copies_stay_plain():
    network, source = build("branches", True, LS(3))
    assert source.network is network
    assert not {"features", "branch"} & vars(network).keys()
    assert source.passes.first is network.first


@pytest.mark.parametrize(
    ("network", "method", "backend", "words"),
    [
        (norms, LS, "loop", "Norms has no part of fixed shapes"),
        (lambda: SingleTask(NAMES, lambda names: norms()), STL, "loop", "Norms has no part"),
        (Branches, CosReg, "loop", "CosReg differentiates task gradients"),
        (Branches, MGDA, "streamed", "not gradients.backend=streamed"),
        (Branches, MGDA, "batched", "not gradients.backend=batched"),
    ],
    ids=["norms", "stl", "cosreg", "streamed", "batched"],
)
def test_what_can_not_be_compiled_is_refused(network, method, backend, words):
    compiler = Compiler("default", CPU, aot_eager())
    with pytest.raises(ConfigError) as info:
        compiler.network(network(), method(3), backend)
    line = str(info.value)
    assert line.startswith("trainer.compile=default: ")
    assert words in line
    assert line.endswith("trainer.compile=null")


def test_molecules_that_are_not_padded_are_refused_with_the_remedy(tiny_data, tmp_path, capsys):
    words = ("dataset=qm9", "method=nashmtl", "profile=smoke", "trainer.compile=default")
    assert main(["train", *words, f"paths.data={tiny_data}", f"paths.results={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "mtl-bench: trainer.compile=default: batches of one size differ in shape"
    )
    assert line.endswith("use dataset.padded=true or trainer.compile=null")


def test_cuda_graphs_are_for_a_gpu():
    with pytest.raises(ConfigError, match=r"no CUDA graphs on trainer\.device=cpu"):
        Compiler("reduce-overhead", CPU)


def test_reinforcement_learning_refuses_it():
    with pytest.raises(ConfigError, match=r"trainer\.compile=default: algorithm=sac takes None"):
        compose_config(
            ["dataset=pendulum6", "method=ls", "profile=smoke", "trainer.compile=default"]
        )


class Undecided(Branches):
    def features(self, batch):
        low, high = super().features(batch)
        return (low, high) if high.sum() > 0 else (low, -high)


def test_a_network_that_torch_can_not_follow_is_one_line():
    compiled = Compiler("default", CPU, aot_eager()).network(Undecided(), LS(3), "loop")
    with pytest.raises(ConfigError) as info:
        compiled(ImageBatch(torch.randn(8, 4), {}))
    line = str(info.value)
    assert line.startswith("trainer.compile=default: torch can't compile Undecided.features (")
    assert "\n" not in line


def test_what_a_network_refuses_it_says_itself():
    network = SegNet(["depth"], width=0.01)
    compiled = Compiler("default", CPU, aot_eager()).network(network, LS(1), "loop")
    with pytest.raises(DataError, match="images of 33 x 32 pixels"):
        compiled(ImageBatch(torch.randn(2, 3, 33, 32), {}))


def compiling(dataset, data, results, *words):
    return smallest(dataset, data, results, "trainer.compile=default", *words)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        pytest.param("multimnist", (), id="multimnist"),
        pytest.param("qm9", ("dataset.padded=true",), id="qm9", marks=NIGHTLY),
    ],
)
@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=[NIGHTLY, NEEDS_COMPILER])]
)
def test_stopped_and_resumed_is_uninterrupted(
    backend, dataset, words, small_data, mixed_data, tmp_path, monkeypatch
):
    """LeNet has dropout, whose draws go on."""
    data, words = mixed_data if dataset == "qm9" else small_data, ("method=mgda", *words)
    if backend == "aot_eager":
        monkeypatch.setattr(module, "_inductor", lambda mode: aot_eager())
    told = Watcher()
    straight = train(compiling(dataset, data, tmp_path / "straight", *words), told)
    assert [text for text in told.messages if "torch compiled 1 graphs took" in text]
    config = compiling(dataset, data, tmp_path / "stopped", *words)
    assert train(config, stop_at(3)).selected is None
    assert differences(straight, train(config)) == []


def test_a_run_is_the_same_however_it_is_compiled():
    words = ("dataset=multimnist", "method=ls", "profile=smoke")
    hashes = {
        config_hash(compose_config([*words, f"trainer.compile={mode}"]))
        for mode in ("null", "default", "reduce-overhead")
    }
    assert len(hashes) == 1


@NIGHTLY
@NEEDS_COMPILER
@pytest.mark.parametrize(
    "chosen",
    [
        ("dataset=multimnist", "method=mgda"),
        ("dataset=qm9", "method=nashmtl", "dataset.padded=true"),
    ],
    ids=["multimnist", "qm9"],
)
def test_inductor_trains_the_same_run_from_the_command_line(chosen, mixed_data, tmp_path):
    (tmp_path / "data").symlink_to(mixed_data)
    ends = []
    for mode in ("null", "default"):
        words = (*chosen, "profile=smoke", f"paths.results=of_{mode}")
        done = call("train", *words, f"trainer.compile={mode}", cwd=tmp_path, timeout=1200)
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / f"of_{mode}").glob("smoke/*/*/seed0-*")
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        device = json.loads((path / "environment.json").read_text())["device"]
        state = torch.load(path / "checkpoint" / "last.pt", weights_only=True)
        ends.append((path.name, lines[0]["train_loss"], device, state["state"]["network"].keys()))
    (name, losses, device, keys), (name2, losses2, device2, keys2) = ends
    assert (name, keys) == (name2, keys2)
    assert losses2 == pytest.approx(losses, rel=1e-3)
    assert device2 == f"{device}, torch.compile default"
    assert "torch compiled" in done.stdout + done.stderr
