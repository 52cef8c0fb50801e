"""Colours and patterns of the surfaces in procedural rooms.

Kinds of surface suggest a class but don't give it away: wood is on floors, tables, chairs and
cupboards, fabric on beds, sofas and chairs. Legend of shape suffixes: N points.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

PALETTES: dict[str, tuple[tuple[float, float], ...]] = {
    "wood": ((0.05, 0.11), (0.30, 0.65), (0.30, 0.75)),
    "pale": ((0.05, 0.65), (0.02, 0.18), (0.70, 0.95)),
    "white": ((0.08, 0.20), (0.00, 0.06), (0.82, 0.97)),
    "fabric": ((0.00, 1.00), (0.15, 0.65), (0.25, 0.80)),
    "bright": ((0.00, 1.00), (0.45, 0.95), (0.45, 0.95)),
    "stone": ((0.05, 0.60), (0.02, 0.15), (0.45, 0.80)),
    "dark": ((0.00, 1.00), (0.00, 0.25), (0.06, 0.20)),
    "sky": ((0.52, 0.62), (0.05, 0.35), (0.88, 1.00)),
}
"""Name -> ranges of hue, saturation and value."""

SURFACES: dict[str, tuple[tuple[str, str], ...]] = {
    "bed": (("cloth", "fabric"), ("plaid", "fabric"), ("cloth", "pale"), ("stripes", "pale")),
    "frame": (("grain", "wood"), ("grain", "dark"), ("plain", "white")),
    "books": (("spines", "bright"),),
    "ceiling": (("plain", "white"), ("plain", "pale")),
    "chair": (("grain", "wood"), ("cloth", "fabric"), ("plain", "dark"), ("plain", "bright")),
    "floor": (("planks", "wood"), ("planks", "wood"), ("tiles", "stone"), ("carpet", "fabric")),
    "furniture": (("panels", "wood"), ("panels", "wood"), ("panels", "white"), ("panels", "pale")),
    "shelf": (("grain", "wood"), ("plain", "white"), ("grain", "dark")),
    "objects": (("plain", "bright"), ("cloth", "fabric"), ("stripes", "bright"), ("plain", "pale")),
    "picture": (("poster", "bright"), ("poster", "fabric")),
    "sofa": (("cloth", "fabric"), ("cloth", "dark"), ("plaid", "fabric"), ("cloth", "stone")),
    "table": (("grain", "wood"), ("grain", "wood"), ("plain", "white"), ("plain", "dark")),
    "tv": (("screen", "dark"),),
    "wall": (("plain", "pale"), ("plain", "pale"), ("plain", "white"), ("stripes", "pale")),
    "window": (("pane", "sky"),),
}
"""What a thing is made of -> the (pattern, palette) it may have."""


@dataclass(frozen=True)
class Material:
    """A pattern with its colours.

    Args:
        pattern: how colour varies over the surface.
        colours_23: main and second colour, RGB in [0, 1].
        scale: size of the pattern, about 1.
        seed: of its noise.
    """

    pattern: str
    colours_23: np.ndarray
    scale: float
    seed: float


def draw_material(generator: np.random.Generator, surface: str) -> Material:
    """Draw the material of a thing, a key of `SURFACES`."""
    choices = SURFACES[surface]
    pattern, palette = choices[generator.integers(len(choices))]
    colours_23 = np.stack([_draw_colour(generator, palette) for _ in range(2)])
    return Material(pattern, colours_23, generator.uniform(0.7, 1.4), generator.uniform(0, 100))


def paint(material: Material, points_N2: np.ndarray, half_N2: np.ndarray) -> np.ndarray:
    """Return the colour at points of a surface, RGB (N, 3).

    Args:
        material: what it is made of.
        points_N2: metres from the middle of the face, across and up.
        half_N2: half the extents of the face.
    """
    main_3, second_3 = material.colours_23
    across_N, up_N = (points_N2 / material.scale).T
    seed = material.seed
    soft_N = _noise(across_N * 2, up_N * 2, seed)
    fine_N = _noise(across_N * 40, up_N * 40, seed + 7)
    shade_N = 0.94 + 0.12 * soft_N
    mix_N = np.zeros_like(shade_N)
    match material.pattern:
        case "grain":
            shade_N = 0.8 + 0.35 * _noise(across_N * 4, up_N * 45, seed)
        case "cloth":
            shade_N = 0.8 + 0.2 * soft_N + 0.2 * fine_N
        case "carpet":
            shade_N = 0.65 + 0.15 * soft_N + 0.4 * fine_N
        case "plaid":
            mix_N = 0.35 * (_wave(across_N, 0.25) + _wave(up_N, 0.25))
            shade_N = 0.85 + 0.2 * fine_N
        case "stripes":
            mix_N = 0.6 * _wave(across_N, 0.22)
        case "planks":
            row_N = np.floor(up_N / 0.12)
            piece_N = np.floor(across_N / 0.9 + 0.37 * row_N)
            seam_N = (np.abs(up_N / 0.12 - row_N - 0.5) > 0.46) * 0.35
            grain_N = _noise(across_N * 5, up_N * 50, seed)
            shade_N = 0.7 + 0.3 * _hash(row_N, piece_N, seed) + 0.15 * grain_N - seam_N
        case "tiles":
            cell_N2 = np.floor(points_N2 / material.scale / 0.4)
            edge_N = np.abs(points_N2 / material.scale / 0.4 - cell_N2 - 0.5).max(axis=1) > 0.47
            shade_N = (0.85 + 0.15 * _hash(cell_N2[:, 0], cell_N2[:, 1], seed)) * np.where(
                edge_N, 0.6, 1.0
            )
        case "panels":
            cells_N2 = np.maximum(1, np.round(2 * half_N2 / 0.55))
            place_N2 = (points_N2 / half_N2 + 1) / 2 * cells_N2
            inside_N2 = np.abs(place_N2 - np.floor(place_N2) - 0.5)
            edge_N = ((0.5 - inside_N2) * 2 * half_N2 / cells_N2).min(axis=1) < 0.02
            knob_N = inside_N2.max(axis=1) < 0.05
            shade_N = 0.85 + 0.25 * _noise(across_N * 3, up_N * 30, seed)
            shade_N = shade_N * np.where(edge_N | knob_N, 0.45, 1.0)
        case "spines":
            book_N = np.floor(across_N / 0.035)
            height_N = 0.55 + 0.4 * _hash(book_N, 2 * book_N, seed)
            hue_N = _hash(book_N, 0 * book_N, seed)
            colour_N3 = 0.5 + 0.4 * np.cos(2 * np.pi * (hue_N[:, None] + np.array([0, 0.33, 0.67])))
            above_N = (points_N2[:, 1] / half_N2[:, 1] + 1) / 2 > height_N + 0.25
            return (
                colour_N3
                * np.where(above_N, 0.35, 0.6 + 0.4 * _hash(book_N, book_N, seed + 3))[:, None]
            )
        case "poster":
            frame_N = (half_N2 - np.abs(points_N2)).min(axis=1) < 0.035
            mix_N = _noise(across_N * 6, up_N * 6, seed)
            colour_N3 = main_3 + (second_3 - main_3) * np.round(4 * mix_N)[:, None] / 4
            return np.where(frame_N[:, None], 0.25 * second_3, colour_N3)
        case "screen":
            edge_N = (half_N2 - np.abs(points_N2)).min(axis=1) < 0.025
            gloss_N = np.clip(0.5 + (across_N + up_N) / half_N2[:, 0], 0, 1)
            return main_3 * np.where(edge_N, 0.4, 0.7 + 0.8 * gloss_N)[:, None]
        case "pane":
            edge_N = (half_N2 - np.abs(points_N2)).min(axis=1) < 0.05
            bar_N = np.abs(points_N2).min(axis=1) < 0.025
            sky_N3 = main_3 * (0.8 + 0.2 * up_N / half_N2[:, 1] + 0.15 * soft_N)[:, None]
            return np.where((edge_N | bar_N)[:, None], 0.75, sky_N3)
    return (main_3 + (second_3 - main_3) * mix_N[:, None]) * shade_N[:, None]


def _draw_colour(generator: np.random.Generator, palette: str) -> np.ndarray:
    hue, saturation, value = (generator.uniform(*bounds) for bounds in PALETTES[palette])
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _wave(position_N: np.ndarray, period: float) -> np.ndarray:
    return (np.mod(position_N, period) < period / 2).astype(float)


def _hash(first_N: np.ndarray, second_N: np.ndarray, seed: float) -> np.ndarray:
    """Return a number in [0, 1) for each pair of integers."""
    return np.mod(np.sin(first_N * 127.1 + second_N * 311.7 + seed * 17.3) * 43758.5453, 1.0)


def _noise(first_N: np.ndarray, second_N: np.ndarray, seed: float) -> np.ndarray:
    """Return smooth noise in [0, 1) with features of size 1."""
    low_N, left_N = np.floor(first_N), np.floor(second_N)
    u_N, v_N = first_N - low_N, second_N - left_N
    u_N, v_N = u_N * u_N * (3 - 2 * u_N), v_N * v_N * (3 - 2 * v_N)
    corners = [_hash(low_N + i, left_N + j, seed) for i in (0, 1) for j in (0, 1)]
    near_N = corners[0] + (corners[1] - corners[0]) * v_N
    far_N = corners[2] + (corners[3] - corners[2]) * v_N
    return near_N + (far_N - near_N) * u_N
