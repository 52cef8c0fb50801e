"""Two processes with the same sweep share its runs."""

import signal

import pytest

from tests.end_to_end.processes import end_of, results_of, start, wait_for_epochs
from tests.end_to_end.test_command_line import TINY, only_line

SWEEP = (*TINY, "-m", "trainer.epochs=15", "seed=0,1")


@pytest.fixture
def desk(tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    return tmp_path


@pytest.fixture
def waiting(desk):
    """The first of two sweeps, frozen within a run, and the second, with nothing else left."""
    first = start(*SWEEP, cwd=desk)
    second = None
    try:
        wait_for_epochs(first, desk, 1, "seed0-*/metrics.jsonl")
        first.send_signal(signal.SIGSTOP)
        second = start(*SWEEP, cwd=desk)
        for line in second.stdout:
            if line.startswith("waiting for 1 of the runs"):
                break
        yield first, second
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.communicate()


def seals(desk):
    return sorted(path.parent.name[:5] for path in desk.rglob("DONE"))


def test_both_end_well_when_together_they_finished_everything(waiting, desk):
    first, second = waiting
    assert seals(desk) == ["seed1"]
    first.send_signal(signal.SIGCONT)
    for process in (first, second):
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert errors == ""
        assert output.splitlines()[-1] == "2 of 2 runs are finished"
    assert seals(desk) == ["seed0", "seed1"]


def test_what_a_killed_process_leaves_is_taken_over(waiting, desk):
    first, second = waiting
    (record,) = (path.parent for path in desk.rglob("seed0-*/config.yaml"))
    first.kill()
    output, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert output.splitlines()[-1] == "2 of 2 runs are finished"
    summary, metrics, _ = results_of(record)
    assert summary["steps"] == 30
    assert [line["epoch"] for line in metrics] == list(range(1, 16))


def test_a_request_to_stop_ends_the_waiting(waiting, desk):
    _, second = waiting
    errors = end_of(second, signal.SIGTERM)
    assert second.returncode == 75
    assert "the same command continues" in only_line(errors)
    assert seals(desk) == ["seed1"]
