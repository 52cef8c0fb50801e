"""Procedural street scenes in the files and folders of Cityscapes, for lack of the real ones.

They show what the benchmark needs: all 19 classes with their proportions roughly right, numbered
instances that hide each other, and disparities with the gaps that stereo matching leaves. What a
network learns from them says nothing about real streets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, MultipleOf

from mtl_bench.datasets.cityscapes.files import (
    KINDS,
    PROCEDURAL,
    STRIDE,
    Frame,
    Part,
    read_procedural,
)
from mtl_bench.datasets.procedural import describe_scenes
from mtl_bench.datasets.procedural.streets.canvas import Canvas, LevelCamera
from mtl_bench.datasets.procedural.streets.ground import draw_ground, draw_layout, draw_sky
from mtl_bench.datasets.procedural.streets.scene import Street
from mtl_bench.datasets.procedural.streets.traffic import draw_people, draw_traffic
from mtl_bench.datasets.store.cache import replace_folder
from mtl_bench.datasets.store.preparation import map_parallel
from mtl_bench.errors import DataError
from mtl_bench.files import is_clutter, write_json
from mtl_bench.seeding import derive_seed
from mtl_bench.values import NonNegativeInt, PositiveInt

VERSION = 1
"""Goes up when the same seed gives other pictures."""

CITIES: dict[Part, tuple[str, ...]] = {
    "train": ("brunnhagen", "ostervik", "kallmark", "weidenborn", "luedenau", "marskirchen"),
    "val": ("hohenfurt", "tannwick", "salzmuende"),
}
"""Made-up names; frames are dealt out to them in turn."""

EGO, OUTSIDE = 1, 3
"""Labels of the own car's bonnet and of the picture's edge."""

BASELINE = 0.209
FOCAL = 1.105
"""Metres between the two cameras, and focal length in widths of the picture."""

OFFICIAL_WIDTH = 2048
"""Disparities are in pixels of this width whatever the picture's, so that values agree."""

MAX_DISPARITY = 126.0
"""Stereo matching looks no farther."""

PROGRESS = 200
"""Frames between two lines of progress."""

Size = Annotated[int, Ge(STRIDE), MultipleOf(STRIDE)]


class Files(NamedTuple):
    """The pixels of a frame's four files."""

    image: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    disparity: np.ndarray


def synth(
    folder: Path,
    train: PositiveInt = 400,
    val: PositiveInt = 100,
    height: Size = 384,
    width: Size = 768,
    seed: NonNegativeInt = 0,
    jobs: PositiveInt | None = None,
    *,
    report: Callable[[str], None] = print,
) -> None:
    """Write procedural street scenes, unless the same ones are there already.

    Every frame is a function of the seed, its part and its number, whatever the number of
    processes. Other procedural scenes that were there are replaced.

    Args:
        folder: where ``leftImg8bit``, ``gtFine`` and ``disparity`` go.
        train: frames to train on.
        val: frames to evaluate on.
        height: rows of a frame; the real ones have 1024.
        width: columns; the real ones have 2048.
        seed: of everything.
        jobs: processes; default the usable cores.
        report: gets a few lines of progress.

    Raises:
        DataError: the folder holds something else than procedural scenes.
        MtlBenchError: the disk is full or can't be written; an older data set is kept.
    """
    facts = describe_scenes("streets", VERSION, train, val, seed=seed, height=height, width=width)
    if folder.exists() and not all(map(is_clutter, folder.iterdir())):
        if (there := read_procedural(folder)) is None:
            raise DataError(
                f"{folder} holds files that `mtl-bench data` did not write: move them away, or "
                "choose another folder with paths.data=DIR"
            )
        if there == facts:
            report(f"these streets are already in {folder}")
            return
    report(f"drawing {train} + {val} procedural streets of {width} x {height} pixels")
    counts: dict[Part, int] = {"train": train, "val": val}
    wanted = [(part, index) for part, count in counts.items() for index in range(count)]
    with replace_folder(folder) as building:
        write = partial(_write_frame, building, (height, width), seed)
        for done, _ in enumerate(map_parallel(write, wanted, jobs), start=1):
            if done % PROGRESS == 0 or done == len(wanted):
                report(f"{done} of {len(wanted)} frames")
        write_json(building / PROCEDURAL, facts)
    report(f"procedural streets are in {folder}")


def make_frame(seed: int, part: Part, index: int, size: tuple[int, int]) -> Files:
    """Draw one frame of (height, width) ``size``."""
    rng = np.random.default_rng(derive_seed(seed, "streets", part, index))
    height, width = size
    camera = LevelCamera(
        focal=FOCAL * width,
        column=width * rng.uniform(0.47, 0.53),
        row=height * rng.uniform(0.40, 0.46),
        height=rng.uniform(1.15, 1.5),
    )
    angle = rng.uniform(0, 2 * np.pi)
    noise = np.roll(_noise(), tuple(rng.integers(256, size=2)), (0, 1))
    canvas = Canvas(size, camera, noise, (float(np.cos(angle)), float(np.sin(angle))))
    _draw_street(rng, canvas)
    _add_own_car(rng, canvas)
    return Files(
        _expose(rng, canvas.colour_HW3),
        canvas.labels_HW,
        canvas.instances_HW,
        _match(rng, canvas.labels_HW, canvas.depth_HW),
    )


