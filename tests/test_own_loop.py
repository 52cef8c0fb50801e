"""The page about one's own loop: every block runs, and what is forgotten is loud."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mtl_bench import DWA, FAMO, LS, MGDA, RLW, UW, IGBv2, Method, TaskForce, TaskGradients
from mtl_bench.errors import ConfigError, NonFiniteError
from mtl_bench.testing.methods import as_plain

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own-loop.md").read_text()
SECTIONS = {
    part.partition("\n")[0]: re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    for part in PAGE.split("\n## ")
}
FIRST = SECTIONS.pop("# A method in your own training loop")[0]
NEEDS = {"Lightning": ["lightning"], "Hugging Face Trainer": ["transformers", "accelerate"]}


def run(section, folder, monkeypatch):
    """Run the first block and those of a section, and return what they have defined."""
    monkeypatch.chdir(folder)
    torch.manual_seed(0)
    names = {}
    exec(FIRST, names)
    for block in SECTIONS.get(section, []):
        exec(block, names)
    return names


def loss_of(names):
    losses = names["task_losses"](names["inputs"], names["targets"])
    return torch.stack(losses).mean().item()


def test_the_first_block_trains(tmp_path, monkeypatch):
    names = run("", tmp_path, monkeypatch)
    assert loss_of(names) < 0.2  # the mean prediction has 0.7


@pytest.mark.filterwarnings("default")  # Lightning and transformers have their own
@pytest.mark.parametrize("section", SECTIONS)
def test_every_block_of_the_page_runs(section, tmp_path, monkeypatch):
    for package in NEEDS.get(section, []):
        pytest.importorskip(package)
    assert len(SECTIONS[section]) == 1
    names = run(section, tmp_path, monkeypatch)
    assert loss_of(names) < 0.4
    if section == "Lightning":
        (file,) = tmp_path.rglob("*.ckpt")
        state = torch.load(file, weights_only=False)["state_dict"]
        assert state["method._extra_state"]["current_epoch"] == 3
    if section == "Hugging Face Trainer":
        states = [torch.load(file) for file in tmp_path.rglob("method.pt")]
        epochs = sorted(state["_extra_state"]["current_epoch"] for state in states)
        assert epochs == [0, 1, 2, 3]


@pytest.mark.nightly
def test_a_script_pays_for_torch_and_numpy_alone():
    script = """
import sys, torch, numpy
def packages(): return {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
before = packages()
from mtl_bench import TaskGradients, NashMTL
import mtl_bench
for name in mtl_bench.methods.__all__: getattr(mtl_bench, name)
print(*sorted(packages() - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["annotated_types", "mtl_bench"]


def two_losses():
    theta = torch.tensor([1.0, -1.0], requires_grad=True)
    return theta, TaskGradients([theta[0].square() + 1, theta[1].square() + 1], [theta])


@pytest.mark.parametrize("method", [DWA(2, variant="epoch"), IGBv2(2)])
def test_a_method_that_counts_epochs_wants_to_know_them(method):
    assert method.counts_epochs
    with pytest.raises(ConfigError, match=r"counts epochs: call step\(gradients, epoch=n\)"):
        method.step(two_losses()[1])


class CountsEpochs(LS):
    """A user's method, which says nowhere that it counts epochs."""

    ended = 0

    def end_epoch(self):
        self.ended += 1


def test_a_change_of_the_epoch_ends_the_one_before_even_after_loading():
    method, restored = CountsEpochs(2), CountsEpochs(2)
    for epoch in (0, 0, 1, 1, 1, 2):
        method.step(two_losses()[1], epoch)
    assert method.ended == 2
    restored.load_state_dict(method.state_dict())
    restored.step(two_losses()[1], 2)
    assert restored.ended == 0
    restored.step(two_losses()[1], 3)
    assert restored.ended == 1


def test_dwa_weighs_by_the_losses_of_the_last_two_epochs():
    method = DWA(2, variant="epoch")
    for epoch, losses in enumerate([(1.0, 1.0), (0.5, 1.0), (0.3, 0.9)]):
        theta = torch.zeros(2, requires_grad=True)
        values = [theta[t] + loss for t, loss in enumerate(losses)]
        for _ in range(3):
            info = method.step(TaskGradients(values, [theta]), epoch)
    expected = 2 * torch.softmax(torch.tensor([0.5 / 1.0, 1.0 / 1.0], dtype=torch.float64) / 2, 0)
    torch.testing.assert_close(info.weights_T, expected)


class Looking(LS):
    """A method of one's own."""

    looks_again = True

    def after_update(self, gradients):
        return {"loss": gradients.losses_T.sum().item()}


@pytest.mark.parametrize("method", [TaskForce(2, transition="same_batch"), FAMO(2), Looking(2)])
def test_a_method_that_looks_again_wants_to_be_shown_the_batch(method):
    method.step(two_losses()[1])
    with pytest.raises(ConfigError, match=r"call after_update\(gradients\)"):
        method.step(two_losses()[1])
    method.after_update(two_losses()[1])
    method.step(two_losses()[1])


def test_tasks_that_are_inactive_are_left_alone():
    method = UW(3)
    theta = torch.ones(2, requires_grad=True)
    active = TaskGradients([theta[0], theta[1]], [theta], tasks=[0, 2])
    info = method.step(active)
    assert info.weights_T.tolist() == [0.5, 0.0, 0.5]
    assert theta.grad.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("kind", [LS, RLW, UW, MGDA])
def test_a_loss_that_is_not_finite_names_its_task_and_leaves_no_trace(kind):
    method = kind(3)
    before = as_plain(method.state_dict())
    theta = torch.ones(2, requires_grad=True)
    broken = TaskGradients([theta[0], theta[1] * float("nan")], [theta], tasks=[0, 2])
    with pytest.raises(NonFiniteError, match="the loss of task 2 is nan"):
        method.step(broken, epoch=0)
    assert theta.grad is None
    assert as_plain(method.state_dict()) == before


def test_without_own_parameters_all_are_shared():
    theta, gradients = two_losses()
    info = MGDA(2, scale="one").step(gradients)
    torch.testing.assert_close(info.weights_T, torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert theta.grad.tolist() == [1.0, -1.0]


@pytest.mark.parametrize("method", ["LS", "UW", "NashMTL", "GradDrop"])
def test_the_loop_in_float16_leaves_out_what_overflows(method):
    torch.manual_seed(0)
    names = {}
    exec(FIRST.replace("import NashMTL", f"import {method} as NashMTL"), names)
    before = [p.clone() for p in names["body"].parameters()]
    (block,) = SECTIONS["fp16"]
    exec(block.replace("LossScale()", "LossScale(2.0**24)"), names)
    scale = names["scale"]
    lowered = 24 - math.log2(scale.value)
    assert 0 < lowered < 8
    assert all(p.isfinite().all() for p in names["body"].parameters())
    after = list(names["body"].parameters())
    assert not all(map(torch.equal, after, before))


def test_a_method_stays_where_it_is_when_the_module_around_it_moves():
    module = torch.nn.ModuleList([UW(2), torch.nn.Linear(2, 2)]).to(torch.bfloat16).to("meta")
    assert module[1].weight.device.type == "meta"
    values = module[0].log_variances.values_T
    assert (values.dtype, values.device.type) == (torch.float64, "cpu")


def test_a_subclass_that_replaces_step_is_refused():
    with pytest.raises(TypeError, match="override combine instead"):
        type("Mine", (Method,), {"step": lambda self, gradients: None})
