"""What a person sees before torch is there, and what costs no torch at all."""

import os
import pty
import subprocess
import sys

import pytest

import mtl_bench
from mtl_bench.config.groups import describe_group, require_profile
from mtl_bench.errors import ConfigError
from tests.end_to_end.processes import ENVIRONMENT, call, call_without

RUN = ("train", "method=ls", "profile=smoke")
STOPPED_AT_TORCH = """
import sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.stderr.flush()
            sys.exit(99)
sys.meta_path.insert(0, Stop())
from mtl_bench.cli import main
sys.exit(main())
"""


def stderr_on_a_terminal(words, cwd):
    """Run a command that ends where it imports torch; return what a terminal shows of stderr."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_TORCH, *words],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        timeout=60,
    )
    os.close(theirs)
    text = os.read(ours, 10_000).decode() if done.returncode == 99 else ""
    os.close(ours)
    return text


@pytest.mark.parametrize(
    "words", [(*RUN, "dataset=qm9"), ("config", *RUN[1:], "dataset=qm9"), ("toy",), ("game",)]
)
def test_a_terminal_has_a_line_before_torch_is_imported(words, tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    assert stderr_on_a_terminal(words, tmp_path) == "mtl-bench: loading torch ...\r\n"


@pytest.mark.parametrize(
    ("dataset", "remedy"),
    [
        ("qm9", "mtl-bench data prepare qm9"),
        ("nyuv2", "mtl-bench data synth nyuv2"),
        ("cityscapes", "mtl-bench data synth cityscapes"),
    ],
)
def test_missing_data_are_told_without_torch(dataset, remedy, tmp_path):
    done = call_without(["torch"], *RUN, f"dataset={dataset}", cwd=tmp_path)
    assert done.stdout.splitlines() == ["[] 2"]
    (line,) = done.stderr.splitlines()
    assert f"`{remedy}`" in line


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=qm9", "method=ls"),
        ("-m", "dataset=qm9", "method=ls,mgda"),
        ("experiment=table2_qm9", "seed=0"),
        ("ablation=gram", "dataset=qm9"),
        ("--dry-run", "dataset=qm9", "method=ls"),
    ],
)
def test_a_training_whose_sizes_nobody_chose_is_refused(words, tmp_path):
    """The profile of the configuration, paper, would take days."""
    done = call_without(["torch"], "train", *words, cwd=tmp_path)
    assert done.stdout.splitlines() == ["[] 2"]
    (line,) = done.stderr.splitlines()
    for name, about in describe_group("profile").items():
        assert f"profile={name} ({about.removeprefix(f'{name}: ')})" in line
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_may_choose_the_sizes():
    require_profile(["-m", "experiment=first_run", "seed=0"])
    require_profile(["dataset=qm9", "profile=paper"])
    with pytest.raises(ConfigError):
        require_profile(["experiment=table3", "dataset=qm9"])
    with pytest.raises(ConfigError, match="profile is missing"):
        mtl_bench.train("dataset=qm9", "method=ls")


def test_a_finished_run_needs_no_data(tiny_data, tmp_path):
    link = tmp_path / "data"
    link.symlink_to(tiny_data)
    sizes = [f"dataset.{split}_size=20" for split in ("train", "val", "test")]
    words = (*RUN, "dataset=qm9", *sizes, "dataset.batch_size=20", "trainer.epochs=1")
    assert call(*words, cwd=tmp_path).returncode == 0
    link.unlink()
    again = call(*words, cwd=tmp_path)
    assert again.stdout.startswith("already finished: ")
    assert again.returncode == 0
