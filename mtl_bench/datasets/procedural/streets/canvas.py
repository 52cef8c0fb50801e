"""A picture of a street in the making: colours, labels, instances and depth of every pixel.

The world is made of a ground plane and of upright panels. X points right, Y up and Z ahead, in
metres; the camera looks along Z from the height `Camera.height`. A depth buffer decides what hides
what, so that labels, instances and disparity agree to the pixel.

Legend of shape suffixes: H rows, W columns of the picture; R rows, S columns of a part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NEAR, FAR = 1.5, 400.0
"""Metres; nothing is drawn nearer, the ground ends farther away."""

Point = tuple[float, float]
"""X and Z."""


class Paint(NamedTuple):
    """What a panel looks like at some of its points.

    Args:
        mask_RS: bool; where there is anything of it.
        colour_RS3: float32 in 0..1, or something that broadcasts to that shape.
        opaque_RS: bool; where its colour shows. What lies behind shows through elsewhere, although
            the panel's label is there; None for everywhere.
    """

    mask_RS: np.ndarray
    colour_RS3: np.ndarray
    opaque_RS: np.ndarray | None = None


Painter = Callable[[np.ndarray, np.ndarray], Paint]
"""(metres along the panel (1, S), metres above the ground (R, S)) -> paint."""


@dataclass(frozen=True)
class LevelCamera:
    """A camera without tilt.

    Args:
        focal: focal length in pixels.
        column: column of the principal point.
        row: its row, which is the horizon's.
        height: metres above the ground.
    """

    focal: float
    column: float
    row: float
    height: float


class Canvas:
    """The picture.

    Args:
        shape: rows and columns.
        camera: where it is taken from.
        noise: a square periodic texture of numbers in -1..1.
        sun: X and Z of a unit vector to the sun.
    """

    def __init__(
        self, shape: tuple[int, int], camera: LevelCamera, noise: np.ndarray, sun: Point
    ) -> None:
        self.camera, self.noise, self.sun = camera, noise, sun
        self.colour_HW3 = np.zeros((*shape, 3), np.float32)
        self.labels_HW = np.zeros(shape, np.uint8)
        self.instances_HW = np.zeros(shape, np.uint16)
        self.depth_HW = np.full(shape, np.inf, np.float32)
        self.rows_H = np.arange(shape[0], dtype=np.float32) + 0.5
        self.slopes_W = (np.arange(shape[1], dtype=np.float32) + 0.5 - camera.column) / camera.focal

    def texture(
        self, along: np.ndarray, across: np.ndarray, metres: float, shift: int = 0
    ) -> np.ndarray:
        """Return noise at points of a surface, repeating after ``metres``."""
        size = len(self.noise)
        scale = size / metres
        first = (along * scale).astype(np.int32) + shift
        second = (across * scale).astype(np.int32) + 7 * shift
        texture: np.ndarray = self.noise[first % size, second % size]
        return texture

    def ground(self) -> tuple[slice, np.ndarray, np.ndarray]:
        """Return the rows of the ground, and X and Z of each of their pixels."""
        first = int(np.searchsorted(self.rows_H, self.camera.row + self._drop(FAR)))
        rows = slice(first, len(self.rows_H))
        z_R1 = self.camera.height * self.camera.focal / (self.rows_H[rows] - self.camera.row)
        z_RW = np.broadcast_to(z_R1[:, None], (len(z_R1), len(self.slopes_W)))
        return rows, z_RW * self.slopes_W, z_RW

    def panel(
        self, begin: Point, end: Point, top: float, painter: Painter, label: int, number: int
    ) -> None:
        """Draw an upright panel between two points of the ground plane.

        Args:
            begin: where the metres along it count from.
            end: its other end.
            top: metres above the ground that it ends below.
            painter: its looks.
            label: Cityscapes label.
            number: instance number, or the label again.
        """
        (x0, z0), (dx, dz) = begin, (end[0] - begin[0], end[1] - begin[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            part_W = (self.slopes_W * z0 - x0) / (dx - self.slopes_W * dz)
            z_W = z0 + part_W * dz
        columns = np.flatnonzero((part_W >= 0) & (part_W < 1) & (z_W > NEAR) & (z_W < FAR))
        if not len(columns):
            return
        part = slice(columns[0], columns[-1] + 1)
        z_S = z_W[part]
        nearest = float(z_S[np.isfinite(z_S)].min())
        low = self.camera.row + self._drop(nearest)
        high = self.camera.row + min(self._drop(nearest, top), self._drop(float(z_S.max()), top))
        rows = slice(max(0, int(high)), max(0, int(low) + 1))
        y_RS = (
            self.camera.height
            + (self.camera.row - self.rows_H[rows, None]) * z_S / self.camera.focal
        )
        if not y_RS.size:
            return
        block = (rows, part)
        along_1S = (part_W[part] * float(np.hypot(dx, dz)))[None]
        paint = painter(along_1S, y_RS)
        seen_RS = paint.mask_RS & (y_RS >= 0) & (y_RS <= top) & (z_S < self.depth_HW[block])
        facing = (dz * self.sun[0] - dx * self.sun[1]) / np.hypot(dx, dz)
        light = 0.72 + 0.28 * abs(facing)
        colour_RS3 = np.broadcast_to(paint.colour_RS3 * np.float32(light), (*seen_RS.shape, 3))
        shown_RS = seen_RS if paint.opaque_RS is None else seen_RS & paint.opaque_RS
        self.colour_HW3[block][shown_RS] = colour_RS3[shown_RS]
        self.labels_HW[block][seen_RS] = label
        self.instances_HW[block][seen_RS] = number
        self.depth_HW[block][seen_RS] = np.broadcast_to(z_S, seen_RS.shape)[seen_RS]

    def _drop(self, z: float, y: float = 0.0) -> float:
        """Return how many rows below the horizon a point appears."""
        return self.camera.focal * (self.camera.height - y) / z
