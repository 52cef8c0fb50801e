"""Exact ray casting of boxes in a box-shaped room.

World: metres, x and y along the floor, z up; the room is [0, X] x [0, Y] x [0, Z]. Camera: x right,
y down, z forward, pinhole with its centre in the middle of the image. Legend of shape suffixes:
H rows, W columns, N any rays, 3 world or camera axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FOCAL = 0.75
"""Focal length in image widths: the view is 67 degrees wide, a little wider than a Kinect's."""
NEAR = 1e-4
PARALLEL = 1e-12
SURFACE = 1e-3
"""Share of the way from the lamp within which a box doesn't shade its own surface."""
FLOOR, CEILING, WALLS = -1, -2, -3
"""Surfaces of the room; boxes have their index."""


@dataclass(frozen=True)
class Solid:
    """A box turned about the vertical axis.

    Args:
        centre: (x, y, z).
        half: half its extents along its own axes.
        yaw: angle from the world's x axis to its own, in radians.
    """

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    yaw: float = 0.0

    @property
    def axes_33(self) -> np.ndarray:
        """Its own axes as rows, in the world."""
        cosine, sine = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])

    @property
    def corners_83(self) -> np.ndarray:
        """Its corners in the world."""
        signs_83 = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
        return np.asarray(self.centre) + turn(signs_83 * self.half, self.axes_33)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Args:
        eye_3: where it is.
        axes_33: right, down and forward as rows, in the world.
    """

    eye_3: np.ndarray
    axes_33: np.ndarray


@dataclass(frozen=True)
class Hits:
    """What each pixel's ray meets first.

    Args:
        depth_HW: distance along the camera's axis, metres.
        surface_HW: index of the solid, or one of the room's surfaces.
        axis_HW: axis of the surface's normal, in its own frame.
        normal_HW3: unit normal in the world, towards the camera.
        local_HW3: the point in the surface's own frame (the world's for the room).
        points_HW3: the point in the world.
    """

    depth_HW: np.ndarray
    surface_HW: np.ndarray
    axis_HW: np.ndarray
    normal_HW3: np.ndarray
    local_HW3: np.ndarray
    points_HW3: np.ndarray


def dot(one_N3: np.ndarray, other_N3: np.ndarray) -> np.ndarray:
    """Return the inner products of vectors, any leading shape.

    Added up here and not by a library's product, whose rounding is another on other processors:
    where faces meet, it decides what a pixel shows.
    """
    products_N3 = one_N3 * other_N3
    return np.asarray(products_N3[..., 0] + products_N3[..., 1] + products_N3[..., 2])


def turn(vectors_N3: np.ndarray, axes_33: np.ndarray) -> np.ndarray:
    """Return the vectors that have these components along the rows of ``axes_33``."""
    return np.stack([dot(vectors_N3, column_3) for column_3 in axes_33.T], axis=-1)


def look_at(eye_3: np.ndarray, target_3: np.ndarray, roll: float = 0.0) -> Camera:
    """Return a camera that sees ``target_3`` in its centre, turned by ``roll`` about its axis."""
    towards_3 = target_3 - eye_3
    forward_3 = towards_3 / np.sqrt(dot(towards_3, towards_3))
    right_3 = np.cross(forward_3, (0.0, 0.0, 1.0))
    right_3 /= np.sqrt(dot(right_3, right_3))
    down_3 = np.cross(forward_3, right_3)
    cosine, sine = np.cos(roll), np.sin(roll)
    turned = (cosine * right_3 + sine * down_3, cosine * down_3 - sine * right_3, forward_3)
    return Camera(eye_3, np.stack(turned))


def camera_rays(height: int, width: int) -> np.ndarray:
    """Return the direction of each pixel's ray, (H, W, 3) in camera axes, the last component 1."""
    focal = FOCAL * width
    columns_W = (np.arange(width) + 0.5 - width / 2) / focal
    rows_H = (np.arange(height) + 0.5 - height / 2) / focal
    rays_HW3 = np.ones((height, width, 3))
    rays_HW3[..., 0] = columns_W
    rays_HW3[..., 1] = rows_H[:, None]
    return rays_HW3


