"""Requests to stop: who hears of them, and when."""

import signal
import subprocess
import sys

import pytest

from mtl_bench.signals import STOPPING, StopRequest


@pytest.fixture
def heard():
    """Handlers of somebody else for all signals, and what they hear."""
    heard = []
    before = {n: signal.signal(n, lambda number, _: heard.append(number)) for n in STOPPING}
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_request_is_noted_and_nothing_else_happens(heard, number):
    with StopRequest() as stop:
        assert stop.name is None
        signal.raise_signal(number)
        assert stop.name == number.name
    assert heard == []
    signal.raise_signal(number)
    assert heard == [number]


def test_a_second_ctrl_c_interrupts_at_once(heard):
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.name == "SIGINT"


def test_a_sweep_hears_of_what_reaches_its_run(heard):
    with StopRequest() as sweep:
        with StopRequest() as run:
            signal.raise_signal(signal.SIGTERM)
            assert run.name == "SIGTERM"
        assert sweep.name == "SIGTERM"


def test_a_run_knows_of_what_came_before_it(heard):
    """While its data are read, there is no training that could look."""
    with StopRequest() as sweep:
        signal.raise_signal(signal.SIGUSR2)
        with StopRequest() as run:
            assert run.name == sweep.name == "SIGUSR2"


def test_the_handler_before_gets_its_signal_after_the_context_and_not_within(heard):
    with StopRequest() as stop, StopRequest():
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGTERM)
    assert heard == []
    stop.hand_on()
    assert heard == [signal.SIGUSR2]


def test_without_a_handler_before_nothing_is_handed_on(heard):
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)  # which would end this process
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGUSR2)
    stop.hand_on()


LOST = """
import os, signal
from mtl_bench.errors import LostProcessError
from mtl_bench.ranks import hearing
from mtl_bench.signals import StopRequest
try:
    with StopRequest(), hearing():
        raise RuntimeError("connection closed by peer")
except LostProcessError as error:
    os.kill(os.getpid(), signal.SIGTERM)
    print(error)
"""


def test_a_process_that_has_lost_another_lives_to_say_so():
    """Torchrun sends the others SIGTERM, at any time from then on."""
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True)
    assert done.returncode == 0, done
    assert done.stdout.startswith("another process of this training has ended")


def test_a_handler_that_is_set_within_the_context_stays(heard):
    with StopRequest():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGUSR1)
    assert heard == [signal.SIGUSR1]
