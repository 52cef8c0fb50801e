"""Whatever is typed or lies on the disk, a command ends in one line and a status, not a traceback.

The commands run in processes of their own.
"""

import pytest

from tests.end_to_end.processes import bound_by_permissions, call
from tests.end_to_end.test_command_line import TINY, only_line

SMOKE = ("train", "profile=smoke", "method=ls")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((*SMOKE, "dataset=qm9", "trainer.epoch=1"), 2, "unknown key trainer.epoch; did you mean"),
        ((*SMOKE, "dataset=qm9", "optimizer.lr=nan"), 2, "optimizer.lr=nan: should be a finite"),
        ((*SMOKE, "dataset=qm9"), 2, "is not prepared in data/qm9: run `mtl-bench data prepare q"),
        ((*SMOKE, "dataset=nyuv2"), 2, "run `mtl-bench data synth nyuv2`"),
        ((*SMOKE, "dataset=cityscapes"), 2, "run `mtl-bench data synth cityscapes`"),
        ((*SMOKE, "dataset=qm9", "profile=../../x"), 2, "profile=../../x: there is no such choice"),
        ((*SMOKE, "-m", "dataset=../qm9,qm9"), 2, "dataset=../qm9,qm9: there is no such choice"),
        (("data", "verify", "../x"), 2, "there is no data set ../x; allowed: celeba, "),
        (("data", "verify", "qm9"), 2, "data/qm9 has 1 fault: run `mtl-bench data prepare qm9`"),
        (("data", "prepare", "qm9", "raw=nowhere"), 2, "nowhere/qm9_part1.csv is missing"),
        (("show", "nowhere"), 2, "nowhere holds no run: give results/PROFILE"),
        (("tables", "profile=../.."), 0, ""),
    ],
)
def test_a_mistake_is_one_line(words, status, message, tmp_path):
    done = call(*words, cwd=tmp_path)
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    assert message in (done.stderr.splitlines() or [""])[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_folder_can_have_is_one_line(tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    done = call(*TINY, f"variant={'a' * 300}", cwd=tmp_path)
    assert done.returncode == 1
    assert "File name too long" in only_line(done.stderr)


@pytest.mark.parametrize("made", [True, False], ids=["results", "no results"])
def test_a_read_only_folder_of_results_is_one_line(made, tiny_data, tmp_path):
    folder = tmp_path / "desk"
    results = folder / "results" if made else folder
    results.mkdir(parents=True)
    (folder / "data").symlink_to(tiny_data)
    results.chmod(0o555)
    done = call(*TINY, cwd=folder, before=bound_by_permissions)
    results.chmod(0o755)
    assert done.returncode == 1, done
    line = only_line(done.stderr)
    assert "can't write results/smoke/qm9/ls/seed0-" in line
    assert "Permission denied; make the folder writable or give paths.results=DIR" in line
    assert list(folder.rglob("seed0-*")) == []


def test_a_checkpoint_of_another_configuration_is_one_line(tiny_data, tmp_path):
    """A record's folder that was copied to where another configuration's belongs."""
    (tmp_path / "data").symlink_to(tiny_data)
    assert call(*TINY, "trainer.epochs=1", cwd=tmp_path).returncode == 0
    assert call(*TINY, "trainer.epochs=1", "seed=1", cwd=tmp_path).returncode == 0
    first, second = sorted((tmp_path / "results/smoke/qm9/ls").iterdir())
    (second / "DONE").unlink()
    (first / "checkpoint/last.pt").replace(second / "checkpoint/last.pt")
    done = call(*TINY, "trainer.epochs=1", "seed=1", cwd=tmp_path)
    assert done.returncode == 2
    line = only_line(done.stderr)
    assert "last.pt belongs to another configuration (seed: 0 -> 1): move the folder away" in line


def test_a_full_disk_while_data_are_made_is_one_line(tmp_path):
    done = call("data", "synth", "nyuv2", "train=4", "val=2", cwd=tmp_path, file_size_kib=8)
    assert done.returncode == 1
    assert "disk full while writing data/nyuv2" in only_line(done.stderr.splitlines()[-1])
    assert [path.name for path in (tmp_path / "data").iterdir()] == []
