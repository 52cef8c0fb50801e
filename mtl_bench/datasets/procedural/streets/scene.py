"""Where things stand in a procedural street: houses and furniture.

Places are given as in `ground`, lengths in metres.
"""

from __future__ import annotations

from itertools import count, pairwise

import numpy as np

from mtl_bench.datasets.cityscapes.labels import FIRST_THING, GROUP_DIGITS, HIGHEST_LABEL
from mtl_bench.datasets.procedural.streets import painters as paint
from mtl_bench.datasets.procedural.streets.canvas import Canvas, Painter, Point
from mtl_bench.datasets.procedural.streets.ground import Layout

BUILDING, WALL, FENCE, BRIDGE = 11, 12, 13, 15
POLE, LIGHT, SIGN, VEGETATION, STATIC = 17, 19, 20, 21, 4

Range = tuple[float, float]


class Street:
    """One street scene being put together on a canvas."""

    def __init__(self, canvas: Canvas, rng: np.random.Generator, layout: Layout) -> None:
        self.canvas, self.rng, self.layout = canvas, rng, layout
        self._counters = {label: count() for label in range(FIRST_THING, HIGHEST_LABEL + 1)}

    def at(self, aside: float, z: float) -> Point:
        """Return X and Z of a place."""
        return aside - self.layout.camera + self.layout.bend * z * z / 2, z

    def number(self, label: int) -> int:
        """Return the next free instance number of a label."""
        return GROUP_DIGITS * label + next(self._counters[label])

    def shade(self, aside: float, z: float, width: float, length: float, strength: float) -> None:
        """Darken the ground below a thing."""
        rows, x, depth = self.canvas.ground()
        reach = (depth[:, 0] > z - length) & (depth[:, 0] < z + length)
        x, depth = x[reach], depth[reach]
        picked = np.arange(rows.start, rows.stop)[reach]
        middle, _ = self.at(aside, z)
        near = np.maximum(
            np.abs(x - middle) / (width / 2 + 0.3), np.abs(depth - z) / (length / 2 + 0.4)
        )
        factor = 1 - strength * (1 - near.clip(0.6, 1.0)) / 0.4
        factor[self.canvas.depth_HW[picked] < depth] = 1  # something stands before the ground
        self.canvas.colour_HW3[picked] *= factor[..., None]

    def board(
        self,
        aside: float,
        z: float,
        width: float,
        top: float,
        painter: Painter,
        label: int,
        number: int | None = None,
        yaw: float = 0.0,
    ) -> None:
        """Draw an upright board around a place; without yaw it faces the camera."""
        x, _ = self.at(aside, z)
        dx, dz = width / 2 * np.cos(yaw), width / 2 * np.sin(yaw)
        number = label if number is None else number
        self.canvas.panel((x - dx, z - dz), (x + dx, z + dz), top, painter, label, number)

    def row(self, aside: float, z: Range, top: float, painter: Painter, label: int) -> None:
        """Draw a panel along the street, in pieces that follow the bend."""
        pieces = max(1, int((z[1] - z[0]) / 8)) if self.layout.bend else 1
        cuts = np.linspace(*z, pieces + 1)
        for begin, end in pairwise(cuts):
            ends = self.at(aside, float(begin)), self.at(aside, float(end))
            self.canvas.panel(*ends, top, painter, label, label)

    def draw_houses(self) -> None:
        """Line both sides with houses, gaps with trees, walls, fences and hedges; close the end."""
        rng, layout, canvas = self.rng, self.layout, self.canvas
        density = rng.uniform(0.3, 0.9)
        for side in (-1, 1):
            z = -4.0
            while z < 170:
                length = rng.uniform(7, 22)
                aside = side * (layout.houses + rng.uniform(0, 1.5))
                if abs(z + length / 2 - layout.crossing) < 5 + length / 2:
                    z = layout.crossing + 6 if z < layout.crossing else z + 3
                    continue
                if rng.random() < density:
                    height = rng.uniform(5, 9) if rng.random() < 0.3 else rng.uniform(9, 24)
                    front = paint.facade(canvas, rng, height)
                    self.row(aside, (z, z + length), height, front, BUILDING)
                    x, _ = self.at(aside, z)
                    gable = paint.facade(canvas, rng, height)
                    canvas.panel((x, z), (x + side * 14, z), height, gable, BUILDING, BUILDING)
                else:
                    self._draw_gap(aside, (z, z + length))
                if layout.houses - layout.sidewalk > 1.5 and rng.random() < 0.5:
                    self._draw_border(side * (layout.sidewalk + 0.3), (z, z + length))
                z += length + (rng.uniform(0, 6) if rng.random() < 0.3 else 0)
        self._draw_end()

    def _draw_gap(self, aside: float, z: Range) -> None:
        rng = self.rng
        for _ in range(rng.integers(1, 5)):
            place = aside + np.sign(aside) * rng.uniform(2, 10)
            self.draw_tree(float(place), rng.uniform(*z), rng.uniform(4, 11))
        self._draw_border(aside, z)

    def _draw_border(self, aside: float, z: Range) -> None:
        rng, canvas = self.rng, self.canvas
        kind = rng.integers(3)
        height = (rng.uniform(0.9, 2.6), rng.uniform(0.9, 2.0), rng.uniform(0.7, 2.0))[kind]
        painter = (
            paint.masonry(canvas, rng, height),
            paint.railing(rng, height),
            paint.hedge(canvas, rng, height),
        )[kind]
        self.row(aside, z, height, painter, (WALL, FENCE, VEGETATION)[kind])

    def _draw_end(self) -> None:
        """Close the view down the street with trees and houses."""
        rng = self.rng
        x = -140.0
        while x < 140:
            width, z = rng.uniform(12, 30), rng.uniform(175, 230)
            if rng.random() < 0.5:
                height = rng.uniform(6, 18)
                painter = paint.facade(self.canvas, rng, height)
                self.board(x, z, width + 2, height, painter, BUILDING)
            else:
                height = rng.uniform(6, 14)
                painter = paint.hedge(self.canvas, rng, height)
                self.board(x, z, width + 6, height, painter, VEGETATION)
            x += width

    def draw_tree(self, aside: float, z: float, height: float) -> None:
        """Draw a tree."""
        rng = self.rng
        width = height * rng.uniform(0.45, 0.8)
        trunk = paint.plain(paint.rgb(0.2, 0.15, 0.11) * rng.uniform(0.6, 1.4))
        self.board(aside, z, 0.04 * height, 0.5 * height, trunk, VEGETATION)
        leaves = paint.crown(self.canvas, rng, width, 0.28 * height, height)
        self.board(aside, z - 0.1, width, 1.2 * height, leaves, VEGETATION)

    def draw_furniture(self) -> None:
        """Set up lamps, traffic lights, signs, trees and bins along the kerbs."""
        rng, layout = self.rng, self.layout
        trees = rng.random() < 0.7
        for side in (-1, 1):
            kerb = side * (layout.road + 0.6)
            z = rng.uniform(5, 15)
            while z < 130:
                kind = rng.choice(["lamp", "sign", "tree", "tree", "post", "bin", "light"])
                if kind == "tree" and trees:
                    self.draw_tree(kerb, z, rng.uniform(5, 9))
                elif kind == "bin":
                    painter = paint.plain(paint.lively(rng, 0.1, 0.4))
                    self.board(kerb, z, 0.6, 1.0, painter, STATIC)
                else:
                    self._draw_pole(kerb, z, str(kind))
                z += rng.uniform(3, 14)
            if layout.crossing > 0 and rng.random() < 0.7:
                self._draw_pole(kerb, layout.crossing - 7, "light")

    def _draw_pole(self, aside: float, z: float, kind: str) -> None:
        rng = self.rng
        steel = paint.plain(paint.grey(rng.uniform(0.15, 0.5)))
        if kind == "lamp":
            height, reach = rng.uniform(5.5, 9), -np.sign(aside) * rng.uniform(1, 2)
            self.board(aside, z, 0.16, height, steel, POLE)

            def arm(s: np.ndarray, y: np.ndarray) -> paint.Paint:
                return paint.Paint((y > height - 0.14) & (s >= 0), paint.grey(0.3))

            self.board(aside + reach / 2, z, abs(reach), height, arm, POLE)
            return
        height = rng.uniform(2.3, 3.4) if kind != "post" else rng.uniform(0.9, 4)
        self.board(aside, z, 0.1, height, steel, POLE)
        if kind == "sign":
            size = rng.uniform(0.6, 1.0)
            board = paint.sign(rng, height - 0.3, size)
            self.board(aside, z - 0.06, size, height + 0.4, board, SIGN)
        elif kind == "light":
            box = paint.signals(rng, height - 0.5, 0.36)
            self.board(aside, z - 0.06, 0.36, height + 0.45, box, LIGHT)

    def draw_bridge(self) -> None:
        """Span a bridge over the street; it is void in Cityscapes."""
        rng = self.rng
        low, z = rng.uniform(5, 6.5), rng.uniform(40, 90)
        stones = paint.masonry(self.canvas, rng, low + 1.6)

        def deck(s: np.ndarray, y: np.ndarray) -> paint.Paint:
            return stones(s, y)._replace(mask_RS=(y > low) & (s >= 0))

        self.board(0.0, z, 80.0, low + 1.6, deck, BRIDGE)
