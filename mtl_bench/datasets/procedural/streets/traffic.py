"""Vehicles and people of a procedural street scene."""

from __future__ import annotations

import numpy as np

from mtl_bench.datasets.procedural.streets import painters as paint
from mtl_bench.datasets.procedural.streets.scene import Street
from mtl_bench.datasets.procedural.streets.vehicles import (
    LONG,
    Body,
    car_body,
    draw_vehicle,
    long_body,
)

PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = 24, 25, 26, 27, 28, 31, 32, 33


def _draw_vehicle(
    street: Street, body: Body, aside: float, z: float, kind: str, label: int, group: bool = False
) -> None:
    """Draw a vehicle that drives along the street, on its right side ahead."""
    number = label if group else street.number(label)
    heading = np.arctan(street.layout.bend * z) + (np.pi if aside < 0 else 0.0)
    heading += street.rng.normal(0, 0.03)
    street.shade(aside, z, body.width, body.length, 0.55)
    centre = street.at(aside, z)
    draw_vehicle(street.canvas, street.rng, body, centre, heading, kind, label, number)


def draw_traffic(street: Street) -> None:
    """Put parked and moving vehicles on the road."""
    rng, layout = street.rng, street.layout
    if layout.parking:
        for side in (-1, 1):
            z, fill = rng.uniform(4, 12), rng.uniform(0.2, 0.9)
            while z < 90:
                body = car_body(rng)
                z += body.length / 2
                if rng.random() < fill and abs(z - layout.crossing) > 8:
                    place = side * (layout.road - layout.parking / 2)
                    _draw_vehicle(street, body, place, z, "car", CAR, group=z > 60)
                z += body.length / 2 + rng.uniform(0.5, 3)
    free = layout.road - layout.parking
    lanes = [lane for lane in np.arange(1.6, free, 3.2) if lane + 1.2 < free]
    labels = {"car": CAR, "truck": TRUCK, "bus": BUS, "tram": TRAIN}
    for side in (-1, 1):
        for lane in lanes:
            z = rng.uniform(9, 40)
            own = side > 0 and abs(lane - layout.camera) < 1
            while z < 120:
                body, kind = car_body(rng), "car"
                if rng.random() < 0.3:
                    kind = str(rng.choice(list(LONG)))
                    body = long_body(rng, kind)
                z += body.length / 2 + (4 if own else 0)
                _draw_vehicle(street, body, side * lane, z, kind, labels[kind])
                z += body.length / 2 + rng.uniform(6, 60)


def draw_people(street: Street) -> None:
    """Put people on the sidewalks and two-wheelers beside and on the road."""
    rng, layout = street.rng, street.layout
    for _ in range(rng.poisson(5)):
        side = rng.choice([-1, 1])
        place = side * rng.uniform(layout.road + 0.4, max(layout.sidewalk, layout.road + 1))
        _draw_person(street, place, rng.uniform(5, 45), street.number(PERSON))
    if rng.random() < 0.35:
        place, z = rng.choice([-1, 1]) * (layout.road + 1.5), rng.uniform(12, 50)
        for _ in range(rng.integers(3, 8)):
            _draw_person(street, place + rng.normal(0, 0.8), z + rng.normal(0, 0.6), PERSON)
    if layout.crossing > 8 and rng.random() < 0.5:
        place = rng.uniform(-layout.road, layout.road)
        _draw_person(street, place, layout.crossing - 6.5, street.number(PERSON))
    for _ in range(rng.poisson(1.6)):
        place = rng.choice([-1, 1]) * (layout.road - layout.parking - rng.uniform(0.3, 1.2))
        _draw_two_wheeler(street, place, rng.uniform(6, 40), rng.uniform(0.3, 1.3), ridden=True)
    parked = rng.poisson(1.5)
    group = parked > 3
    place, z = rng.choice([-1, 1]) * (layout.road + 0.9), rng.uniform(6, 30)
    for _ in range(parked):
        _draw_two_wheeler(street, place, z, rng.uniform(-0.5, 0.5), ridden=False, group=group)
        z += rng.uniform(0.5, 1.2)


def _draw_person(street: Street, aside: float, z: float, number: int) -> None:
    height = street.rng.uniform(1.5, 1.9) if street.rng.random() < 0.9 else 1.15
    street.shade(aside, z, 0.4, 0.4, 0.3)
    street.board(aside, z, 0.6, height, paint.person(street.rng, height), PERSON, number)


def _draw_two_wheeler(
    street: Street, aside: float, z: float, yaw: float, ridden: bool, group: bool = False
) -> None:
    rng = street.rng
    motor = not group and rng.random() < 0.45
    label, length = (MOTORCYCLE, 2.0) if motor else (BICYCLE, 1.75)
    number = label if group else street.number(label)
    street.shade(aside, z, 1.0, 1.0, 0.3)
    painter = paint.two_wheeler(rng, length, motor)
    street.board(aside, z, length, 1.1, painter, label, number, yaw)
    if ridden:
        figure = paint.person(rng, 1.75, seat=0.7)
        street.board(aside, z - 0.08, 0.6, 1.75, figure, RIDER, street.number(RIDER))
