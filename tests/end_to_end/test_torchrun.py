"""Two processes that torchrun starts make the runs of one, also when one of them is killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.ranks import VARIABLES
from mtl_bench.training.run import run
from tests.end_to_end.processes import ENVIRONMENT, make_desk, metrics_of, wait_for_epochs
from tests.training.runs import SIZES

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
METHODS = ("ls", "mgda", "graddrop", "nashmtl", "taskforce")
SMALL = (*SIZES, "trainer.checkpoint_minutes=1e-9")
NUMBERS = {
    **{part: {"rel": 1e-4, "abs": 1e-6} for part in ("train_loss", "validation", "test")},
    "weights": {"rel": 1e-2, "abs": 2e-3},  # those of parallel gradients are nearly arbitrary
}
"""Part of an epoch's line -> how exactly it must be the same."""

PATIENCE = 200


@pytest.fixture(scope="module")
def desk(tiny_data, tmp_path_factory):
    return make_desk(tmp_path_factory, tiny_data)


def torchrun(*words, cwd):
    return subprocess.Popen(
        [*TORCHRUN, "-m", *words],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def worker_of(process, rank):
    """Return the number of the process that has a rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        if f"RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
            return int(child)
    raise AssertionError(f"no process of rank {rank}")


def told(errors):
    """Return what mtl-bench itself has printed on standard error."""
    return re.findall(r"^mtl-bench: (.*)$", errors, re.MULTILINE)


def leaves(values):
    if isinstance(values, dict):
        return [leaf for value in values.values() for leaf in leaves(value)]
    return [values]


def test_torchrun_makes_the_runs_of_one_process_and_survives_a_kill(desk, tiny_data):
    """The run of one method is killed in one process; all five are then trained to their end."""
    words = ("mtl_bench", "train", "method=taskforce", *SMALL)
    process = torchrun(*words, cwd=desk)
    record = wait_for_epochs(process, desk / "results", 1)
    os.kill(worker_of(process, 1), signal.SIGKILL)
    killed = time.monotonic()
    errors = process.communicate(timeout=PATIENCE)[1]
    assert time.monotonic() - killed < PATIENCE / 2
    assert process.returncode != 0
    lines = told(errors)
    assert len(lines) == 1, errors
    assert lines[0].startswith("another process of this training has ended"), errors
    assert lines[0].endswith("the same command goes on from the last checkpoint")
    failure = json.loads((record / "FAILED.json").read_text())
    assert failure["kind"] == "LostProcessError"

    process = torchrun("tests.end_to_end.trainings", ",".join(METHODS), *SMALL, cwd=desk)
    printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert not printed
    for method in METHODS:
        paths = f"paths.data={tiny_data}", f"paths.results={desk / 'alone'}"
        config = compose_config(
            [f"method={method}", *SMALL, *paths, "trainer.accumulate=2", "trainer.threads=1"]
        )
        alone = run(config).path
        together = desk / "results" / alone.relative_to(desk / "alone")
        assert (together / "DONE").exists()
        environment = json.loads((together / "environment.json").read_text())
        assert environment["processes"] == 2
        for got, wanted in zip(metrics_of(together), metrics_of(alone), strict=True):
            for part, exact in NUMBERS.items():
                expected = [pytest.approx(v, **exact) for v in leaves(wanted[part])]
                assert leaves(got[part]) == expected, f"{method}, epoch {got['epoch']}, {part}"


def test_a_sweep_under_torchrun_is_refused_in_one_line(monkeypatch, capsys):
    for name, value in zip(VARIABLES, ("1", "2", "localhost", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    words = ("train", "-m", "dataset=qm9", "method=ls,mgda", "profile=smoke")
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mtl-bench: torchrun has started 2 processes for a sweep")
