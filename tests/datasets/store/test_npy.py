"""npy files that somebody else wrote."""

import io
import os
import pickle
import random

import numpy as np
import pytest

from mtl_bench.datasets.store.npy import map_npy, read_header


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.uint8, np.float64, ">f4"])
def test_an_array_comes_back_and_cannot_be_written(tmp_path, kind, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4), kind, order)
    np.save(tmp_path / "a.npy", array)
    found = map_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


class Planted:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_python_objects_are_never_unpickled(tmp_path):
    proof = tmp_path / "ran"
    np.save(tmp_path / "a.npy", np.array([Planted(proof)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects are never loaded"):
        map_npy(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Planted(proof)))
    with pytest.raises(ValueError, match="not a readable npy file"):
        map_npy(tmp_path / "b.npy")
    np.savez(tmp_path / "c", np.zeros(3))
    with pytest.raises(ValueError, match="not a readable npy file"):
        map_npy(tmp_path / "c.npz")
    assert not proof.exists()


@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"x"])
def test_a_file_of_another_length_is_refused(tmp_path, change):
    raw = npy(np.zeros(5))
    (tmp_path / "a.npy").write_bytes(change(raw))
    with pytest.raises(ValueError, match=f"instead of {len(raw)}: the file is cut off or has som"):
        map_npy(tmp_path / "a.npy")


def test_whatever_bytes_change_in_a_header_there_is_an_array_or_one_kind_of_error(tmp_path):
    raw, path = npy(np.zeros((3, 4), np.float32)), tmp_path / "a.npy"
    rng = random.Random(0)
    refused = 0
    for _ in range(1500):
        changed = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(90)] = rng.choice(b"\0\xff()'{}[]<>,:-L0129fOViSUM\n\\ #\"")
        path.write_bytes(changed)
        try:
            assert read_header(path).size == len(raw)
            map_npy(path)
        except ValueError:
            refused += 1
    assert refused > 500
