"""The official file in miniature: its real layout, three frames written, the others empty."""

import h5py
import numpy as np
import pytest

from mtl_bench.datasets.nyuv2.mat import (
    COLUMNS,
    ROWS,
    class_table,
    read_classes,
    split_frames,
)
from mtl_bench.datasets.nyuv2.normals import CENTRE, FOCAL, normals_from_depth
from mtl_bench.datasets.nyuv2.prepare import prepare, synth, verify
from mtl_bench.errors import DataError

FRAMES = 1449


def quiet(line):
    pass


def plane(slope_x, slope_y, distance, height=480, width=640):
    """Depth of the plane z = distance + slope_x X + slope_y Y in camera axes, y down."""
    u = (np.arange(1, width + 1) - CENTRE[0]) / FOCAL[0]
    v = ((np.arange(1, height + 1) - CENTRE[1]) / FOCAL[1])[:, None]
    return distance / (1 - slope_x * u - slope_y * v)


def plane_normal(slope_x, slope_y):
    """Its normal towards the camera: x right, y up, z towards the camera."""
    normal = np.array([slope_x, -slope_y, 1.0])
    return normal / np.linalg.norm(normal)


def write_names(mat, names):
    references = mat.create_dataset("names", (1, len(names)), h5py.ref_dtype)
    for index, name in enumerate(names):
        text = mat.create_dataset(f"#refs#/{index}", data=[[ord(letter)] for letter in name])
        references[0, index] = text.ref


@pytest.fixture(scope="module")
def mat(tmp_path_factory):
    """Frames 3 (the first to train on), 1 and 2 (the first to test on)."""
    path = tmp_path_factory.mktemp("raw") / "nyu_depth_v2_labeled.mat"
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, kind in (("depths", "f4"), ("rawDepths", "f4"), ("labels", "u2")):
            file.create_dataset(name, (FRAMES, 640, 480), kind, chunks=(1, 640, 480))
        file.create_dataset("images", (FRAMES, 3, 640, 480), "u1", chunks=(1, 3, 640, 480))
        write_names(file, read_classes()["names894"])
        for number, slopes in ((3, (0.3, -0.2)), (1, (0.0, 0.0)), (2, (-0.1, 0.4))):
            depth = plane(*slopes, 1.0 + number)
            measured = depth.copy()
            measured[100:200, 300:400] = 0
            labels = np.zeros((480, 640))
            labels[:, 320:] = 21  # wall
            labels[:240, 320:] = 85  # books
            image = np.zeros((480, 640, 3))
            image[:, :320] = (255, 0, 51)
            image[:, 320:] = generator.integers(0, 256, 3)
            file["depths"][number - 1] = depth.T
            file["rawDepths"][number - 1] = measured.T
            file["labels"][number - 1] = labels.T
            file["images"][number - 1] = image.transpose(2, 1, 0)
    return path


