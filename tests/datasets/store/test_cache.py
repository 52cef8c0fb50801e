import errno
import json
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtl_bench.datasets.store.cache import open_cache, verify_files, write_cache
from mtl_bench.errors import DataError, MtlBenchError

ARRAYS = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.linspace(0, 1, 1000)}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int32, np.int64, np.float32, np.float64]),
        hnp.array_shapes(min_side=1, max_dims=3, max_side=5),
    )
)
@settings(max_examples=25, deadline=None)
def test_arrays_come_back_as_they_were(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("cache") / "toy"
    write_cache(folder, {"x": array, "transposed": array.T}, {"source": "none"})
    cache = open_cache(folder, "toy")
    for found, expected in ((cache.arrays["x"], array), (cache.arrays["transposed"], array.T)):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert cache.manifest["source"] == "none"
    assert verify_files(folder) == []


def test_arrays_are_mapped_read_only(tmp_path):
    write_cache(tmp_path / "toy", ARRAYS, {})
    array = open_cache(tmp_path / "toy", "toy").arrays["a"]
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 7


def test_the_manifest_hash_follows_the_content(tmp_path):
    hashes = []
    for name, value in (("first", 0.0), ("same", 0.0), ("other", 1.0)):
        write_cache(tmp_path / name, {"x": np.full(3, value)}, {"source": "none"})
        hashes.append(open_cache(tmp_path / name, "toy").manifest_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_older_cache_is_replaced_and_leftovers_go(tmp_path):
    folder = tmp_path / "toy"
    write_cache(folder, ARRAYS, {"version": 1})
    (tmp_path / ".toy.building").mkdir()
    (tmp_path / ".toy.building" / "half.npy").write_bytes(b"half")
    write_cache(folder, {"only": np.zeros(2)}, {"version": 2})
    assert names_in(tmp_path) == ["toy"]
    assert names_in(folder) == ["manifest.json", "only.npy"]
    assert open_cache(folder, "toy").manifest["version"] == 2


def test_a_crash_between_the_two_renames_loses_nothing(tmp_path):
    folder = tmp_path / "toy"
    write_cache(folder, ARRAYS, {"version": 1})
    folder.rename(tmp_path / ".toy.retired")
    with file_size_limit(100), pytest.raises(MtlBenchError):
        write_cache(folder, ARRAYS, {"version": 2})
    assert open_cache(folder, "toy").manifest["version"] == 1
    assert names_in(tmp_path) == ["toy"]


@contextmanager
def file_size_limit(size):
    """Let writes beyond ``size`` bytes fail as they do on a full disk (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [100, 4096], ids=["first file", "second file"])
def test_a_full_disk_leaves_the_old_cache_and_one_line(tmp_path, limit):
    folder = tmp_path / "toy"
    write_cache(folder, {"old": np.zeros(3)}, {})
    with file_size_limit(limit), pytest.raises(MtlBenchError, match="disk full") as caught:
        write_cache(folder, ARRAYS, {})
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert list(open_cache(folder, "toy").arrays) == ["old"]
    assert names_in(tmp_path) == ["toy"]


WRITER = """
import sys, numpy as np
from pathlib import Path
from mtl_bench.datasets.store.cache import write_cache
arrays = {f"x{i}": np.random.default_rng(i).random(2_000_000) for i in range(10)}
print("ready", flush=True)
write_cache(Path(sys.argv[1]), arrays, {"version": 2})
"""


def test_a_kill_in_the_middle_leaves_the_old_cache_and_a_second_run_works(tmp_path):
    folder = tmp_path / "toy"
    write_cache(folder, ARRAYS, {"version": 1})
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 30
        while not (tmp_path / ".toy.building" / "x1.npy").exists():
            assert time.monotonic() < deadline
        writer.send_signal(signal.SIGKILL)
    assert (tmp_path / ".toy.building").exists()
    assert open_cache(folder, "toy").manifest["version"] == 1
    write_cache(folder, ARRAYS, {"version": 3})
    assert open_cache(folder, "toy").manifest["version"] == 3
    assert names_in(tmp_path) == ["toy"]


def test_a_missing_cache_names_the_command(tmp_path):
    with pytest.raises(DataError) as caught:
        open_cache(tmp_path / "qm9", "qm9")
    assert str(caught.value) == (
        f"data set qm9 is not prepared in {tmp_path}/qm9: run `mtl-bench data prepare qm9 "
        f"paths.data={tmp_path}`"
    )


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def other_shape(path):
    np.save(path, np.load(path).reshape(3, 2))


def other_type(path):
    np.save(path, np.load(path).view(np.float32))


def garble_header(path):
    path.write_bytes(b"x" + path.read_bytes()[1:])


@pytest.mark.parametrize(
    "damage",
    [truncate, empty, other_shape, other_type, garble_header, Path.unlink],
    ids=["truncated", "empty", "shape", "dtype", "header", "missing"],
)
def test_damage_that_cheap_checks_find(tmp_path, damage):
    folder = tmp_path / "toy"
    write_cache(folder, ARRAYS, {})
    damage(folder / "a.npy")
    with pytest.raises(DataError, match=r"a\.npy is damaged .*data prepare toy.*data verify toy"):
        open_cache(folder, "toy")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_manifest_is_named(tmp_path, text):
    write_cache(tmp_path / "toy", ARRAYS, {})
    (tmp_path / "toy" / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        open_cache(tmp_path / "toy", "toy")


def test_another_format_is_named(tmp_path):
    path = tmp_path / "toy" / "manifest.json"
    write_cache(tmp_path / "toy", ARRAYS, {})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(DataError, match="has format 99, this version reads 1"):
        open_cache(tmp_path / "toy", "toy")


def test_a_flipped_byte_is_found_by_the_hashes(tmp_path):
    folder = tmp_path / "toy"
    write_cache(folder, ARRAYS, {})
    content = bytearray((folder / "b.npy").read_bytes())
    content[-1] ^= 1
    (folder / "b.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.npy is damaged .its bytes have changed.: run"):
        open_cache(folder, "toy")
    (fault,) = verify_files(folder)
    assert "b.npy has changed" in fault
    (folder / "a.npy").unlink()
    assert len(verify_files(folder)) == 2


@pytest.fixture
def mine(tmp_path):
    """A folder outside the data, which no command may touch."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter").write_text("mine")
    return folder


def test_a_link_is_not_replaced(tmp_path, mine):
    (tmp_path / "toy").symlink_to(mine)
    with pytest.raises(DataError, match=rf"toy is a link to {mine}, no folder that can be repl"):
        write_cache(tmp_path / "toy", ARRAYS, {})
    assert names_in(mine) == ["letter"]


def test_files_of_somebody_else_are_not_replaced(tmp_path, mine):
    with pytest.raises(DataError, match=r"mine holds letter, which `mtl-bench data` did not write"):
        write_cache(mine, ARRAYS, {})
    assert names_in(mine) == ["letter"]
    with pytest.raises(DataError, match="letter is a file, no folder that can be replaced"):
        write_cache(mine / "letter", ARRAYS, {})
    assert (mine / "letter").read_text() == "mine"