def cast(
    room: tuple[float, float, float],
    solids: Sequence[Solid],
    camera: Camera,
    height: int,
    width: int,
) -> Hits:
    """Find what each pixel's ray meets first; the camera is in the room and in no solid."""
    rays_HW3 = turn(camera_rays(height, width), camera.axes_33)
    extent_3 = np.asarray(room)
    along_HW3 = _not_parallel(rays_HW3)
    to_wall_HW3 = (np.where(along_HW3 > 0, extent_3, 0.0) - camera.eye_3) / along_HW3
    axis_HW = to_wall_HW3.argmin(axis=2)
    depth_HW = to_wall_HW3.min(axis=2)
    upward_HW = np.take_along_axis(rays_HW3, axis_HW[..., None], 2)[..., 0] > 0
    surface_HW = np.where(axis_HW < 2, WALLS, np.where(upward_HW, CEILING, FLOOR))
    for index, solid in enumerate(solids):
        window = _window(solid, camera, height, width)
        entry, axis, hit = enter(solid, camera.eye_3, rays_HW3[window])
        nearer = hit & (entry < depth_HW[window])
        depth_HW[window][nearer] = entry[nearer]
        axis_HW[window][nearer] = axis[nearer]
        surface_HW[window][nearer] = index
    points_HW3 = camera.eye_3 + depth_HW[..., None] * rays_HW3
    local_HW3, normal_HW3 = points_HW3.copy(), np.zeros_like(points_HW3)
    for index in np.unique(surface_HW):
        mask = surface_HW == index
        axes_33 = np.eye(3)
        if index >= 0:
            axes_33 = solids[index].axes_33
            local_HW3[mask] = turn(points_HW3[mask] - solids[index].centre, axes_33.T)
        normal_HW3[mask] = axes_33[axis_HW[mask]]
    away_HW = dot(normal_HW3, rays_HW3) > 0
    normal_HW3[away_HW] *= -1
    return Hits(depth_HW, surface_HW, axis_HW, normal_HW3, local_HW3, points_HW3)


def enter(
    solid: Solid, origin_3: np.ndarray, rays_N3: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intersect rays with one solid.

    Args:
        solid: the box.
        origin_3: where all rays start.
        rays_N3: directions of any length, any leading shape.

    Returns:
        Where each ray enters in units of its direction, the axis of the face it enters by, and
        whether it enters at all in front of its origin.
    """
    near, far = _slabs(solid, origin_3, rays_N3)
    entry = np.maximum(np.maximum(near[0], near[1]), near[2])
    leave = np.minimum(np.minimum(far[0], far[1]), far[2])
    axis = np.where(near[0] == entry, 0, np.where(near[1] == entry, 1, 2))
    return entry, axis, (entry < leave) & (entry > NEAR)


def in_shadow(solids: Sequence[Solid], points_N3: np.ndarray, light_3: np.ndarray) -> np.ndarray:
    """Return which points the light does not reach, bool (N,)."""
    rays_N3 = points_N3 - light_3
    dark_N = np.zeros(len(points_N3), bool)
    for solid in solids:
        entry_N, _, hit_N = enter(solid, light_3, rays_N3)
        dark_N |= hit_N & (entry_N < 1 - SURFACE)
    return dark_N


def to_camera_normals(normal_HW3: np.ndarray, camera: Camera) -> np.ndarray:
    """Return world normals along the axes right, up and towards the camera."""
    return turn(normal_HW3, camera.axes_33.T) * np.array([1.0, -1.0, -1.0])


def _window(solid: Solid, camera: Camera, height: int, width: int) -> tuple[slice, slice]:
    """Return the pixels that can see a solid: its corners' rectangle, or all if one is behind."""
    corners_83 = turn(solid.corners_83 - camera.eye_3, camera.axes_33.T)
    if corners_83[:, 2].min() < 0.01:
        return slice(None), slice(None)
    focal = FOCAL * width
    columns_8 = corners_83[:, 0] / corners_83[:, 2] * focal + width / 2
    rows_8 = corners_83[:, 1] / corners_83[:, 2] * focal + height / 2

    def span(values_8: np.ndarray, size: int) -> slice:
        low, high = np.clip([values_8.min() - 1, values_8.max() + 1], 0, size)
        return slice(int(low), int(np.ceil(high)))

    return span(rows_8, height), span(columns_8, width)


def _slabs(
    solid: Solid, origin_3: np.ndarray, rays_N3: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return where each ray enters and leaves the slab between each pair of faces.

    One array an axis, since reductions over a last axis of three are slow.
    """
    axes_33 = solid.axes_33
    near, far = [], []
    for axis_3, half, start in zip(
        axes_33, solid.half, dot(axes_33, origin_3 - np.asarray(solid.centre)), strict=True
    ):
        inverse = 1.0 / _not_parallel(dot(rays_N3, axis_3))
        middle, reach = -start * inverse, half * np.abs(inverse)
        near.append(middle - reach)
        far.append(middle + reach)
    return near, far


def _not_parallel(components: np.ndarray) -> np.ndarray:
    """Return components of rays, none of them so small that a division overflows."""
    return np.where(np.abs(components) < PARALLEL, PARALLEL, components)