def _draw_street(rng: np.random.Generator, canvas: Canvas) -> None:
    haze = draw_sky(canvas, rng)
    layout = draw_layout(rng)
    draw_ground(canvas, rng, layout)
    street = Street(canvas, rng, layout)
    street.draw_houses()
    street.draw_furniture()
    draw_traffic(street)
    draw_people(street)
    if rng.random() < 0.08:
        street.draw_bridge()
    clear_HW = np.exp(canvas.depth_HW / -rng.uniform(120, 500))
    clear_HW[np.isinf(canvas.depth_HW)] = 1  # the sky has its haze already
    canvas.colour_HW3 = haze + clear_HW[..., None] * (canvas.colour_HW3 - haze)


@lru_cache(maxsize=1)
def _noise() -> np.ndarray:
    """Return a periodic texture (256, 256) in -1..1: waves of many lengths, short ones weaker."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.rfftfreq(256), indexing="ij"))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(256, 256))) / (frequency + 0.004) ** 0.9
    noise = np.fft.irfft2(spectrum)
    return np.clip(noise / (2.5 * noise.std()), -1, 1).astype(np.float32)


def _add_own_car(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw the bonnet at the lower edge and mark the outermost pixels."""
    height, width = canvas.labels_HW.shape
    y = (np.arange(height)[:, None] + 0.5) / height
    x = (np.arange(width)[None] + 0.5) / width
    top = 1 - rng.uniform(0.05, 0.11) + 0.25 * (x - 0.5) ** 2
    bonnet = y > top
    light = canvas.colour_HW3[height // 3].mean()
    shine = 0.12 + 0.5 * np.exp((top - y) * 30) * light
    canvas.colour_HW3[bonnet] = shine[bonnet][:, None]
    canvas.labels_HW[bonnet] = canvas.instances_HW[bonnet] = EGO
    for edge in np.s_[:1], np.s_[-1:], np.s_[:, :1], np.s_[:, -1:]:
        canvas.labels_HW[edge] = canvas.instances_HW[edge] = OUTSIDE


def _expose(rng: np.random.Generator, colour_HW3: np.ndarray) -> np.ndarray:
    """Return the picture a camera takes: light, tint, dark corners, noise; uint8."""
    height, width, _ = colour_HW3.shape
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    corners = 1 - rng.uniform(0.05, 0.2) * (x * x + y * y) / 2
    tint = rng.uniform(0.65, 1.15) * (1 + rng.normal(0, 0.03, 3))
    picture = (colour_HW3 * (corners[..., None] * tint)).clip(0, 1) ** rng.uniform(0.8, 1.15)
    grain = rng.normal(0, rng.uniform(0.004, 0.015), (height, width, 1))
    grain = grain + rng.normal(0, 0.006, picture.shape)
    return ((picture + grain) * 255).round().clip(0, 255).astype(np.uint8)


def _match(rng: np.random.Generator, labels_HW: np.ndarray, depth_HW: np.ndarray) -> np.ndarray:
    """Return what stereo matching finds: 256 times the disparity, plus 1; 0 where it fails.

    It fails where the right camera sees nothing of a point (behind something nearer, or outside its
    picture), in the sky, very close by, and in patches here and there.
    """
    height, width = depth_HW.shape
    scale = width / OFFICIAL_WIDTH
    disparity_HW = FOCAL * OFFICIAL_WIDTH * BASELINE / depth_HW
    right_HW = np.arange(width) - disparity_HW * scale
    nearest_HW = np.minimum.accumulate(right_HW[:, ::-1], axis=1)[:, ::-1]
    hidden_HW = np.zeros_like(labels_HW, bool)
    hidden_HW[:, :-1] = nearest_HW[:, 1:] < right_HW[:, :-1]
    patches_HW = np.roll(_noise(), tuple(rng.integers(256, size=2)), (0, 1))
    repeat = (-(-height // 256), -(-width // 256))
    patches_HW = np.tile(patches_HW, repeat)[:height, :width]
    fails_HW = (
        hidden_HW
        | (right_HW < 0)
        | (disparity_HW > MAX_DISPARITY)
        | (labels_HW == EGO)
        | ~np.isfinite(depth_HW)
        | (patches_HW > rng.uniform(0.6, 0.8))
        | (rng.random(depth_HW.shape) < 0.01)
    )
    noisy_HW = (disparity_HW + rng.normal(0, 0.15, depth_HW.shape)).clip(0)
    return np.where(fails_HW, 0, (256 * noisy_HW).round() + 1).astype(np.uint16)


def _write_frame(folder: Path, size: tuple[int, int], seed: int, place: tuple[Part, int]) -> None:
    from PIL import Image

    part, index = place
    cities = CITIES[part]
    city, number = cities[index % len(cities)], index // len(cities)
    frame = Frame(folder, part, f"{city}/{city}_{number:06d}_000019")
    files = make_frame(seed, part, index, size)
    for kind in KINDS:
        path = frame.path(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(getattr(files, kind)).save(path)
