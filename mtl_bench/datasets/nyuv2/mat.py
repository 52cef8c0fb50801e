"""Frames from the official file of NYU Depth V2's labelled part, nyu_depth_v2_labeled.mat.

It is an HDF5 file written by MATLAB, so that its axes are reversed: images (N, 3, 640, 480),
depths, rawDepths and labels (N, 640, 480), and names a row of references to texts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mtl_bench.datasets.nyuv2.layout import TOLERATED, Folder, value_faults
from mtl_bench.datasets.nyuv2.normals import normals_from_depth
from mtl_bench.datasets.store.npy import map_npy
from mtl_bench.errors import DataError

HEIGHT, WIDTH = 288, 384
ROWS, COLUMNS = slice(47, 467), slice(40, 600)
"""The part that is kept: the frames have no depth along their border. NYU's toolbox keeps rows 44
to 470 and columns 40 to 600; of these, 420 x 560 have the shape 3 : 4 of the small frames, so that
pixels stay square."""

ARRAYS = {"images": (4, "uint8"), "depths": (3, "float32"), "rawDepths": (3, "float32")}
ARRAYS["labels"] = (3, "uint16")
"""Name in the file -> number of axes and type."""


def read_classes() -> dict[str, Any]:
    """Return the names of classes, the maps between them, and the official split."""
    text = (files("mtl_bench.datasets.nyuv2") / "classes.json").read_text(encoding="utf-8")
    classes: dict[str, Any] = json.loads(text)
    return classes


def class_table() -> np.ndarray:
    """Return the label 0 to 12, or -1 for none, of each raw label 0 (none) to 894."""
    classes = read_classes()
    to_13 = np.array([0, *classes["map40to13"]])
    return to_13[np.array([0, *classes["map894to40"]])] - 1


def split_frames(frames: int) -> dict[Folder, tuple[int, ...]]:
    """Return the numbers, from 1, of the frames of each folder: 795 to train, 654 to test."""
    train = read_classes()["train_ids"]
    return {"train": tuple(train), "val": tuple(sorted(set(range(1, frames + 1)) - set(train)))}


def check_mat(path: Path) -> int:
    """Check that a file is the official one by its arrays and the names of its classes.

    Returns:
        Number of frames.

    Raises:
        DataError: it is not.
    """
    import h5py

    try:
        with h5py.File(path) as mat:
            if missing := {*ARRAYS, "names"}.difference(mat):
                raise DataError(f"{path} has no array {min(missing)}: it is another file")
            frames = len(mat["images"])
            for name, (axes, kind) in ARRAYS.items():
                wanted = (frames, 3, 640, 480) if axes == 4 else (frames, 640, 480)
                if mat[name].shape != wanted:
                    raise DataError(f"{path}: {name} has shape {mat[name].shape}, not {wanted}")
                if mat[name].dtype != kind:
                    raise DataError(f"{path}: {name} has type {mat[name].dtype}, not {kind}")
            names = _class_names(mat)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(
            f"{path} can't be read as HDF5 ({error}): it is another file or was cut off"
        ) from error
    if names != read_classes()["names894"]:
        raise DataError(f"{path}: its classes are not the 894 known ones, so it is another file")
    if frames < max(read_classes()["train_ids"]):
        raise DataError(f"{path} has {frames} frames, the labelled part has 1449")
    return frames


@dataclass(frozen=True)
class ReadFrame:
    """Frames of the official file, cropped and reduced to 288 x 384.

    Colours are averaged over the area of each small pixel; of labels, depth and normals the nearest
    pixel is taken. Depth is the file's filled-in map where the sensor measured something, and there
    where a normal is known: depth and normals are valid at the same pixels, as in MTAN's files.

    Args:
        path: the file.
        frames: numbers of the frames of each folder.
        normals: folder with NUMBER.npy (480, 640, 3) of each frame, zero where there is none; None
            to compute them from depth.
    """

    path: Path
    frames: dict[Folder, tuple[int, ...]]
    normals: Path | None

    def __call__(self, folder: Folder, index: int, /) -> dict[str, np.ndarray]:
        """Return part -> float32 array, channels last.

        Raises:
            DataError: the frame can't be read, or its values are not what they have to be.
        """
        import h5py

        number = self.frames[folder][index]
        try:
            with h5py.File(self.path) as mat:
                image, depth, measured, raw = (
                    np.ascontiguousarray(mat[name][number - 1].T)
                    for name in ("images", "depths", "rawDepths", "labels")
                )
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{self.path}: frame {number} can't be read ({error}): fetch the file again"
            ) from error
        if (label_max := int(raw.max())) >= len(class_table()):
            raise DataError(f"{self.path}: frame {number} has label {label_max} of 894 classes")
        depth = np.where(measured > 0, depth, 0).astype(np.float64)
        for fault in value_faults("depth", depth):
            raise DataError(f"{self.path}: depth of frame {number}: {fault}")
        if self.normals is None:
            normal = normals_from_depth(depth)
        else:
            normal = _given_normals(self.normals / f"{number}.npy")
        label, depth, normal = (
            _nearest(values[ROWS, COLUMNS]) for values in (class_table()[raw], depth, normal)
        )
        known = (depth > 0) & normal.any(axis=2)
        frame = {
            "image": _average(image[ROWS, COLUMNS] / 255),
            "label": label,
            "depth": np.where(known, depth, 0)[..., None],
            "normal": np.where(known[..., None], normal, 0),
        }
        frame = {part: values.astype(np.float32) for part, values in frame.items()}
        for part, values in frame.items():
            for fault in value_faults(part, values, TOLERATED):
                raise DataError(f"{self.path}: {part} of frame {number}: {fault}")
        return frame


def _given_normals(path: Path) -> np.ndarray:
    try:
        normal = map_npy(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    if normal.shape != (480, 640, 3) or normal.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: shape {normal.shape} of {normal.dtype} instead of (480, 640, 3) numbers"
        )
    return normal


def _class_names(mat: Any) -> list[str]:  # noqa: ANN401 - an HDF5 file
    return ["".join(map(chr, np.ravel(mat[reference]))) for reference in np.ravel(mat["names"])]


def _nearest(values: np.ndarray) -> np.ndarray:
    rows, columns = (
        ((np.arange(small) + 0.5) * large / small).astype(int)
        for small, large in zip((HEIGHT, WIDTH), values.shape[:2], strict=True)
    )
    return values[rows[:, None], columns]


def _average(image_HWC: np.ndarray) -> np.ndarray:
    down = _area_weights(image_HWC.shape[0], HEIGHT)
    across = _area_weights(image_HWC.shape[1], WIDTH)
    return np.einsum("yh,hwc,xw->yxc", down, image_HWC, across, optimize=True)


def _area_weights(large: int, small: int) -> np.ndarray:
    """Return the share of each of ``large`` pixels in each of ``small`` pixels, (small, large)."""
    edges = np.arange(small + 1) * large / small
    pixels = np.arange(large)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(overlap, 0, None) * small / large
