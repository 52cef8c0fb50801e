"""Rooms with furniture, a light and a camera, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl_bench.datasets.procedural.rooms.furniture import BUILDERS, Piece, flat
from mtl_bench.datasets.procedural.rooms.geometry import Camera, Solid, look_at, turn
from mtl_bench.datasets.procedural.rooms.textures import Material, draw_material

KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bedroom": (("bed", "cupboard", "shelf", "tv stand", "cupboard"), ("chair", "thing")),
    "living": (("sofa", "tv stand", "shelf", "sofa", "cupboard"), ("low table", "thing", "chair")),
    "dining": (("cupboard", "shelf", "sofa"), ("table", "chair", "chair", "chair", "thing")),
    "study": (("table", "shelf", "cupboard", "shelf", "bed"), ("chair", "thing", "chair")),
}
"""Kind of room -> what stands at its walls, what stands free, the most important first."""

TRIES = 12
KEEP_CLEAR = 0.55
"""Half the side of the square around the camera where nothing stands, metres."""


@dataclass(frozen=True)
class Scene:
    """Everything that a picture of a room shows.

    Args:
        room: extents (x, y, z).
        solids: boxes.
        labels: class of each box, -1 for none.
        materials: material of each box.
        shell: materials of floor, ceiling and the four walls (x = 0, x = X, y = 0, y = Y).
        camera: who looks.
        light_3: where the lamp is.
        ambient: share of light that is everywhere.
    """

    room: tuple[float, float, float]
    solids: tuple[Solid, ...]
    labels: tuple[int, ...]
    materials: tuple[Material, ...]
    shell: tuple[Material, ...]
    camera: Camera
    light_3: np.ndarray
    ambient: float


def draw_scene(generator: np.random.Generator) -> Scene:
    """Draw a room."""
    room = tuple(float(generator.uniform(*b)) for b in ((3.0, 5.0), (3.0, 5.0), (2.35, 2.9)))
    assert len(room) == 3
    eye_3 = _draw_eye(generator, room)
    plan = _Plan(generator, room, eye_3)
    at_walls, free = KINDS[list(KINDS)[generator.integers(len(KINDS))]]
    for name in at_walls:
        plan.put_at_wall(BUILDERS[name](generator))
    for name in free:
        plan.put_free(BUILDERS[name](generator))
    for kind in ("window", "picture", "tv", "window", "picture", "picture"):
        if generator.random() < (0.35 if kind == "tv" else 0.75):
            plan.hang(flat(generator, kind))
    middle_2 = 0.5 * np.asarray(room[:2])
    aim_2 = middle_2 + (middle_2 - eye_3[:2]) * generator.uniform(0.1, 0.7)
    aim_2 += generator.normal(0, 0.35, 2)
    aim_3 = np.array([*aim_2, generator.uniform(0.65, 1.2)])
    wall = draw_material(generator, "wall")
    shell = (
        draw_material(generator, "floor"),
        draw_material(generator, "ceiling"),
        *(
            draw_material(generator, "wall") if generator.random() < 0.25 else wall
            for _ in range(4)
        ),
    )
    return Scene(
        room=room,
        solids=tuple(plan.solids),
        labels=tuple(plan.labels),
        materials=tuple(plan.materials),
        shell=shell,
        camera=look_at(eye_3, aim_3, generator.normal(0, 0.02)),
        light_3=np.array([*generator.uniform(0.25, 0.75, 2), 0.93]) * room,
        ambient=generator.uniform(0.35, 0.6),
    )


def _draw_eye(generator: np.random.Generator, room: tuple[float, float, float]) -> np.ndarray:
    """Return a place near a corner or a wall, at the height of a camera in the hand."""
    along = generator.uniform(0.15, 0.85)
    near = generator.uniform(0.35, 0.7) / min(room[:2])
    place_2 = np.array([along, near if generator.random() < 0.5 else 1 - near])
    if generator.random() < 0.5:
        place_2 = place_2[::-1]
    return np.array(
        [*(place_2 * room[:2]).clip(0.3, np.asarray(room[:2]) - 0.3), generator.uniform(1.2, 1.7)]
    )


class _Plan:
    """The floor plan while it fills; what finds no place is left out."""

    def __init__(
        self, generator: np.random.Generator, room: tuple[float, float, float], eye_3: np.ndarray
    ) -> None:
        self.generator, self.room = generator, room
        self.taken = [(*(eye_3[:2] - KEEP_CLEAR), *(eye_3[:2] + KEEP_CLEAR))]
        self.hung: list[tuple[int, float, float]] = []
        self.solids: list[Solid] = []
        self.labels: list[int] = []
        self.materials: list[Material] = []

    def put_at_wall(self, piece: Piece) -> None:
        """Stand a piece with its back at a wall."""
        for _ in range(TRIES):
            wall = int(self.generator.integers(4))
            length = self._length(wall)
            if piece.width >= length:
                continue
            along = self.generator.uniform(piece.width / 2, length - piece.width / 2)
            place_2, yaw = self._at_wall(wall, along, piece.depth / 2 + 0.03)
            if self._stand(piece, place_2, yaw, turned=wall < 2):
                return

    def put_free(self, piece: Piece) -> None:
        """Stand a piece anywhere, turned by any angle."""
        reach = 0.5 * float(np.hypot(piece.width, piece.depth))
        for _ in range(TRIES):
            low, high = reach, np.asarray(self.room[:2]) - reach
            place_2 = self.generator.uniform(low, high)
            if self._stand(piece, place_2, self.generator.uniform(0, 2 * np.pi), reach=reach):
                return

    def hang(self, piece: Piece) -> None:
        """Hang a flat piece on a wall, at the height of the eyes."""
        for _ in range(TRIES):
            wall = int(self.generator.integers(4))
            length, half = self._length(wall), piece.width / 2 + 0.05
            height = self.generator.uniform(1.35, 1.75)
            if 2 * half >= length or height + piece.depth / 2 > self.room[2] - 0.05:
                continue
            along = self.generator.uniform(half, length - half)
            if all(w != wall or abs(along - a) > half + h for w, a, h in self.hung):
                self.hung.append((wall, along, half))
                place_2, yaw = self._at_wall(wall, along, 0.0)
                self._add(piece, np.array([*place_2, height]), yaw)
                return

    def _length(self, wall: int) -> float:
        return self.room[1] if wall < 2 else self.room[0]

    def _at_wall(self, wall: int, along: float, off: float) -> tuple[np.ndarray, float]:
        """Return a place ``off`` a wall (x = 0, x = X, y = 0, y = Y) and the yaw of a front."""
        x, y, _ = self.room
        place = ((off, along), (x - off, along), (along, off), (along, y - off))[wall]
        return np.array(place), (-np.pi / 2, np.pi / 2, 0.0, np.pi)[wall]

    def _stand(
        self,
        piece: Piece,
        place_2: np.ndarray,
        yaw: float,
        turned: bool = False,
        reach: float | None = None,
    ) -> bool:
        half_2 = np.array([piece.width, piece.depth])[:: -1 if turned else 1] / 2
        half_2 = half_2 if reach is None else np.full(2, reach)
        low_2, high_2 = place_2 - half_2, place_2 + half_2
        if any(
            low_2[0] < x1 and x0 < high_2[0] and low_2[1] < y1 and y0 < high_2[1]
            for x0, y0, x1, y1 in self.taken
        ):
            return False
        self.taken.append((*low_2, *high_2))
        self._add(piece, np.array([*place_2, 0.0]), yaw)
        return True

    def _add(self, piece: Piece, place_3: np.ndarray, yaw: float) -> None:
        cosine, sine = np.cos(yaw), np.sin(yaw)
        axes_33 = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        for box in piece.boxes:
            low_3, high_3 = np.array((box.x, box.y, box.z)).T
            x, y, z = (place_3 + turn((low_3 + high_3) / 2, axes_33)).tolist()
            half_x, half_y, half_z = ((high_3 - low_3) / 2).tolist()
            self.solids.append(Solid((x, y, z), (half_x, half_y, half_z), float(yaw)))
            self.labels.append(box.label)
            self.materials.append(box.material)
