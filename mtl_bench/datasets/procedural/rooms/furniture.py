"""Pieces of furniture made of boxes.

A piece stands on the floor around its own origin: x to its right, y to its front (into the room,
if its back is at a wall), z up, metres. Every size is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mtl_bench.datasets.procedural.rooms.textures import Material, draw_material

CLASSES = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("picture", "sofa", "table", "tv", "wall", "window"),
)
UNLABELLED = -1

Span = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A box along the axes of its piece.

    Args:
        label: class of the box, an index into `CLASSES` or `UNLABELLED`.
        material: what its faces look like.
        x: extent across.
        y: extent from back to front.
        z: extent upwards.
    """

    label: int
    material: Material
    x: Span
    y: Span
    z: Span


@dataclass(frozen=True)
class Piece:
    """A piece of furniture with its footprint.

    Args:
        boxes: what it is made of.
        width: extent of the footprint across.
        depth: extent of the footprint from back to front.
    """

    boxes: tuple[Box, ...]
    width: float
    depth: float


def bed(generator: np.random.Generator) -> Piece:
    """Return a bed with its head at the back."""
    width, length = generator.uniform(0.95, 1.8), generator.uniform(1.9, 2.1)
    frame, cover = draw_material(generator, "frame"), draw_material(generator, "bed")
    sheet, label = draw_material(generator, "bed"), CLASSES.index("bed")
    x, y = width / 2, length / 2
    top = generator.uniform(0.4, 0.58)
    cut = generator.uniform(-0.5, 0.1) * y
    boxes = [
        Box(label, frame, (-x, x), (-y, y), (0.08, 0.28)),
        Box(label, frame, (-x, x), (-y - 0.06, -y), (0.0, generator.uniform(0.75, 1.2))),
        Box(label, sheet, (-x + 0.03, x - 0.03), (-y, y - 0.03), (0.28, top)),
        Box(label, cover, (-x - 0.02, x + 0.02), (cut, y), (0.2, top + 0.05)),
    ]
    pillow, side = draw_material(generator, "objects"), 0.15 * width
    for middle in (-width / 4, width / 4):
        across, along = (middle - side, middle + side), (-y + 0.05, -y + 0.42)
        boxes.append(Box(CLASSES.index("objects"), pillow, across, along, (top, top + 0.12)))
    return Piece(tuple(boxes), width + 0.04, length + 0.12)


def sofa(generator: np.random.Generator) -> Piece:
    """Return a sofa or an armchair of the same make."""
    width, depth = generator.uniform(0.95, 2.2), generator.uniform(0.8, 0.95)
    cloth, label = draw_material(generator, "sofa"), CLASSES.index("sofa")
    x, y, seat, arm = width / 2, depth / 2, generator.uniform(0.38, 0.46), 0.16
    boxes = [
        Box(label, cloth, (-x, x), (-y, y), (0.05, seat - 0.1)),
        Box(label, cloth, (-x, x), (-y, -y + 0.22), (0.05, generator.uniform(0.75, 0.95))),
        Box(label, cloth, (-x, -x + arm), (-y, y), (0.05, seat + 0.18)),
        Box(label, cloth, (x - arm, x), (-y, y), (0.05, seat + 0.18)),
    ]
    seats = max(1, round(width / 0.75))
    edges = np.linspace(-x + arm, x - arm, seats + 1)
    for left, right in pairwise(edges):
        span = (float(left) + 0.008, float(right) - 0.008)
        boxes.append(Box(label, cloth, span, (-y + 0.22, y + 0.02), (seat - 0.1, seat + 0.03)))
    if generator.random() < 0.6:
        start = generator.uniform(-x + arm, x - arm - 0.4)
        cushion, across = draw_material(generator, "objects"), (start, start + 0.4)
        height = (seat + 0.03, seat + 0.4)
        boxes.append(Box(CLASSES.index("objects"), cushion, across, (-y + 0.23, -y + 0.36), height))
    return Piece(tuple(boxes), width, depth + 0.05)


