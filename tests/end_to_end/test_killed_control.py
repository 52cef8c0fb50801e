"""Trainings in environments, killed within an episode."""

import signal
from contextlib import suppress

import pytest
import torch

from tests.end_to_end.processes import call, end_of, metrics_of, start, wait_for_epochs
from tests.training.runs import read_steps

HORIZON = 30
RUNS = {
    "pendulum6": (
        "method=pcgrad",
        "dataset.tasks=[standard,heavy]",
        "algorithm.buffer_size=300",
        "trainer.epochs=5",
    ),
    "mt4": ("method=ls", "trainer.epochs=5"),
}


def words_of(dataset, results):
    return (
        *("train", f"dataset={dataset}", "profile=smoke", "trainer.device=cpu"),
        *(f"dataset.horizon={HORIZON}", "algorithm.epoch_episodes=2", *RUNS[dataset]),
        *("trainer.checkpoint_minutes=0.001", f"paths.results={results}"),
    )


def results_of(record):
    steps = [read_steps(record / "steps" / name) for name in ("critic", "actor")]
    state = torch.load(record / "checkpoint" / "last.pt", weights_only=True)["state"]
    networks = {name: own["network"] for name, own in state["components"].items()}
    return metrics_of(record), steps, networks


def kill_within_an_episode(process, record):
    """Kill without any notice, when the checkpoint is in the middle of an episode."""
    while True:
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGSTOP)
        with suppress(FileNotFoundError):  # between two names
            state = torch.load(record / "checkpoint" / "last.pt", weights_only=True)["state"]
            if 1 < state["replay"]["steps"] < HORIZON - 1:
                break
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


@pytest.mark.parametrize("dataset", ["pendulum6", pytest.param("mt4", marks=pytest.mark.nightly)])
def test_killed_within_an_episode_it_ends_as_an_uninterrupted_run(dataset, tmp_path):
    if dataset == "mt4":
        pytest.importorskip("metaworld", reason="needs the extra rl")
    done = call(*words_of(dataset, "straight"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (straight,) = (tmp_path / "straight").glob("*/*/*/seed0-*")

    words = words_of(dataset, "killed")
    process = start(*words, cwd=tmp_path)
    record = wait_for_epochs(process, tmp_path / "killed", 2)
    kill_within_an_episode(process, record)
    end_of(process)
    assert not (record / "DONE").exists()
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics, steps, networks = results_of(record)
    expected = results_of(straight)
    assert metrics == expected[0]
    assert steps == expected[1]
    for name, network in expected[2].items():
        assert all(torch.equal(value, networks[name][key]) for key, value in network.items())
