"""Piecewise linear maps over the face mesh: which triangle a pixel shows, and where that lies elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from facegraft.core.types import Matrix

NOTHING = -1


@dataclass(frozen=True)
class Raster:
    """Which triangle each cell of a grid shows.

    Attributes:
        triangle: Triangle number, or `NOTHING`.
        x: Positions of the grid's columns in the pixels of the points that were drawn.
        y: The same for its rows.
    """

    triangle: Int32[np.ndarray, "gh gw"]
    x: Float32[np.ndarray, "gw"]
    y: Float32[np.ndarray, "gh"]

    def covered(self) -> Bool[np.ndarray, "gh gw"]:
        return self.triangle != NOTHING


@dataclass(frozen=True)
class Grid:
    """Cells over a box of a frame; not quite square where the box is no multiple of them.

    Attributes:
        left_top: The box's corner in frame pixels.
        size_wh: Columns and rows.
        cell_wh: Pixels per cell.
    """

    left_top: tuple[float, float]
    size_wh: tuple[int, int]
    cell_wh: tuple[float, float]

    def to_grid(self) -> Matrix:
        """From frame pixels to cells."""
        (left, top), (wide, high) = self.left_top, self.cell_wh
        return np.array([[1 / wide, 0, -left / wide], [0, 1 / high, -top / high]], np.float32)


def grid_over(box: tuple[int, int, int, int], cells: int) -> Grid:
    """A grid over left, top, right, bottom with at most this many cells along the longer side, none under a pixel."""
    left, top, right, bottom = box
    cell = max(max(right - left, bottom - top) / cells, 1.0)
    columns, rows = max(2, round((right - left) / cell)), max(2, round((bottom - top) / cell))
    return Grid((float(left), float(top)), (columns, rows), ((right - left) / columns, (bottom - top) / rows))


def facing(points: Float[np.ndarray, "k c"], triangles: Int32[np.ndarray, "t 3"]) -> Float[np.ndarray, "t"]:
    """Twice the signed screen area of each triangle: positive where it is turned to the viewer."""
    a, b, c = (points[triangles[:, corner], :2].astype(np.float64) for corner in range(3))
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])


def rasterise(
    points: Float[np.ndarray, "k 3"],
    triangles: Int32[np.ndarray, "t 3"],
    grid: Grid,
) -> Raster:
    """Draws the triangles that are turned to the viewer, far ones first.

    Args:
        points: x, y in pixels, z (smaller = nearer).
        triangles: Corner numbers, clockwise when turned to the viewer.
        grid: Where to draw.
    """
    seen = np.flatnonzero(facing(points, triangles) > 0)
    depth = points[triangles[seen], 2].mean(axis=1)
    order = seen[np.argsort(-depth, kind="stable")]
    # OpenCV draws between cell centres, in 1/16 of a cell
    corners = (points[triangles[order], :2] - np.asarray(grid.left_top)) / np.asarray(grid.cell_wh) - 0.5
    fixed = np.rint(corners * 16).astype(np.int32)
    columns, rows = grid.size_wh
    canvas = np.full((rows, columns), NOTHING, np.int32)
    for number, corner in zip(order.tolist(), fixed, strict=True):
        cv2.fillConvexPoly(canvas, corner, number, cv2.LINE_8, 4)
    return Raster(
        triangle=canvas,
        x=(grid.left_top[0] + (np.arange(columns) + 0.5) * grid.cell_wh[0]).astype(np.float32),
        y=(grid.left_top[1] + (np.arange(rows) + 0.5) * grid.cell_wh[1]).astype(np.float32),
    )


def triangle_maps(
    points: Float[np.ndarray, "k c"], values: Float[np.ndarray, "k n"], triangles: Int32[np.ndarray, "t 3"]
) -> Float32[np.ndarray, "t n 3"]:
    """Per triangle, the affine function (x, y, 1) -> values that its corners fix; zero slope where it has no area."""
    corners = points[triangles][:, :, :2].astype(np.float64)
    at = values[triangles].astype(np.float64)
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    inverse = np.where(np.abs(area) > 1e-6, 1 / np.where(np.abs(area) > 1e-6, area, 1), 0)
    rise1, rise2 = at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
    slope_x = (rise1 * edge2[:, 1:2] - rise2 * edge1[:, 1:2]) * inverse[:, None]
    slope_y = (rise2 * edge1[:, 0:1] - rise1 * edge2[:, 0:1]) * inverse[:, None]
    constant = at[:, 0] - slope_x * corners[:, 0, 0:1] - slope_y * corners[:, 0, 1:2]
    return np.stack([slope_x, slope_y, constant], axis=2).astype(np.float32)


def interpolate(
    raster: Raster,
    points: Float[np.ndarray, "k c"],
    values: Float[np.ndarray, "k n"],
    triangles: Int32[np.ndarray, "t 3"],
) -> Float32[np.ndarray, "gh gw n"]:
    """Per-point values carried over the grid; cells outside the mesh continue the nearest covered cell's triangle."""
    maps = triangle_maps(points, values, triangles)
    number = nearest_covered(raster.triangle)
    chosen = maps[number]
    return chosen[..., 0] * raster.x[None, :, None] + chosen[..., 1] * raster.y[:, None, None] + chosen[..., 2]


def nearest_covered(triangle: Int32[np.ndarray, "gh gw"]) -> Int32[np.ndarray, "gh gw"]:
    """The grid with its empty cells filled from the nearest cell that shows a triangle."""
    empty = (triangle == NOTHING).astype(np.uint8)
    if not empty.any():
        return triangle
    if empty.all():
        return np.zeros_like(triangle)
    _, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(label.max()) + 1, np.int32)
    full = empty == 0
    table[label[full]] = triangle[full]
    return table[label]