def chair(generator: np.random.Generator) -> Piece:
    """Return a chair."""
    half, seat = generator.uniform(0.2, 0.25), generator.uniform(0.42, 0.48)
    wood, cloth = draw_material(generator, "chair"), draw_material(generator, "chair")
    label, top = CLASSES.index("chair"), generator.uniform(0.8, 1.05)
    boxes = [
        Box(label, cloth, (-half, half), (-half, half), (seat - 0.06, seat)),
        Box(label, wood, (-half, half), (-half, -half + 0.05), (seat + 0.12, top)),
        *_legs(label, wood, half, half, 0.022, seat - 0.06),
        Box(label, wood, (-half, -half + 0.04), (-half, -half + 0.04), (seat, seat + 0.12)),
        Box(label, wood, (half - 0.04, half), (-half, -half + 0.04), (seat, seat + 0.12)),
    ]
    return Piece(tuple(boxes), 2 * half, 2 * half)


def table(generator: np.random.Generator, low: bool = False) -> Piece:
    """Return a table, or a low one for the middle of a living room, with things on it."""
    x, y = generator.uniform(0.45, 0.85), generator.uniform(0.3, 0.5)
    top = generator.uniform(0.35, 0.48) if low else generator.uniform(0.7, 0.78)
    wood, label = draw_material(generator, "table"), CLASSES.index("table")
    boxes = [
        Box(label, wood, (-x, x), (-y, y), (top - generator.uniform(0.03, 0.07), top)),
        *_legs(label, wood, x - 0.03, y - 0.03, 0.03, top - 0.03),
    ]
    boxes += _things(generator, (-x, x), (-y, y), top, count=int(generator.integers(1, 5)))
    return Piece(tuple(boxes), 2 * x, 2 * y)


def cupboard(generator: np.random.Generator) -> Piece:
    """Return a wardrobe or a chest of drawers, the latter with things on it."""
    x, y = generator.uniform(0.35, 0.8), generator.uniform(0.2, 0.3)
    high = generator.random() < 0.5
    top = generator.uniform(1.6, 2.1) if high else generator.uniform(0.5, 1.1)
    label, wood = CLASSES.index("furniture"), draw_material(generator, "furniture")
    boxes = [Box(label, wood, (-x, x), (-y, y), (0.0, top))]
    boxes += _things(generator, (-x, x), (-y, y), top, count=int(generator.integers(0, 4)))
    return Piece(tuple(boxes), 2 * x, 2 * y)


def shelf(generator: np.random.Generator) -> Piece:
    """Return open shelves with books and a few other things."""
    x, y, top = generator.uniform(0.35, 0.7), 0.16, generator.uniform(1.0, 2.1)
    wood, label, board = draw_material(generator, "shelf"), CLASSES.index("furniture"), 0.03
    boards = np.linspace(0.05, top - board, max(3, round(top / 0.36) + 1))
    boxes = [
        Box(label, wood, (-x, x), (-y, -y + 0.02), (0.0, top)),
        Box(label, wood, (-x, -x + board), (-y, y), (0.0, top)),
        Box(label, wood, (x - board, x), (-y, y), (0.0, top)),
        *(Box(label, wood, (-x, x), (-y, y), (float(z), float(z) + board)) for z in boards),
    ]
    for z in boards[:-1]:
        start, end = -x + board + 0.01, x - board - 0.01
        while start < end - 0.15:
            stop = min(end, start + generator.uniform(0.15, 0.6))
            floor, room = float(z) + board, float(boards[1] - boards[0]) - board
            front = y - generator.uniform(0.02, 0.08)
            kind, height = "books", room * generator.uniform(0.65, 0.92)
            if generator.random() < 0.2:
                kind, height = "objects", room * generator.uniform(0.3, 0.8)
            if generator.random() < 0.8:
                material, span = draw_material(generator, kind), (start, stop)
                spans = span, (-y + 0.02, front), (floor, floor + height)
                boxes.append(Box(CLASSES.index(kind), material, *spans))
            start = stop + generator.uniform(0.01, 0.1)
    return Piece(tuple(boxes), 2 * x, 2 * y)