@pytest.fixture(scope="module")
def prepared(mat, tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "nyuv2"
    return root, prepare(root, mat, jobs=1, report=quiet, subset=1)


def load(root, part, folder="train"):
    return np.load(root / folder / part / "0.npy")


def test_the_folder_is_whole_and_says_what_it_is(prepared):
    root, manifest = prepared
    assert verify(root) == []
    assert manifest["kind"] == "real"
    assert "normals computed from depth" in manifest["source"]
    assert manifest["frames"] == {"train": 1, "val": 1}
    assert load(root, "image").shape == (288, 384, 3)


def test_axes_are_turned_and_pixels_stay_square(prepared):
    """The seam between left and right half is where the crop and the scale put it."""
    root, _ = prepared
    scale = (ROWS.stop - ROWS.start) / 288
    assert scale == pytest.approx((COLUMNS.stop - COLUMNS.start) / 384)
    seam = (320 - COLUMNS.start) / scale
    image, label = load(root, "image"), load(root, "label")
    np.testing.assert_allclose(
        image[:, : int(seam)], np.broadcast_to([1, 0, 0.2], (288, int(seam), 3)), atol=1e-6
    )
    assert (label[:, : int(seam)] == -1).all()
    middle = (240 - ROWS.start) / scale
    assert (label[: int(middle), int(seam) + 1 :] == 1).all()  # books
    assert (label[int(middle) + 1 :, int(seam) + 1 :] == 11).all()  # a wall


def test_depth_is_that_of_the_kept_pixels_and_missing_where_nothing_was_measured(prepared):
    root, _ = prepared
    depth = load(root, "depth")[..., 0]
    rows = ((np.arange(288) + 0.5) * 420 / 288).astype(int) + ROWS.start
    columns = ((np.arange(384) + 0.5) * 560 / 384).astype(int) + COLUMNS.start
    expected = plane(0.3, -0.2, 4.0)[rows[:, None], columns]
    gone = ((rows >= 100) & (rows < 200))[:, None] & ((columns >= 300) & (columns < 400))
    np.testing.assert_allclose(depth, np.where(gone, 0, expected), rtol=1e-6)
    assert np.array_equal(load(root, "normal").any(axis=2), ~gone)


def test_normals_are_those_of_the_plane(prepared):
    root, _ = prepared
    normal = load(root, "normal")
    known = normal.any(axis=2)
    expected = np.broadcast_to(plane_normal(0.3, -0.2), normal[known].shape)
    np.testing.assert_allclose(normal[known], expected, atol=1e-5)


def test_each_folder_has_the_frames_of_the_official_split(prepared):
    root, _ = prepared
    assert load(root, "depth", "val")[0, 0, 0] == pytest.approx(2.0)  # frame 1, at 1 + 1 m
    frames = split_frames(FRAMES)
    assert [len(frames["train"]), len(frames["val"])] == [795, 654]
    assert sorted(frames["train"] + frames["val"]) == list(range(1, 1450))
    assert frames["train"][:3] == (3, 4, 5)
    assert frames["val"][:3] == (1, 2, 9)


def test_the_map_of_classes():
    classes, table = read_classes(), class_table()
    assert len(table) == 895
    assert table[0] == -1
    assert set(table[1:]) == set(range(13))
    for name, expected in (
        *(
            ("book", "objects"),
            ("wall", "wall"),
            ("floor", "floor"),
            ("bed", "bed"),
            ("books", "books"),
        ),
        *(("chair", "chair"), ("sofa", "sofa"), ("desk", "table"), ("television", "tv")),
        *(("cabinet", "furniture"), ("pillow", "objects"), ("blinds", "window")),
        *(("picture", "picture"), ("ceiling", "ceiling"), ("bookshelf", "furniture")),
    ):
        raw = classes["names894"].index(name) + 1
        assert classes["names13"][table[raw]] == expected, name


def test_normals_at_an_edge_belong_to_one_of_its_planes():
    left, right = plane(1.0, 0.0, 2.0, 40, 60), plane(-1.0, 0.1, 3.5, 40, 60)
    depth = np.where(np.arange(60) < 30, left, right)
    normal = normals_from_depth(depth)
    np.testing.assert_allclose(normal[:, :30] - plane_normal(1.0, 0.0), 0, atol=1e-9)
    np.testing.assert_allclose(normal[:, 30:] - plane_normal(-1.0, 0.1), 0, atol=1e-9)


def test_no_normal_without_a_plane():
    depth = np.zeros((30, 30))
    assert not normals_from_depth(depth).any()
    depth[10] = 2.0  # one row spans no plane
    assert not normals_from_depth(depth).any()


def test_given_normals_are_taken_and_said_to_be(mat, tmp_path):
    (tmp_path / "normals").mkdir()
    given = np.zeros((480, 640, 3))
    given[:, 320:] = (0.6, 0.0, 0.8)
    for number in (1, 3):
        np.save(tmp_path / f"normals/{number}.npy", given)
    root = tmp_path / "nyuv2"
    manifest = prepare(root, mat, tmp_path / "normals", jobs=1, report=quiet, subset=1)
    assert "normals given" in manifest["source"]
    normal, depth = load(root, "normal"), load(root, "depth")
    known = normal.any(axis=2)
    assert not known[:, :190].any()
    assert known[:, 200:].mean() > 0.6
    np.testing.assert_allclose(
        normal[known], np.broadcast_to([0.6, 0, 0.8], normal[known].shape), rtol=1e-6
    )
    assert np.array_equal(depth[..., 0] > 0, known)
    (tmp_path / "normals/3.npy").unlink()
    with pytest.raises(DataError, match=r"normals/3\.npy"):
        prepare(tmp_path / "b", mat, tmp_path / "normals", jobs=1, report=quiet, subset=1)
    assert not (tmp_path / "b").exists()


def test_what_is_converted_is_not_converted_again(prepared, mat):
    lines = []
    prepare(prepared[0], mat, jobs=1, report=lines.append, subset=1)
    assert lines == [f"NYU-v2 is already prepared in {prepared[0]}"]


def test_real_frames_take_the_place_of_rooms(mat, tmp_path):
    synth(tmp_path / "nyuv2", 2, 1, 24, 32, jobs=1, report=quiet)
    prepare(tmp_path / "nyuv2", mat, jobs=1, report=quiet, subset=1)
    assert verify(tmp_path / "nyuv2") == []
    with pytest.raises(DataError, match="holds the real data set"):
        synth(tmp_path / "nyuv2", 2, 1, 24, 32, jobs=1, report=quiet)


def test_a_missing_file_names_both_ways_to_get_data(tmp_path):
    with pytest.raises(DataError) as info:
        prepare(tmp_path / "nyuv2", report=quiet)
    message = str(info.value)
    assert f"{tmp_path / 'raw/nyuv2/nyu_depth_v2_labeled.mat'} is missing" in message
    assert "cs.nyu.edu" in message
    assert f"`mtl-bench data synth nyuv2 paths.data={tmp_path}`" in message
    assert "\n" not in message


def write_other(path, without=(), names=None, shape=(FRAMES, 640, 480)):
    with h5py.File(path, "w") as file:
        for name in {"depths", "rawDepths", "labels"}.difference(without):
            kind = "u2" if name == "labels" else "f4"
            file.create_dataset(name, shape, kind, chunks=(1, *shape[1:]))
        file.create_dataset("images", (shape[0], 3, 640, 480), "u1", chunks=(1, 3, 640, 480))
        write_names(file, names or read_classes()["names894"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"without": {"rawDepths"}}, "has no array rawDepths"),
        ({"names": ["book", "bottle"]}, "not the 894 known ones"),
        ({"shape": (FRAMES, 480, 640)}, "has shape"),
        ({"shape": (7, 640, 480)}, "has 7 frames"),
    ],
)
def test_another_file_is_told_from_the_official_one(tmp_path, fields, message):
    write_other(tmp_path / "other.mat", **fields)
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "nyuv2", tmp_path / "other.mat", report=quiet)


def test_a_file_that_was_cut_off_is_named(mat, tmp_path):
    for name, content in (("a.mat", mat.read_bytes()[:100_000]), ("b.mat", b"MATLAB 5.0")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="can't be read as HDF5"):
            prepare(tmp_path / "nyuv2", tmp_path / name, report=quiet)
