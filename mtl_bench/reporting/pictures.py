"""Pictures of dense targets, predictions and errors.

Legend of shape suffixes: H rows, W columns, C channels, 3 red, green and blue in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtl_bench.errors import DataError

Array = np.ndarray
VOID = (0.75, 0.75, 0.75)
"""Grey of pixels without a label."""


class Panels(NamedTuple):
    """Target, prediction and error of a task, each a picture, and what the error's scale is."""

    target_HW3: Array
    prediction_HW3: Array
    error_HW3: Array
    scale: str


def draw_samples(path: Path, title: str, samples: list[Any], invalid: dict[str, float]) -> None:
    """Write a grid: a row for each sample; its image, then each task's target, prediction, error.

    Args:
        path: of the PNG file.
        title: names the run, and its data if they are procedural.
        samples: with ``image_HW3``, ``targets`` and ``predictions``.
        invalid: task -> the value of its target where there is no label.

    Raises:
        DataError: matplotlib is not installed.
    """
    tasks = list(samples[0].targets)
    height, width = samples[0].image_HW3.shape[:2]
    columns = 1 + 3 * len(tasks)
    cell = 1.9
    figure = _figure(cell * columns, cell * height / width * len(samples) + 0.9)
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(samples), columns, squeeze=False)
    for row, sample in zip(axes, samples, strict=True):
        pictures = [("image", sample.image_HW3)]
        for task in tasks:
            target, prediction = sample.targets[task], sample.predictions[task]
            panels = PAINTERS[task](target, prediction, invalid[task])
            pictures += [
                (task, panels.target_HW3),
                ("prediction", panels.prediction_HW3),
                (f"error, bright = {panels.scale}", panels.error_HW3),
            ]
        for axis, (name, picture) in zip(row, pictures, strict=True):
            axis.imshow(picture, interpolation="nearest", aspect="equal")
            axis.set_title(name, fontsize=7)
            axis.set_axis_off()
    figure.savefig(path, dpi=130)


def draw_strips(path: Path, title: str, strips: list[Any]) -> None:
    """Write an episode of every task: a row of pictures each, with what came of it.

    Args:
        path: of the PNG file.
        title: names the run.
        strips: with ``task``, ``frames_FHW3``, ``steps``, ``success`` and ``total``.

    Raises:
        DataError: matplotlib is not installed.
    """
    columns = len(strips[0].steps)
    height, width = strips[0].frames_FHW3.shape[1:3]
    cell = 1.5
    figure = _figure(cell * columns + 1.2, cell * height / width * len(strips) + 0.7)
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(strips), columns, squeeze=False)
    for row, strip in zip(axes, strips, strict=True):
        for axis, frame_HW3, step in zip(row, strip.frames_FHW3, strip.steps, strict=True):
            axis.imshow(frame_HW3, aspect="equal")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color(VOID)
            if strip is strips[0]:
                axis.set_title(f"step {step}", fontsize=7)
        came = "success" if strip.success else "no success"
        row[0].set_ylabel(
            f"{strip.task}\n{came}\nreturn {strip.total:.1f}",
            **{"fontsize": 6.5, "rotation": 0, "ha": "right", "va": "center"},
        )
    figure.savefig(path, dpi=130)


def _figure(width: float, height: float) -> Any:  # noqa: ANN401 - of matplotlib
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError("pictures need matplotlib: pip install 'mtl_bench[report]'") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def paint_classes(target_HW: Array, scores_CHW: Array, invalid: float) -> Panels:
    """Paint classes in fixed colours; the error is white where the class is wrong."""
    predicted_HW = scores_CHW.argmax(axis=0)
    valid_HW = target_HW != invalid
    wrong_HW = (predicted_HW != target_HW) & valid_HW
    return Panels(
        _masked(_class_colors(np.where(valid_HW, target_HW, 0)), valid_HW),
        _class_colors(predicted_HW),
        _masked(np.repeat(wrong_HW[..., None].astype(float), 3, axis=2), valid_HW),
        "wrong",
    )