def tv_stand(generator: np.random.Generator) -> Piece:
    """Return a low cupboard with a television."""
    x, y, top = generator.uniform(0.5, 0.8), 0.22, generator.uniform(0.4, 0.65)
    wood, screen = draw_material(generator, "furniture"), draw_material(generator, "tv")
    half = generator.uniform(0.35, min(0.6, x))
    label, base = CLASSES.index("tv"), top + 0.07
    boxes = (
        Box(CLASSES.index("furniture"), wood, (-x, x), (-y, y), (0.0, top)),
        Box(label, draw_material(generator, "tv"), (-0.12, 0.12), (-0.06, 0.06), (top, base)),
        Box(label, screen, (-half, half), (-0.03, 0.03), (base, base + 1.15 * half)),
    )
    return Piece(boxes, 2 * x, 2 * y)


def thing(generator: np.random.Generator) -> Piece:
    """Return something that stands on the floor: a bin, a box, a bag or a lamp."""
    half = generator.uniform(0.1, 0.22)
    body, label = draw_material(generator, "objects"), _object_label(generator)
    if generator.random() < 0.3:
        top, shade = generator.uniform(1.2, 1.7), draw_material(generator, "objects")
        boxes = (
            Box(label, body, (-0.14, 0.14), (-0.14, 0.14), (0.0, 0.03)),
            Box(label, body, (-0.015, 0.015), (-0.015, 0.015), (0.03, top)),
            Box(label, shade, (-0.17, 0.17), (-0.17, 0.17), (top, top + 0.25)),
        )
        return Piece(boxes, 0.34, 0.34)
    height = (0.0, generator.uniform(0.2, 0.6))
    return Piece((Box(label, body, (-half, half), (-half, half), height),), 2 * half, 2 * half)


def flat(generator: np.random.Generator, kind: str) -> Piece:
    """Return a picture, a window or a television for a wall; its back is at y = 0."""
    size = {"picture": (0.2, 0.6), "window": (0.4, 0.9), "tv": (0.4, 0.65)}[kind]
    x = generator.uniform(*size)
    z = x * (generator.uniform(0.6, 1.4) if kind != "tv" else 0.58)
    material = draw_material(generator, kind)
    box = Box(CLASSES.index(kind), material, (-x, x), (0.0, 0.04), (-z, z))
    return Piece((box,), 2 * x, 2 * z)


BUILDERS: dict[str, Callable[[np.random.Generator], Piece]] = {
    "bed": bed,
    "sofa": sofa,
    "chair": chair,
    "table": table,
    "low table": lambda generator: table(generator, low=True),
    "cupboard": cupboard,
    "shelf": shelf,
    "tv stand": tv_stand,
    "thing": thing,
}


def _legs(
    label: int, material: Material, x: float, y: float, r: float, top: float
) -> Iterator[Box]:
    for sx in (-1, 1):
        for sy in (-1, 1):
            middle = (sx * (x - r), sy * (y - r))
            spans = [(value - r, value + r) for value in middle]
            yield Box(label, material, spans[0], spans[1], (0.0, top))


def _things(
    generator: np.random.Generator, x: Span, y: Span, top: float, count: int
) -> Iterator[Box]:
    """Yield piles of books and other things side by side on a top."""
    edges = np.linspace(x[0], x[1], count + 1) if count else np.empty(0)
    for left, right in pairwise(edges):
        room = float(right - left)
        width = min(0.8 * room, generator.uniform(0.12, 0.34))
        start = float(left) + generator.uniform(0, room - width)
        depth = generator.uniform(0.3, 0.8) * (y[1] - y[0])
        back = generator.uniform(y[0], y[1] - depth)
        books = generator.random() < 0.4
        kind = "books" if books else "objects"
        height = generator.uniform(0.05, 0.2) if books else generator.uniform(0.06, 0.35)
        label = CLASSES.index("books") if books else _object_label(generator)
        spans = (start, start + width), (back, back + depth), (top, top + height)
        yield Box(label, draw_material(generator, kind), *spans)


def _object_label(generator: np.random.Generator) -> int:
    """Return the label of an object; annotators leave some out."""
    return UNLABELLED if generator.random() < 0.1 else CLASSES.index("objects")
