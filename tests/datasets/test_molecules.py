"""Batches against a plain loop over molecules."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_bench.datasets import molecules
from mtl_bench.datasets.molecules import PaddedStore, ResidentMoleculeStore, ranges
from tests.accelerator import DEVICE, pretend
from tests.molecules import random_store


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_batch_equals_a_loop_over_molecules(sizes, seed):
    store = random_store(tuple(sizes), seed=seed)
    chosen = np.random.default_rng(seed).permutation(len(sizes))
    batch = store.__getitems__(chosen)
    assert batch.size == len(sizes)
    atom = pair = 0
    order = sorted(chosen, key=lambda m: sizes[m])
    for row, molecule in enumerate(order):
        n = sizes[molecule]
        first = store.arrays["atom_offsets"][molecule]
        positions = store.arrays["positions"][first : first + n]
        offset = sum(size**2 for size in sizes[:molecule])
        bonds = store.arrays["bonds"][offset : offset + n * n].reshape(n, n)
        for i in range(n):
            features = batch.atoms_AF[atom + i]
            number = store.arrays["numbers"][first + i]
            assert features[5] == number
            assert [1, 6, 7, 8, 9][features[:5].argmax()] == number
            assert features[:5].sum() == 1
            assert not features[6:10].any()
            assert features[10] == store.arrays["hydrogens"][first + i]
            assert batch.slots_A[atom + i] == row * batch.largest + i
            for j in range(n):
                got = batch.pairs_PE[pair + i * n + j]
                expected = torch.zeros(6)
                if i != j:
                    if bonds[i, j]:
                        expected[bonds[i, j] - 1] = 1
                    expected[4] = float(np.linalg.norm(positions[i] - positions[j]))
                    expected[5] = 1
                    expected /= n - 1
                torch.testing.assert_close(got, expected)
        for t, task in enumerate(store.names):
            assert batch.targets[task][row] == store.targets_MT[molecule, t]
        atom, pair = atom + n, pair + n * n
    assert atom == len(batch.atoms_AF)
    assert pair == len(batch.pairs_PE)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=1, max_size=9))
def test_ranges(parts):
    starts, lengths = np.array(parts).T
    expected = np.concatenate([np.arange(s, s + n) for s, n in parts])
    assert np.array_equal(ranges(starts, lengths), expected)


def tensors(batch):
    """Return the tensors of a batch, its targets among them."""
    fields = {**vars(batch), **batch.targets}
    return {name: value for name, value in fields.items() if isinstance(value, torch.Tensor)}


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(3, 9), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_a_device_gathers_the_same_batches_bit_for_bit(sizes, seed):
    store = random_store(tuple(sizes), seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(molecules, "CHUNK", 5)
        resident = ResidentMoleculeStore(store, torch.device("cpu"))
    rng = np.random.default_rng(seed)
    for _ in range(3):
        chosen = rng.choice(len(sizes), rng.integers(1, len(sizes) + 1), replace=False)
        for stores in ((store, resident), (PaddedStore(store), PaddedStore(resident))):
            expected, found = (each.__getitems__(chosen) for each in stores)
            assert found.groups == expected.groups
            assert found.targets.keys() == expected.targets.keys()
            for name, value in tensors(expected).items():
                assert value.dtype == tensors(found)[name].dtype
                assert torch.equal(value, tensors(found)[name]), name


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    more=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_a_padded_batch_is_every_molecule_and_zeros(sizes, more, seed):
    plain = random_store(tuple(sizes), seed=seed).__getitems__(range(len(sizes)))
    count, room = len(sizes), max(sizes) + more
    padded = plain.padded(room)
    assert padded.groups == ((room, count),)
    assert padded.targets is plain.targets
    atom = pair = 0
    for row, n in enumerate(sorted(sizes)):
        for name in ("atoms_AF", "positions_A3"):
            whole, own = getattr(padded, name), getattr(plain, name)[atom : atom + n]
            molecule = whole.view(count, room, -1)[row]
            assert torch.equal(molecule[:n], own)
            assert not molecule[n:].any()
        pairs = padded.pairs_PE.view(count, room, room, -1)[row]
        assert torch.equal(pairs[:n, :n], plain.pairs_PE[pair : pair + n * n].view(n, n, -1))
        assert not pairs[n:].any()
        assert not pairs[:, n:].any()
        first, behind = row * room, count * room
        slots = [*range(first, first + n), *[behind] * (room - n)]
        assert padded.slots_A.view(count, room)[row].tolist() == slots
        atom, pair = atom + n, pair + n * n


def test_a_batch_is_made_on_the_device_of_the_molecules():
    with pretend():
        store = ResidentMoleculeStore(random_store((3, 5, 4)), DEVICE)
        for way, atoms, pairs in ((store, 7, 25), (PaddedStore(store), 10, 50)):
            made = tensors(way.__getitems__([2, 0]))
            assert {name: (value.device, len(value)) for name, value in made.items()} == {
                **dict.fromkeys(("atoms_AF", "positions_A3", "slots_A"), (DEVICE, atoms)),
                "pairs_PE": (DEVICE, pairs),
                **dict.fromkeys("abc", (DEVICE, 2)),
            }
