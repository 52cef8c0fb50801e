"""Surface normals from a depth map.

Legend of shape suffixes: H rows, W columns.
"""

from __future__ import annotations

import numpy as np

FOCAL = (518.85790117450188, 519.46961112127485)
CENTRE = (325.58244941119034, 253.73616633400465)
"""Pixels, x and y, of the colour camera that NYU-v2's depth maps are projected to, as its toolbox
states them; the first pixel has number 1."""

OFFSETS = (-9, -6, -3, -1, 0, 1, 3, 6, 9)
"""Rows and columns of neighbours that a plane is fitted to, as sparse as in the toolbox."""
SAME_SURFACE = 0.05
"""Relative difference of depth beyond which a neighbour belongs to something else."""


def normals_from_depth(
    depth_HW: np.ndarray,
    focal: tuple[float, float] = FOCAL,
    centre: tuple[float, float] = CENTRE,
) -> np.ndarray:
    """Fit a plane around each pixel and return its unit normal.

    In the inverse of the depth z a plane is linear: 1 / z = a u + b v + c with u = (x - cx) / fx,
    v = (y - cy) / fy, and (a, b, c) has the direction of the normal. Fitting there is exact for
    planes, and right for a Kinect, whose noise grows with z squared.

    Args:
        depth_HW: metres, 0 where there is none.
        focal: focal lengths (x, y) in pixels.
        centre: principal point (x, y); the first pixel has number 1.

    Returns:
        (H, W, 3) along x right, y up, z towards the camera; zero where there is no depth or no
        plane.
    """
    height, width = depth_HW.shape
    reach = max(OFFSETS)
    padded = np.pad(depth_HW.astype(np.float64), reach)
    known = depth_HW > 0
    inverse = 1 / np.where(padded > 0, padded, 1.0)
    middle_HW = inverse[reach : reach + height, reach : reach + width]
    # sums over neighbours of w, w u, w v, w u u, w u v, w v v, w f, w f u, w f v
    sums = np.zeros((9, height, width))
    for down in OFFSETS:
        for right in OFFSETS:
            window = (
                slice(reach + down, reach + down + height),
                slice(reach + right, reach + right + width),
            )
            near_HW = np.abs(padded[window] - depth_HW) < SAME_SURFACE * depth_HW
            weight_HW = (known & near_HW & (padded[window] > 0)).astype(np.float64)
            value_HW = weight_HW * (inverse[window] - middle_HW)
            u, v = right / focal[0], down / focal[1]
            for total, factor in zip(sums[:6], (1, u, v, u * u, u * v, v * v), strict=True):
                total += factor * weight_HW
            for total, factor in zip(sums[6:], (1, u, v), strict=True):
                total += factor * value_HW
    slope_u, slope_v, offset, solvable = _solve(sums)
    u_W = (np.arange(1, width + 1) - centre[0]) / focal[0]
    v_H = (np.arange(1, height + 1) - centre[1])[:, None] / focal[1]
    constant_HW = middle_HW + offset - slope_u * u_W - slope_v * v_H
    normal_HW3 = np.stack([-slope_u, slope_v, constant_HW], axis=2)
    normal_HW3 /= np.maximum(np.linalg.norm(normal_HW3, axis=2, keepdims=True), 1e-12)
    normal_HW3[~(known & solvable)] = 0
    return normal_HW3


def _solve(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solve the 3 x 3 least-squares problem of every pixel: slopes, offset, and where it can be."""
    w, wu, wv, wuu, wuv, wvv, f, fu, fv = sums
    count = np.maximum(w, 1)
    # About the neighbours' mean the offset drops out, and a 2 x 2 problem remains.
    uu, uv, vv = wuu - wu * wu / count, wuv - wu * wv / count, wvv - wv * wv / count
    gu, gv = fu - f * wu / count, fv - f * wv / count
    determinant = uu * vv - uv * uv
    solvable = determinant > 1e-3 * np.maximum(uu, vv) ** 2
    safe = np.where(solvable, determinant, 1.0)
    slope_u, slope_v = (vv * gu - uv * gv) / safe, (uu * gv - uv * gu) / safe
    return slope_u, slope_v, (f - slope_u * wu - slope_v * wv) / count, solvable & (w > 0)
