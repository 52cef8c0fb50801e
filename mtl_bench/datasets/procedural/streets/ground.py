"""What a procedural street scene stands on and before: its cross-section, the ground, the sky.

Lengths are metres. A place in a street is given by ``aside``, the distance to the right of the
road's middle line, and ``z``, the distance ahead; the road may bend, which moves all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_bench.datasets.procedural.streets import painters as paint
from mtl_bench.datasets.procedural.streets.canvas import Canvas

ROAD, SIDEWALK, PARKING, TERRAIN, SKY = 7, 8, 9, 22, 23


@dataclass(frozen=True)
class Layout:
    """Cross-section of a street, the same on both sides.

    Args:
        road: from the middle to the kerb.
        parking: width of the parking lane beside the road's edge, 0 for none.
        sidewalk: where the sidewalk ends.
        houses: where the houses begin; between is grass.
        bend: 1/m; to which side the road turns, and how much.
        camera: where the camera drives, aside.
        crossing: z of a side street's middle, or a negative number.
    """

    road: float
    parking: float
    sidewalk: float
    houses: float
    bend: float
    camera: float
    crossing: float


def draw_layout(rng: np.random.Generator) -> Layout:
    """Return a random cross-section."""
    lanes = rng.choice([1, 2, 3], p=[0.5, 0.4, 0.1])
    parking = rng.uniform(2.0, 2.4) if rng.random() < 0.6 else 0.0
    road = 3.2 * lanes + rng.uniform(0.2, 0.6) + parking
    sidewalk = road + rng.uniform(1.8, 5)
    grass = rng.uniform(1.5, 7) if rng.random() < 0.5 else 0.2
    return Layout(
        road=road,
        parking=parking,
        sidewalk=sidewalk,
        houses=sidewalk + grass,
        bend=rng.normal(0, 0.0012) if rng.random() < 0.6 else 0.0,
        camera=1.6 + 3.2 * rng.integers(lanes) + rng.normal(0, 0.2),
        crossing=rng.uniform(14, 60) if rng.random() < 0.6 else -1e3,
    )


def draw_sky(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Fill the sky with haze, blue and clouds, and return the haze's colour."""
    haze = paint.rgb(0.86, 0.88, 0.9) * rng.uniform(0.75, 1.05)
    blue = paint.rgb(0.45, 0.62, 0.88) * rng.uniform(0.7, 1.1)
    overcast = rng.random() < 0.5
    up = ((canvas.camera.row - canvas.rows_H) / canvas.camera.row).clip(0, 1)[:, None]
    clouds = canvas.texture(canvas.slopes_W[None] * 30 / (0.3 + up), 25 / (0.25 + up), 60.0)
    share = (0.15 if overcast else 0.7) * up * (1 - 0.6 * clouds.clip(0))
    canvas.colour_HW3[:] = haze + share[..., None] * (blue - haze)
    canvas.labels_HW[:] = canvas.instances_HW[:] = SKY
    return haze


def draw_ground(canvas: Canvas, rng: np.random.Generator, layout: Layout) -> None:
    """Colour the ground: road with markings, parking lanes, sidewalks, grass."""
    rows, x, z = canvas.ground()
    aside = x + layout.camera - layout.bend * z * z / 2
    far = np.abs(aside)
    side_street = np.abs(z - layout.crossing) < 4.0
    parking = (far < layout.road) & (far > layout.road - layout.parking)
    labels = np.where(far < layout.sidewalk, SIDEWALK, TERRAIN)
    labels = np.where((far < layout.road) | side_street, ROAD, labels)
    if rng.random() < 0.4:
        labels = np.where(parking & ~side_street, PARKING, labels)
    fine, coarse = canvas.texture(x, z, 6.0), canvas.texture(x, z, 40.0, 99)
    grain = 0.10 * fine + 0.12 * coarse
    asphalt = paint.grey(rng.uniform(0.24, 0.42)) * paint.rgb(1.0, 1.0, 1.05)
    slabs = paint.grey(rng.uniform(0.42, 0.6)) * paint.rgb(1.05, 1.0, 0.93)
    grass = paint.rgb(0.26, 0.36, 0.12) * rng.uniform(0.7, 1.3)
    if rng.random() < 0.25:
        grass = paint.rgb(0.45, 0.36, 0.22) * rng.uniform(0.7, 1.1)
    joint = ((x % 0.9 < 0.06) | (z % 0.9 < 0.06)) & (labels == SIDEWALK) & (z < 25)
    kerb = (np.abs(far - layout.road) < 0.12) & ~side_street
    lanes = round(layout.road / 3.2)
    line = np.zeros_like(kerb)
    for lane in range(-lanes + 1, lanes):
        dashed = (np.abs(aside - 3.2 * lane) < 0.07) & (z % 9 < 5)
        line |= dashed & (np.abs(3.2 * lane) < layout.road - layout.parking - 1)
    if layout.crossing > 0 and rng.random() < 0.6:
        stripes = (np.abs(z - layout.crossing + 6.5) < 1.5) & (aside % 1.0 < 0.5)
        line |= stripes & (far < layout.road - 0.3)
    line &= (labels == ROAD) & ~side_street
    colour = np.select(
        [(labels == kind)[..., None] for kind in (SIDEWALK, TERRAIN)], [slabs, grass], asphalt
    )
    colour = (
        colour
        * (1 + grain * np.where(labels == TERRAIN, np.float32(2.5), np.float32(1)))[..., None]
    )
    colour = paint.choose(joint, colour * 0.75, colour)
    colour = paint.choose(kerb, 0.6 + 0.1 * fine[..., None], colour)
    colour = paint.choose(line, 0.8 + 0.25 * fine[..., None], colour)
    if rng.random() < 0.5:  # one row of houses shades the street
        edge = rng.uniform(-0.6, 0.6) * layout.road + 0.4 * np.sin(z / 7)
        shaded = (aside < edge) if rng.random() < 0.5 else (aside > edge)
        colour = paint.choose(shaded, colour * 0.62, colour)
    canvas.colour_HW3[rows] = colour
    canvas.labels_HW[rows] = canvas.instances_HW[rows] = labels
    canvas.depth_HW[rows] = z
