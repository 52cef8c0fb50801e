"""The comparison of libraries and blocks: each is used, and the network's own choice comes back."""

import pytest
import torch

from benchmarks import blocks
from benchmarks.__main__ import main
from mtl_bench.architectures import edge_messages, products


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN")
def test_every_library_and_size_of_blocks_makes_steps(capsys, tiny_data, monkeypatch):
    seen = []
    real = edge_messages.propagate

    def propagate(*inputs):
        library = edge_messages.library_for(inputs[2])
        seen.append((type(library), library.block_floats))
        return real(*inputs)

    monkeypatch.setattr(edge_messages, "propagate", propagate)
    monkeypatch.setattr(blocks, "FLOATS", (64, 300_000))
    words = ["rounds=1", "only=ls", "profile=smoke", f"paths.data={tiny_data}"]
    assert main(["blocks", *words]) == 0
    shown = capsys.readouterr().out
    kinds = (products.Blas, products.OneDNN)
    assert set(seen) == {(kind, floats) for kind in kinds for floats in (64, 300_000)}
    assert edge_messages.library_for is products.library_for
    assert [line.split(" | ")[0] for line in shown.splitlines()[4:]] == [
        *("| BLAS 64", "| BLAS 300,000", "| oneDNN 64", "| oneDNN 300,000"),
    ]