def paint_scalar(target_1HW: Array, prediction_1HW: Array, invalid: float) -> Panels:
    """Paint one value per pixel; target and prediction share their scale."""
    target_HW, prediction_HW = target_1HW[0], prediction_1HW[0]
    valid_HW = target_HW != invalid
    seen = target_HW[valid_HW]
    low, high = np.percentile(seen, [1, 99]) if seen.size else (0.0, 1.0)
    span = max(high - low, 1e-9)
    error_HW = np.abs(prediction_HW - target_HW) / span
    return Panels(
        _masked(_colormap("viridis", (target_HW - low) / span), valid_HW),
        _colormap("viridis", (prediction_HW - low) / span),
        _masked(_colormap("inferno", 2 * error_HW), valid_HW),
        f"{span / 2:.2g}",
    )


def paint_normals(target_3HW: Array, prediction_3HW: Array, invalid: float) -> Panels:
    """Paint unit vectors as colours, (n + 1) / 2; the error is the angle."""
    valid_HW = (target_3HW != invalid).any(axis=0)
    cosine_HW = np.clip((target_3HW * prediction_3HW).sum(axis=0), -1, 1)
    degrees_HW = np.degrees(np.arccos(cosine_HW))
    return Panels(
        _masked(_unit_colors(target_3HW), valid_HW),
        _unit_colors(prediction_3HW),
        _masked(_colormap("inferno", degrees_HW / 60), valid_HW),
        "60 degrees",
    )


def paint_offsets(target_2HW: Array, prediction_2HW: Array, invalid: float) -> Panels:
    """Paint offsets (y, x) to an instance's centre: hue is the direction, lightness the length."""
    valid_HW = (target_2HW != invalid).any(axis=0)
    lengths = np.linalg.norm(target_2HW[:, valid_HW], axis=0)
    longest = max(float(np.percentile(lengths, 95)) if lengths.size else 1.0, 1.0)
    error_HW = np.abs(prediction_2HW - target_2HW).mean(axis=0) / longest
    return Panels(
        _masked(_offset_colors(np.where(valid_HW, target_2HW, 0), longest), valid_HW),
        _masked(_offset_colors(prediction_2HW, longest), valid_HW),
        _masked(_colormap("inferno", error_HW), valid_HW),
        f"{longest:.0f} px",
    )


PAINTERS: dict[str, Callable[[Array, Array, float], Panels]] = {
    "segmentation": paint_classes,
    "depth": paint_scalar,
    "disparity": paint_scalar,
    "normal": paint_normals,
    "instance": paint_offsets,
}
"""Task -> how it is painted."""


def _class_colors(classes_HW: Array) -> Array:
    from matplotlib import colormaps

    colors: Array = colormaps["tab20"](classes_HW.astype(int) % 20)[..., :3]
    return colors


def _colormap(name: str, values_HW: Array) -> Array:
    from matplotlib import colormaps

    colors: Array = colormaps[name](np.clip(values_HW, 0, 1))[..., :3]
    return colors


def _unit_colors(vectors_3HW: Array) -> Array:
    return np.clip((vectors_3HW.transpose(1, 2, 0) + 1) / 2, 0, 1)


def _offset_colors(offsets_2HW: Array, longest: float) -> Array:
    from matplotlib.colors import hsv_to_rgb

    y_HW, x_HW = offsets_2HW
    hue = (np.arctan2(y_HW, x_HW) / (2 * np.pi)) % 1
    strength = np.clip(np.hypot(y_HW, x_HW) / longest, 0, 1)
    colors: Array = hsv_to_rgb(np.stack([hue, strength, np.ones_like(hue)], axis=-1))
    return colors


def _masked(picture_HW3: Array, valid_HW: Array) -> Array:
    return np.where(valid_HW[..., None], picture_HW3, np.asarray(VOID))
