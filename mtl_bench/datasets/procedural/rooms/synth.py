"""Procedural rooms in NYU-v2's layout: exact depth and normals, 13 classes, no download.

They stand in for the real data where it can't be had: tests, first looks, comparisons of methods
on a small machine. Their numbers say nothing about the published tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.datasets.nyuv2.layout import Folder
from mtl_bench.datasets.nyuv2.write import up_to_date, write_frames
from mtl_bench.datasets.procedural import describe_scenes
from mtl_bench.datasets.procedural.rooms.furniture import CLASSES
from mtl_bench.datasets.procedural.rooms.geometry import (
    CEILING,
    FLOOR,
    FOCAL,
    WALLS,
    Hits,
    cast,
    dot,
    in_shadow,
    to_camera_normals,
)
from mtl_bench.datasets.procedural.rooms.scene import Scene, draw_scene
from mtl_bench.datasets.procedural.rooms.textures import Material, paint
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt

VERSION = 2
"""Goes up when the same seed gives other rooms."""

SHELL_LABELS = {
    FLOOR: CLASSES.index("floor"),
    CEILING: CLASSES.index("ceiling"),
    WALLS: CLASSES.index("wall"),
}


def synth(
    folder: Path,
    train: PositiveInt = 240,
    val: PositiveInt = 60,
    height: PositiveInt = 96,
    width: PositiveInt = 128,
    seed: NonNegativeInt = 0,
    jobs: PositiveInt | None = None,
    *,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Make a data set of procedural rooms, unless the same one is there already.

    Args:
        folder: where it goes.
        train: frames of the training folder.
        val: frames of the folder that tests; their rooms are others.
        height: rows of a frame.
        width: columns of a frame.
        seed: every frame is a function of it, its folder and its number.
        jobs: processes; default the usable cores. The result is the same.
        report: gets a few lines of progress.

    Returns:
        The manifest.

    Raises:
        DataError: the folder holds other data.
        MtlBenchError: the disk is full or can't be written; what was there is kept.
    """
    facts = {
        **describe_scenes("rooms", VERSION, train, val, seed=seed, height=height, width=width),
        "intrinsics": {"focal": FOCAL * width, "centre": [width / 2, height / 2]},
        "normal_axes": "x right, y up, z towards the camera",
    }
    if (manifest := up_to_date(folder, facts)) is not None:
        report(f"these rooms are already in {folder}")
        return manifest
    report(f"making {train} + {val} procedural rooms of {height} x {width} pixels")
    counts: dict[Folder, int] = {"train": train, "val": val}
    manifest = write_frames(folder, _MakeRoom(seed, height, width), counts, facts, jobs, report)
    report(f"procedural rooms are in {folder}")
    return manifest


@dataclass(frozen=True)
class _MakeRoom:
    seed: int
    height: int
    width: int

    def __call__(self, folder: Folder, index: int, /) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(derive_seed(self.seed, "rooms", folder, index))
        return draw_frame(generator, self.height, self.width)


def draw_frame(generator: np.random.Generator, height: int, width: int) -> dict[str, np.ndarray]:
    """Draw a room and return its frame: part -> float32 array, channels last."""
    scene = draw_scene(generator)
    hits = cast(scene.room, scene.solids, scene.camera, height, width)
    label_HW = np.select(
        [hits.surface_HW == surface for surface in SHELL_LABELS],
        list(SHELL_LABELS.values()),
        np.append(scene.labels, 0)[hits.surface_HW],
    )
    unknown_HW = _unmeasured(generator, hits, label_HW)
    normal_HW3 = to_camera_normals(hits.normal_HW3, scene.camera)
    frame = {
        "image": _expose(generator, shade(scene, hits)),
        "label": np.where(_unlabelled(generator, hits.surface_HW), -1, label_HW),
        "depth": np.where(unknown_HW, 0.0, hits.depth_HW)[..., None],
        "normal": np.where(unknown_HW[..., None], 0.0, normal_HW3),
    }
    return {part: values.astype(np.float32) for part, values in frame.items()}


