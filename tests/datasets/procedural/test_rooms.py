"""Procedural rooms: their geometry is exact, and the data set is whole and repeatable."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mtl_bench.datasets.nyuv2.prepare import synth, verify
from mtl_bench.datasets.procedural.rooms.furniture import BUILDERS, CLASSES, UNLABELLED
from mtl_bench.datasets.procedural.rooms.geometry import (
    CEILING,
    FLOOR,
    FOCAL,
    WALLS,
    Solid,
    camera_rays,
    cast,
    in_shadow,
    look_at,
    to_camera_normals,
)
from mtl_bench.datasets.procedural.rooms.scene import draw_scene
from mtl_bench.datasets.procedural.rooms.synth import draw_frame
from mtl_bench.errors import DataError

H, W = 48, 64
ROOM = (4.0, 5.0, 2.5)


def quiet(line):
    pass


def level_camera():
    """In the middle of the room at 1 m, looking along +y, level."""
    return look_at(np.array([2.0, 1.0, 1.0]), np.array([2.0, 3.0, 1.0]))


def test_a_wall_straight_ahead_is_at_its_distance():
    hits = cast(ROOM, (), level_camera(), H, W)
    wall = hits.normal_HW3[..., 1] < -0.5
    assert wall[H // 2, W // 2]
    np.testing.assert_allclose(hits.depth_HW[wall], 4.0)
    assert (hits.surface_HW[wall] == WALLS).all()
    normal = to_camera_normals(hits.normal_HW3, level_camera())
    np.testing.assert_allclose(
        normal[wall], np.broadcast_to([0, 0, 1], normal[wall].shape), atol=1e-12
    )


def test_the_floor_is_where_the_eye_height_puts_it():
    hits = cast(ROOM, (), level_camera(), H, W)
    normal = to_camera_normals(hits.normal_HW3, level_camera())
    floor, ceiling = hits.surface_HW == FLOOR, hits.surface_HW == CEILING
    slope = np.broadcast_to(((np.arange(H) + 0.5 - H / 2) / (FOCAL * W))[:, None], (H, W))
    np.testing.assert_allclose(hits.depth_HW[floor], 1.0 / slope[floor])
    np.testing.assert_allclose(hits.depth_HW[ceiling], -1.5 / slope[ceiling])
    np.testing.assert_allclose(normal[floor][:, 1], 1.0)
    np.testing.assert_allclose(normal[ceiling][:, 1], -1.0)


def test_the_left_wall_is_on_the_left_and_faces_right():
    hits = cast(ROOM, (), level_camera(), H, 3 * W)
    normal = to_camera_normals(hits.normal_HW3, level_camera())
    np.testing.assert_allclose(normal[H // 2, 0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(normal[H // 2, -1], [-1, 0, 0], atol=1e-12)


def test_a_turned_box_shows_the_faces_it_should():
    box = Solid((2.0, 3.0, 1.0), (0.5, 0.5, 0.5), np.pi / 4)
    hits = cast(ROOM, (box,), level_camera(), 49, 65)
    assert hits.surface_HW[24, 32] == 0
    assert hits.depth_HW[24, 32] == pytest.approx(2.0 - np.sqrt(0.5))
    left, right = hits.normal_HW3[24, 30], hits.normal_HW3[24, 34]
    np.testing.assert_allclose(left, [-np.sqrt(0.5), -np.sqrt(0.5), 0], atol=1e-12)
    np.testing.assert_allclose(right, [np.sqrt(0.5), -np.sqrt(0.5), 0], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_normals_are_those_of_the_planes_that_depth_shows(seed):
    """Neighbours on one face lie in the plane that the normal at one of them stands for."""
    scene = draw_scene(np.random.default_rng(seed))
    hits = cast(scene.room, scene.solids, scene.camera, H, W)
    points = camera_rays(H, W) * hits.depth_HW[..., None]
    normal = to_camera_normals(hits.normal_HW3, scene.camera) * [1, -1, -1]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=2), 1, rtol=1e-12)
    assert (np.einsum("hwc,hwc->hw", normal, points) < 0).all()
    for axis in (0, 1):
        step = np.diff(points, axis=axis)
        here = normal[:-1] if axis == 0 else normal[:, :-1]
        there = normal[1:] if axis == 0 else normal[:, 1:]
        first = hits.surface_HW[:-1] if axis == 0 else hits.surface_HW[:, :-1]
        second = hits.surface_HW[1:] if axis == 0 else hits.surface_HW[:, 1:]
        same = (first == second) & (np.abs(here - there).max(axis=2) < 1e-9)
        assert same.mean() > 0.5
        assert np.abs(np.einsum("hwc,hwc->hw", here, step)[same]).max() < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_nothing_stands_before_what_is_seen(seed):
    """March along every ray: free up to the hit, and at the hit on the surface of its box."""
    scene = draw_scene(np.random.default_rng(seed))
    hits = cast(scene.room, scene.solids, scene.camera, H, W)
    eye = scene.camera.eye_3
    for share in np.linspace(0.02, 0.995, 60):
        points = eye + share * (hits.points_HW3 - eye)
        for solid in scene.solids:
            local = np.abs((points - solid.centre) @ solid.axes_33.T)
            assert not (local < np.asarray(solid.half) - 1e-3).all(axis=2).any()
    for index in np.unique(hits.surface_HW[hits.surface_HW >= 0]):
        solid = scene.solids[index]
        mask = hits.surface_HW == index
        local = np.abs((hits.points_HW3[mask] - solid.centre) @ solid.axes_33.T)
        assert (local < np.asarray(solid.half) + 1e-9).all()
        np.testing.assert_allclose((np.asarray(solid.half) - local).min(axis=1), 0, atol=1e-9)


def test_shadows_fall_behind_boxes():
    """The lamp is 2.4 m high, 1.3 m above a plate of half width 0.5: 0.923 of the floor is dark."""
    box, light = Solid((2.0, 2.0, 1.0), (0.5, 0.5, 0.1)), np.array([2.0, 2.0, 2.4])
    points = np.array([[2.0, 2, 0], [2.91, 2, 0], [2.93, 2, 0], [2.0, 2, 1.1], [2.0, 2.4, 1.5]])
    assert in_shadow((box,), points, light).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("name", BUILDERS)
def test_furniture_stays_on_its_footprint(name):
    for seed in range(20):
        piece = BUILDERS[name](np.random.default_rng(seed))
        for box in piece.boxes:
            assert -piece.width / 2 - 0.02 < box.x[0] < box.x[1] < piece.width / 2 + 0.02
            assert -piece.depth / 2 - 0.02 < box.y[0] < box.y[1] < piece.depth / 2 + 0.02
            assert 0 <= box.z[0] < box.z[1] < 2.35
            assert box.label == UNLABELLED or 0 <= box.label < 13


@pytest.fixture(scope="module")
def frames():
    return [draw_frame(np.random.default_rng(seed), H, W) for seed in range(40)]


def test_the_13_classes_of_scenenet_are_all_there(frames):
    assert CLASSES[0] == "bed"
    assert CLASSES[12] == "window"
    assert len(CLASSES) == 13
    assert sorted(CLASSES) == list(CLASSES)
    pictures = np.array([[(frame["label"] == k).any() for k in range(-1, 13)] for frame in frames])
    assert (pictures.sum(axis=0) >= 4).all()


def test_some_pixels_have_no_depth_and_some_no_label(frames):
    no_depth = np.array([(frame["depth"] == 0).mean() for frame in frames])
    no_label = np.array([(frame["label"] == -1).mean() for frame in frames])
    assert 0.01 < no_depth.mean() < 0.2
    assert 0.01 < no_label.mean() < 0.2
    for frame in frames:
        gone = ~frame["normal"].any(axis=2)
        assert np.array_equal(gone, frame["depth"][..., 0] == 0)


def test_numbers_are_in_their_ranges(frames):
    images = np.stack([frame["image"] for frame in frames])
    assert images.min() >= 0
    assert images.max() <= 1
    assert 0.2 < images.mean() < 0.7
    depths = np.stack([frame["depth"] for frame in frames])
    assert depths[depths > 0].min() > 0.2
    assert depths.max() < 8


def test_colours_tell_classes_better_than_chance_but_not_well(frames):
    """A nearest-mean rule on colours alone, with every class counted alike."""
    colours = np.concatenate([frame["image"].reshape(-1, 3) for frame in frames])
    labels = np.concatenate([frame["label"].reshape(-1) for frame in frames])
    first = np.arange(len(labels)) < len(labels) // 2
    means = np.array([colours[first & (labels == k)].mean(axis=0) for k in range(13)])
    guess = np.linalg.norm(colours[~first, None] - means, axis=2).argmin(axis=1)
    found = [(guess[labels[~first] == k] == k).mean() for k in range(13)]
    assert 1.3 / 13 < np.mean(found) < 0.5


def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs(tmp_path):
    manifests = [
        synth(tmp_path / str(jobs), 3, 2, 24, 32, seed=5, jobs=jobs, report=quiet)
        for jobs in (1, 2)
    ]
    assert manifests[0] == manifests[1]
    other = synth(tmp_path / "6", 3, 2, 24, 32, seed=6, jobs=1, report=quiet)
    assert other["sha256"] != manifests[0]["sha256"]
    assert verify(tmp_path / "1") == []
    more = synth(tmp_path / "1", 4, 2, 24, 32, seed=5, jobs=1, report=quiet)
    assert more["frames"] == {"train": 4, "val": 2}
    assert more["sha256"]["val/image"] == manifests[0]["sha256"]["val/image"]


DIGEST = """
import hashlib
import numpy as np
from mtl_bench.datasets.procedural.rooms.geometry import cast
from mtl_bench.datasets.procedural.rooms.scene import draw_scene

