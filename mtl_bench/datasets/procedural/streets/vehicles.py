"""Cars, trucks, buses and trams of the procedural streets: boxes with painted faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_bench.datasets.procedural.streets.canvas import Canvas, Paint, Painter, Point
from mtl_bench.datasets.procedural.streets.painters import Colour, choose, grey, lively, rgb

GLASS = rgb(0.14, 0.17, 0.2)


@dataclass(frozen=True)
class Body:
    """Shape of a vehicle in metres.

    Args:
        length: from front to rear.
        width: from side to side.
        height: to the roof.
        waist: height of the windows' lower edge; above it a car is narrower.
        cabin: where the part above the waist begins and ends, counted from the front.
        slope: how much shorter the cabin is at the roof, at each end.
    """

    length: float
    width: float
    height: float
    waist: float
    cabin: tuple[float, float]
    slope: float


def car_body(rng: np.random.Generator) -> Body:
    """Return a small car, an estate car or a van."""
    kind, size = rng.integers(3), rng.uniform(0.93, 1.07)
    shapes = ((3.8, 1.45, 1.0, 0.1), (4.6, 1.5, 1.3, 0.3), (4.8, 1.95, 0.7, 0.0))
    length, height, begin, rear = shapes[kind]
    waist = 0.62 * height
    return Body(
        length * size,
        1.8 * size,
        height * size,
        waist * size,
        (begin, length * size - rear),
        0.5 if kind < 2 else 0.25,
    )


LONG: dict[str, tuple[tuple[float, float], float, tuple[float, float], float]] = {
    "truck": ((6, 11), 2.4, (2.9, 3.8), 1.5),
    "bus": ((9, 13), 2.5, (2.9, 3.3), 1.2),
    "tram": ((18, 30), 2.4, (3.3, 3.7), 1.3),
}
"""Kind -> range of the length, width, range of the height, waist."""


def long_body(rng: np.random.Generator, kind: str) -> Body:
    """Return a body of a `LONG` kind."""
    lengths, width, heights, waist = LONG[kind]
    length = rng.uniform(*lengths)
    return Body(length, width, rng.uniform(*heights), waist, (0.0, length), 0.0)


def _side(body: Body, colour: Colour, kind: str, box: Colour) -> Painter:
    """Return the looks from the side, metres counted from the front."""
    wheels = (0.17 * body.length, 0.8 * body.length)
    radius = 0.32 if kind == "car" else 0.48

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        rise = ((y - body.waist) / (body.height - body.waist)).clip(0)
        begin, end = body.cabin[0] + body.slope * rise, body.cabin[1] - body.slope * rise
        upper = (y >= body.waist) & (s > begin) & (s < end)
        lower = (y > 0.22) & (y < body.waist)
        wheel = np.minimum(*(np.hypot(s - at, y - radius) for at in wheels))
        band = (y > body.waist + 0.03) & (y < body.height - (0.12 if kind == "car" else 0.6))
        pane = band & (s > begin + 0.12) & (s < end - 0.12) & (s % 1.35 > 0.1)
        if kind == "truck":
            pane &= s < 0.22 * body.length
        painted = choose(s > 0.25 * body.length, box, colour)
        painted = painted * (0.8 + 0.25 * (y / body.height))[..., None]
        painted = choose(pane, GLASS * (0.7 + rise[..., None]), painted)
        tyre = wheel < radius
        painted = choose(tyre, choose(wheel < 0.55 * radius, grey(0.45), grey(0.04)), painted)
        return Paint(upper | lower | tyre, painted)

    return paint


def _end(body: Body, colour: Colour, kind: str, rear: bool, box: Colour) -> Painter:
    """Return the looks from the front or from behind."""
    lamps = rgb(0.7, 0.05, 0.05) if rear else rgb(0.95, 0.93, 0.85)
    shade = box if rear and kind == "truck" else colour

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        across = np.abs(s - body.width / 2) / (body.width / 2)
        rise = ((y - body.waist) / (body.height - body.waist)).clip(0)
        shape = across < 1 - (0.15 if kind == "car" else 0.0) * rise
        tyre = (y < 0.3) & (across > 0.66) & (across < 0.95)
        pane = (rise > 0.08) & (rise < 0.85) & (across < 0.8 - 0.15 * rise * (kind == "car"))
        if rear and kind == "truck":
            pane = np.zeros_like(pane)
        lamp = (across > 0.68) & (across < 0.96) & (np.abs(y - 0.62 * body.waist) < 0.09)
        plate = (across < 0.28) & (np.abs(y - 0.42 * body.waist) < 0.06)
        painted = choose(y < 0.42, shade * 0.35, shade)
        painted = painted * (0.75 + 0.3 * (y / body.height))[..., None]
        painted = choose(pane, GLASS * (0.8 + 0.8 * rise[..., None]), painted)
        painted = choose(lamp, lamps, painted)
        painted = choose(plate, grey(0.85), painted)
        painted = choose(tyre, grey(0.04), painted)
        return Paint((shape & (y > 0.22)) | tyre, painted)

    return paint


def draw_vehicle(
    canvas: Canvas,
    rng: np.random.Generator,
    body: Body,
    centre: Point,
    heading: float,
    kind: str,
    label: int,
    number: int,
) -> None:
    """Draw a vehicle.

    Args:
        canvas: the picture.
        rng: of its colours.
        body: its shape.
        centre: X and Z of its middle.
        heading: direction of its front in radians, 0 ahead and counted to the right.
        kind: car, truck, bus or tram.
        label: Cityscapes label.
        number: instance number.
    """
    colour = lively(rng, 0.04, 0.9)
    if kind in ("bus", "tram"):
        colour = lively(rng, 0.4, 0.9, 0.0) * (
            rgb(1.0, 0.9, 0.45) if kind == "bus" else rgb(1.0, 0.4, 0.35)
        )
    box = lively(rng, 0.3, 0.95) if kind == "truck" else colour
    forward = np.array([np.sin(heading), np.cos(heading)])
    right = np.array([forward[1], -forward[0]])
    middle = np.array(centre)

    def wall(begin: Point, end: Point, top: float, painter: Painter) -> None:
        """Draw a wall of the vehicle, its points counted from ``begin`` on the outline."""
        points = [tuple(middle + x * forward + z * right) for x, z in (begin, end)]
        canvas.panel(points[0], points[1], top, painter, label, number)

    front, half = body.length / 2, body.width / 2
    lower, upper = (0.0, body.length, 0.0, body.waist), (*body.cabin, 0.1, body.height)
    for first, last, inset, top in (lower, upper) if kind == "car" else (lower[:3] + upper[3:],):
        slope = body.slope if top > body.waist else 0.0
        for side in (-1, 1):
            across = side * (half - inset)
            looks = _moved(_side(body, colour, kind, box), first)
            wall((front - first, across), (front - last, across), top, looks)
        for rear, along in ((False, first + slope), (True, last - slope)):
            looks = _moved(_end(body, colour, kind, rear, box), inset)
            wall((front - along, inset - half), (front - along, half - inset), top, looks)


def _moved(painter: Painter, metres: float) -> Painter:
    """Return a painter that begins some metres along its surface."""
    return lambda s, y: painter(s + metres, y)