def shade(scene: Scene, hits: Hits) -> np.ndarray:
    """Return what a perfect camera sees: texture under ambient light and one lamp, (H, W, 3)."""
    colour_HW3 = np.empty_like(hits.points_HW3)
    faces_HW = _faces(hits)
    for face in np.unique(faces_HW):
        mask = faces_HW == face
        surface, axis = int(hits.surface_HW[mask][0]), int(hits.axis_HW[mask][0])
        material, middle_3, half_3 = _surface(scene, surface, hits, mask)
        across, up = ((1, 2), (0, 2), (0, 1))[axis]
        points_N3 = hits.local_HW3[mask] - middle_3
        half_N2 = np.broadcast_to(half_3[[across, up]], (len(points_N3), 2))
        colour_HW3[mask] = paint(material, points_N3[:, [across, up]], half_N2)
    to_light_HW3 = scene.light_3 - hits.points_HW3
    distance_HW = np.sqrt(dot(to_light_HW3, to_light_HW3))
    facing_HW = dot(to_light_HW3, hits.normal_HW3) / distance_HW
    lit_HW = np.clip(facing_HW, 0, None)
    towards_HW = facing_HW > 0
    lit_HW[towards_HW] *= ~in_shadow(scene.solids, hits.points_HW3[towards_HW], scene.light_3)
    lamp_HW = 1.6 * lit_HW / (1 + 0.12 * distance_HW**2)
    # Corners see less of the room, hence less of the light that is everywhere.
    to_walls_HW3 = np.minimum(hits.points_HW3, np.asarray(scene.room) - hits.points_HW3)
    corner_HW = np.sort(to_walls_HW3, axis=2)[..., 1]
    ambient_HW = scene.ambient * (0.7 + 0.3 * np.clip(corner_HW / 0.6, 0, 1))
    glows_HW = np.isin(hits.surface_HW, _glowing(scene))
    light_HW = np.where(glows_HW, 1.0, ambient_HW + (1 - scene.ambient) * lamp_HW)
    return colour_HW3 * light_HW[..., None]


def _faces(hits: Hits) -> np.ndarray:
    """Return a number for every face of every surface; opposite faces of a box share one."""
    opposite_HW = (hits.surface_HW < 0) & (hits.normal_HW3.sum(axis=2) < 0)
    return (hits.surface_HW - WALLS) * 6 + 2 * hits.axis_HW + opposite_HW


def _surface(
    scene: Scene, surface: int, hits: Hits, mask: np.ndarray
) -> tuple[Material, np.ndarray, np.ndarray]:
    """Return material, middle in its own frame and half extents."""
    if surface >= 0:
        return scene.materials[surface], np.zeros(3), np.asarray(scene.solids[surface].half)
    half_3 = np.asarray(scene.room) / 2
    if surface != WALLS:
        return scene.shell[0 if surface == FLOOR else 1], half_3, half_3
    normal_3 = hits.normal_HW3[mask][0]
    wall = (
        (0 if normal_3[0] > 0 else 1) if abs(normal_3[0]) > 0.5 else (2 if normal_3[1] > 0 else 3)
    )
    return scene.shell[2 + wall], half_3, half_3


def _glowing(scene: Scene) -> list[int]:
    return [i for i, material in enumerate(scene.materials) if material.pattern == "pane"]


def _expose(generator: np.random.Generator, colour_HW3: np.ndarray) -> np.ndarray:
    """Return the picture of a cheap camera: exposure, white balance, noise, 8 bits."""
    balance_3 = generator.uniform(0.92, 1.08, 3) * generator.uniform(0.85, 1.15)
    noise_HW3 = generator.normal(0, generator.uniform(0.008, 0.025), colour_HW3.shape)
    return np.round(255 * np.clip(colour_HW3 * balance_3 + noise_HW3, 0, 1)) / 255


def _unmeasured(generator: np.random.Generator, hits: Hits, label_HW: np.ndarray) -> np.ndarray:
    """Return the pixels without depth: beside edges, on glass, screens and here and there."""
    step_HW = np.abs(np.diff(hits.depth_HW, axis=1, prepend=hits.depth_HW[:, :1]))
    edge_HW = step_HW > 0.08 * hits.depth_HW
    edge_HW |= np.roll(edge_HW, -1, axis=1) & (generator.random(edge_HW.shape) < 0.7)
    lost_HW = edge_HW | (generator.random(edge_HW.shape) < 0.005)
    for name, probability in (("window", 0.6), ("tv", 0.3)):
        if generator.random() < probability:
            lost_HW |= label_HW == CLASSES.index(name)
    return lost_HW


def _unlabelled(generator: np.random.Generator, surface_HW: np.ndarray) -> np.ndarray:
    """Return the pixels that an annotator left out: many along outlines."""
    outline_HW = np.diff(surface_HW, axis=0, prepend=surface_HW[:1]) != 0
    outline_HW |= np.diff(surface_HW, axis=1, prepend=surface_HW[:, :1]) != 0
    return outline_HW & (generator.random(surface_HW.shape) < 0.4)
