"""Errors of the libraries below, with a remedy."""

import os
import re
import signal
import subprocess
import threading

import numpy as np
import pytest
import torch

from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import config_hash
from mtl_bench.datasets.loading import load_batches
from mtl_bench.errors import was_interrupted
from mtl_bench.runtime.environment import set_determinism
from mtl_bench.runtime.explain import explain


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"),
        RuntimeError("can't start new thread"),
        OSError(12, "Cannot allocate memory"),
        ImportError("x.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_want_of_memory_names_what_takes_it(error):
    known = explain(error)
    assert "out of memory" in str(known)
    assert "\n" not in str(known)


def test_what_begins_another_run_is_told_from_what_goes_on():
    """Every key in the advice stands on its side of the word, as the hash has it."""
    goes_on, _, another = str(explain(MemoryError())).partition(";")
    assert "goes on" in goes_on
    assert "is another run" in another
    run = compose_config(["dataset=qm9", "method=mgda", "profile=smoke"])
    for text, same in ((goes_on, True), (another, False)):
        keys = re.findall(r"(\w+)\.(\w+)", text)
        assert len(keys) == 2
        for section, key in keys:
            changed = run | {section: run[section] | {key: "another value"}}
            assert (config_hash(changed) == config_hash(run)) == same


def test_other_errors_stay_what_they_are():
    assert explain(RuntimeError("shapes differ")) is None
    assert explain(KeyError("x")) is None


def test_an_interrupt_is_found_behind_what_hides_it():
    def clumsy():
        try:
            raise KeyboardInterrupt
        finally:
            {}["cleaned up"]

    with pytest.raises(KeyError) as info:
        clumsy()
    assert was_interrupted(info.value)
    assert was_interrupted(KeyboardInterrupt())
    assert not was_interrupted(KeyError("x"))


def test_really_asking_for_too_much():
    with pytest.raises(RuntimeError) as info:
        torch.empty(1 << 60)
    assert "out of memory" in str(explain(info.value))


def test_strict_names_the_operation():
    error = RuntimeError("x_cuda does not have a deterministic implementation, but you set ...")
    text = str(explain(error))
    assert text.startswith("trainer.determinism=strict: x_cuda does not have")
    assert "trainer.determinism=warn" in text


@pytest.mark.parametrize("mode", ["off", "warn", "strict"])
def test_the_modes_reach_torch(mode, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        set_determinism(mode)
        assert torch.are_deterministic_algorithms_enabled() == (mode != "off")
        assert torch.is_deterministic_algorithms_warn_only_enabled() == (mode == "warn")
        assert torch.backends.cudnn.deterministic == (mode != "off")
        assert torch.backends.cudnn.benchmark == (mode == "off")
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == (mode != "off")
    finally:
        set_determinism("off")


class Deadly:
    """Kills the process that makes the third batch, as a kernel does that is out of memory."""

    def __getitems__(self, indices):
        if 4 in indices:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.from_numpy(indices)


class Torn:
    """Hands over half a batch, then kills its process."""

    def __getitems__(self, indices):
        return self

    def __reduce__(self):
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return _find_the_end, ()


def _find_the_end():
    raise EOFError  # as a connection does, without a word


class Incomplete:
    """Looks for a file that is gone."""

    def __getitems__(self, indices):
        raise FileNotFoundError(2, "No such file or directory", "frame_7.png")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_store_raises_is_not_taken_for_a_worker_that_died(workers):
    with pytest.raises(FileNotFoundError, match=r"frame_7\.png"):
        list(load_batches(Incomplete(), np.arange(8), 2, workers=workers, pin=False))


@pytest.mark.parametrize("store", [Deadly(), Torn()], ids=["whole", "torn"])
def test_a_worker_that_dies_is_told(store):
    batches = load_batches(store, np.arange(8), 2, workers=2, pin=False)
    with pytest.raises(RuntimeError) as info:
        list(batches)
    for _ in range(3):  # another child's end brings it up no more
        subprocess.run(["true"], check=True)
    text = str(explain(info.value))
    assert re.search(r"has died or hangs \(DataLoader worker has ended: \w", text), text
    assert "lower trainer.workers" in text