digest = hashlib.sha256()
for seed in range(3):
    scene = draw_scene(np.random.default_rng(seed))
    hits = cast(scene.room, scene.solids, scene.camera, 24, 32)
    for array in vars(hits).values():
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_every_processor_sees_the_same_bits():
    """The kernels of a library for linear algebra round otherwise on another processor."""
    kinds = ("Prescott", "Nehalem", "Haswell")
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env=os.environ | {"OPENBLAS_CORETYPE": kind},
            capture_output=True,
            check=True,
        ).stdout
        for kind in kinds
    }
    assert len(digests) == 1


def test_what_is_there_is_not_made_again(tmp_path):
    lines = []
    synth(tmp_path / "a", 2, 1, 24, 32, jobs=1, report=quiet)
    before = (tmp_path / "a/manifest.json").stat().st_mtime_ns
    synth(tmp_path / "a", 2, 1, 24, 32, jobs=1, report=lines.append)
    assert (tmp_path / "a/manifest.json").stat().st_mtime_ns == before
    assert lines == [f"these rooms are already in {tmp_path / 'a'}"]
    (tmp_path / "a/val/depth/0.npy").unlink()
    synth(tmp_path / "a", 2, 1, 24, 32, jobs=1, report=quiet)
    assert verify(tmp_path / "a") == []


def test_other_data_is_never_replaced_by_rooms(tmp_path):
    (tmp_path / "a/train/image").mkdir(parents=True)
    with pytest.raises(DataError, match="did not write"):
        synth(tmp_path / "a", 2, 1, 24, 32, jobs=1, report=quiet)
    manifest = synth(tmp_path / "b", 2, 1, 24, 32, jobs=1, report=quiet)
    (tmp_path / "b/manifest.json").write_text(json.dumps(manifest | {"kind": "real"}))
    with pytest.raises(DataError, match="holds the real data set"):
        synth(tmp_path / "b", 3, 1, 24, 32, jobs=1, report=quiet)
    assert verify(tmp_path / "b") == []
