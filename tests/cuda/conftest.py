"""Every test of this folder runs with a GPU, and nightly with the CPU to keep its code alive."""

import os

import pytest
import torch

ASKED = os.environ.get("MTL_BENCH_TEST_CUDA") == "1"


@pytest.fixture(
    params=[
        pytest.param("cpu", marks=pytest.mark.nightly),
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not ASKED, reason="needs a GPU and MTL_BENCH_TEST_CUDA=1"),
            ],
        ),
    ]
)
def device(request, monkeypatch):
    """Return the device that is compared with the CPU; a GPU computes in full float32 here."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.fail("MTL_BENCH_TEST_CUDA=1, but torch finds no CUDA device", pytrace=False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)  # a run may set both
    return torch.device(request.param)
