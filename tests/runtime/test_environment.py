"""What a record says of the code that ran."""

import os
import subprocess

import pytest
import torch

import mtl_bench
from mtl_bench.config.compose import compose_config
from mtl_bench.records.environment import read_environment
from mtl_bench.runtime.environment import (
    choose_workers,
    describe_added,
    prepare_process,
    uses_tf32,
)
from tests.added import announce, write_files

FILES = {
    "added_git/__init__.py": "",
    "added_git/configs/method/tracked.yaml": "# Tracked: LS elsewhere\ndefaults: [ls, _self_]\n",
}


def test_the_version_and_commit_of_an_added_package_are_told(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    write_files(tmp_path, FILES)
    announce(tmp_path / "site", "added-git", "0.3", {"x": "added_git.configs"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    config = compose_config(["dataset=qm9", "method=tracked", "profile=smoke"])
    told = {"distribution": "added-git", "version": "0.3"}

    git("init", "-q")
    assert describe_added(config) == {"added_git": told | {"git": None}}
    git("add", "added_git")
    git("commit", "-q", "-m", "x")
    state = {"commit": git("rev-parse", "HEAD"), "modified": False}
    assert describe_added(config) == {"added_git": told | {"git": state}}
    write_files(tmp_path, {"added_git/__init__.py": "x = 1"})
    assert describe_added(config)["added_git"]["git"] == state | {"modified": True}
    ours = compose_config(["dataset=qm9", "method=ls", "profile=smoke"])
    assert describe_added(ours) == {}


@pytest.mark.parametrize(("cores", "beside_a_gpu"), [(1, 0), (4, 3), (9, 8), (64, 8)])
def test_workers_take_the_cores_that_a_gpu_leaves(cores, beside_a_gpu, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    assert choose_workers("auto", torch.device("cuda:1")) == beside_a_gpu
    assert choose_workers("auto", torch.device("cpu")) == 0
    for device in ("cpu", "cuda"):
        assert choose_workers(5, torch.device(device)) == 5


@pytest.mark.parametrize(("resident", "workers"), [("false", 2), ("true", 0)])
def test_a_record_tells_the_workers_that_there_were(
    resident, workers, tiny_data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ("trainer.workers=2", "trainer.epochs=1", f"dataset.resident={resident}")
    data = ("dataset=qm9", f"paths.data={tiny_data}")
    run = mtl_bench.train("profile=smoke", "method=ls", *data, *words)
    assert read_environment(run.path)["workers"] == workers


def test_tf32_is_what_the_papers_codes_had_whatever_was_set_before():
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = False, True
    assert uses_tf32() == {"convolutions": False, "products": True}
    prepare_process({"threads": None, "determinism": "off", "device": "cpu"})
    assert uses_tf32() == {"convolutions": True, "products": False}
