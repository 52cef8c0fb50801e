"""How upright surfaces of a street look: painters for the panels of `canvas`.

All lengths are metres. A painter gets the metres along a panel (1, S) and above the ground (R, S).
"""

from __future__ import annotations

import numpy as np

from mtl_bench.datasets.procedural.streets.canvas import Canvas, Paint, Painter

Colour = np.ndarray
"""Red, green and blue in 0..1."""


def rgb(red: float, green: float, blue: float) -> Colour:
    """Return a colour."""
    return np.array([red, green, blue], np.float32)


def grey(value: float) -> Colour:
    """Return a grey."""
    return rgb(value, value, value)


def lively(
    rng: np.random.Generator, low: float = 0.1, high: float = 0.85, bright: float = 0.3
) -> Colour:
    """Return a random colour, dull or with probability ``bright`` a strong one."""
    value = rng.uniform(low, high)
    tint = rng.normal(0, 0.35 if rng.random() < bright else 0.06, 3)
    return np.clip(value * (1 + tint), 0.02, 0.95).astype(np.float32)


def choose(condition: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """Return one of two colours for each point."""
    return np.where(condition[..., None], yes, no)


def facade(canvas: Canvas, rng: np.random.Generator, height: float) -> Painter:
    """Return a house front: rows of windows, shops at street level, a roof."""
    wall = lively(rng, 0.35, 0.8, 0.04) * rgb(1.06, 1.0, 0.88)
    base, roof = lively(rng, 0.15, 0.6, 0.2), rgb(0.45, 0.25, 0.2) * rng.uniform(0.5, 1.2)
    spacing, storey = rng.uniform(1.8, 3.2), rng.uniform(2.8, 3.6)
    wide, tall = rng.uniform(0.4, 0.7), rng.uniform(0.45, 0.65)
    eaves = height - (rng.uniform(1.5, 3.5) if rng.random() < 0.6 else 0.3)
    shift = int(rng.integers(1 << 12))
    glass = rgb(0.2, 0.24, 0.3) * rng.uniform(0.6, 1.3)

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        grain = canvas.texture(s + 0 * y, y, 12.0, shift)
        column, floor = np.floor(s / spacing), np.floor(y / storey)
        inside_s = np.abs(s / spacing - column - 0.5) < wide / 2
        inside_y = np.abs(y / storey - floor - 0.5) < tall / 2
        window = inside_s & inside_y & (y < eaves - 0.4)
        mixed = np.sin(column * 12.9898 + floor * 78.233 + shift % 97) * 437.585
        shine = (mixed - np.floor(mixed))[..., None]
        colour = choose(y < storey * 0.95, base, wall) * (1 + 0.12 * grain[..., None])
        colour = choose(window, glass * (0.5 + 1.3 * shine), colour)
        colour = choose(y > eaves, roof * (1 + 0.2 * grain[..., None]), colour)
        return Paint(np.ones_like(grain, bool), colour)

    return paint


def masonry(canvas: Canvas, rng: np.random.Generator, height: float) -> Painter:
    """Return a free-standing wall of stones or concrete."""
    colour = lively(rng, 0.35, 0.65, 0.0)
    stone = rng.uniform(0.3, 0.8)
    shift = int(rng.integers(1 << 12))

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        course = np.floor(y / (stone / 2))
        joint = (np.abs((s / stone + course / 2) % 1 - 0.5) > 0.45) | (y % (stone / 2) < 0.04)
        grain = 0.25 * canvas.texture(s + 0 * y, y, 5.0, shift) - 0.25 * joint
        grain = np.where(y > height - 0.12, 0.25, grain)
        return Paint(np.ones_like(grain, bool), colour * (1 + grain[..., None]))

    return paint


def railing(rng: np.random.Generator, height: float) -> Painter:
    """Return a fence of bars or planks; the label covers the gaps."""
    colour = lively(rng, 0.08, 0.5)
    period = rng.uniform(0.12, 0.3)
    solid = rng.uniform(0.3, 0.8)

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        rail = (np.abs(y - 0.9 * height) < 0.05) | (np.abs(y - 0.15 * height) < 0.05)
        bars = (s % period < solid * period) | (s % 2.5 < 0.12) | rail
        return Paint(np.ones_like(y, bool), colour, bars)

    return paint


def plain(colour: Colour) -> Painter:
    """Return a surface of one colour."""

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        return Paint(np.ones(np.broadcast_shapes(s.shape, y.shape), bool), colour)

    return paint


def crown(
    canvas: Canvas, rng: np.random.Generator, width: float, low: float, high: float
) -> Painter:
    """Return leaves: an ellipse with a ragged edge between two heights."""
    green = rgb(0.16, 0.3, 0.08) * rng.uniform(0.7, 1.6)
    green = green * rgb(*(1 + rng.normal(0, 0.1, 3)))
    shift = int(rng.integers(1 << 12))
    middle, half = (low + high) / 2, (high - low) / 2

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        coarse = canvas.texture(s + 0 * y, y, 9.0, shift)
        fine = canvas.texture(s + 0 * y, y, 2.5, shift)
        radius = np.hypot((s - width / 2) / (width / 2), (y - middle) / half)
        light = 1 + 0.5 * (y - middle) / half * 0.6 + 0.7 * fine + 0.3 * coarse
        return Paint(radius < 0.85 + 0.4 * coarse, green * np.maximum(light, 0.15)[..., None])

    return paint


def hedge(canvas: Canvas, rng: np.random.Generator, height: float) -> Painter:
    """Return leaves from the ground to a ragged top."""
    green = rgb(0.15, 0.27, 0.09) * rng.uniform(0.7, 1.5)
    shift = int(rng.integers(1 << 12))

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        edge = 0.75 + 0.5 * canvas.texture(s + 0 * y, 0 * y, 7.0, shift)
        fine = canvas.texture(s + 0 * y, y, 2.5, shift)
        light = 0.6 + 0.5 * y / height + 0.7 * fine
        return Paint(y < edge * height, green * np.maximum(light, 0.15)[..., None])

    return paint


def sign(rng: np.random.Generator, centre: float, size: float) -> Painter:
    """Return a traffic sign: a disc, a triangle or a board around a height."""
    shape = rng.integers(3)
    rim, field = rgb(0.75, 0.08, 0.08), rgb(0.92, 0.92, 0.9)
    if shape == 2:
        rim, field = field, rgb(0.1, 0.25, 0.65) if rng.random() < 0.7 else rgb(0.9, 0.75, 0.1)
    half = size / 2

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        across, up = (s - half) / half, (y - centre) / half
        if shape == 0:
            radius = np.hypot(across, up)
        elif shape == 1:
            radius = np.maximum(-up * 1.6, np.abs(across) * 1.1 + 0.6 * up + 0.2)
        else:
            radius = np.maximum(np.abs(across), np.abs(up)) + 0 * up
        return Paint(radius < 1, choose(radius > 0.72, rim, field))

    return paint


def signals(rng: np.random.Generator, bottom: float, width: float) -> Painter:
    """Return a traffic light 0.95 m high, one of its three lamps lit."""
    lit = rng.integers(3)
    lamps = np.array([[0.15, 0.95, 0.5], [0.98, 0.7, 0.1], [1.0, 0.12, 0.08]], np.float32)

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        index = np.clip(((y - bottom) / 0.317).astype(int), 0, 2)
        centre = bottom + 0.317 * (index + 0.5)
        lamp = np.hypot(s - width / 2, y - centre) < 0.13
        shine = np.where(index == lit, np.float32(1), np.float32(0.18))[..., None]
        colour = choose(lamp, lamps[index] * shine, grey(0.06))
        return Paint((y > bottom) & (s >= 0), colour)

    return paint


def person(rng: np.random.Generator, height: float, seat: float = 0.0) -> Painter:
    """Return a person 0.6 m wide, seen from any side.

    Args:
        rng: of the clothes and the step.
        height: of the head's top.
        seat: where the figure ends below, for riders.
    """
    coat, trousers = lively(rng, 0.05, 0.7), lively(rng, 0.05, 0.35)
    skin = rgb(0.75, 0.55, 0.45) * rng.uniform(0.5, 1.1)
    hair = grey(0.1) if seat == 0 or rng.random() < 0.5 else lively(rng)
    stride, lean = rng.uniform(0.03, 0.16), rng.normal(0, 0.02)
    size = height - seat * 0.55

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        x = s - 0.3 - lean * y
        up = (y - height + size) / size
        head = np.hypot(x / 0.11, (up - 0.93) * size / 0.13) < 1
        torso = (np.abs(x) < 0.2 + 0.05 * (up < 0.78)) & (up > 0.47) & (up < 0.85)
        spread = stride * (0.5 - up).clip(0) * 2
        legs = (np.abs(np.abs(x) - spread - 0.05) < 0.085) & (up <= 0.48)
        colour = choose(torso, coat, trousers * np.ones_like(y)[..., None])
        colour = choose(head, np.where((up > 0.95)[..., None], hair, skin), colour)
        return Paint((head | torso | legs) & (y > seat), colour)

    return paint


def two_wheeler(rng: np.random.Generator, length: float, motor: bool) -> Painter:
    """Return a bicycle or motorcycle from the side."""
    frame = lively(rng, 0.05, 0.6)
    radius = 0.32 if motor else 0.34

    def paint(s: np.ndarray, y: np.ndarray) -> Paint:
        rear, front = np.hypot(s - radius, y - radius), np.hypot(s - length + radius, y - radius)
        wheel = np.minimum(rear, front)
        middle = np.abs(s - length / 2) / (length / 2)
        if motor:
            body = (y > 0.3) & (y < 0.85 - 0.25 * middle) & (middle < 0.75)
        else:
            body = (np.abs(y - 0.55 + 0.12 * (s - length / 2)) < 0.13) & (middle < 0.62)
        post = (np.abs(s - length * 0.74) < 0.06) & (y > 0.3) & (y < 1.05)
        saddle = (np.abs(s - length * 0.35) < 0.14) & (np.abs(y - 0.88) < 0.06)
        tyre = wheel < radius
        dark = tyre & (wheel > 0.75 * radius)
        colour = choose(body | post | saddle, frame, grey(0.35) * np.ones_like(y)[..., None])
        return Paint(tyre | body | post | saddle, choose(dark, grey(0.05), colour))

    return paint
