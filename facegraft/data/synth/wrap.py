"""Cloth around the head: how far the head reaches in each direction, and grids drawn at that distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter
from scipy.spatial import cKDTree

CENTRE = np.array([0.0, 7.35, 0.42])
"""Inside the usual person's head, decimetres."""
STEP = 5.0
"""Degrees between the directions of the table."""


@dataclass(frozen=True)
class Reach:
    """Rows: angle from straight up, 0..165 degrees; columns: around from the front to the person's left, 0..360."""

    table: np.ndarray

    def at(self, around: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Distance from CENTRE to the cloth in these directions (degrees), decimetres."""
        where = [np.clip(down / STEP, 0, len(self.table) - 1), (around / STEP) % self.table.shape[1]]
        return np.asarray(map_coordinates(np.hstack([self.table, self.table[:, :1]]), where, order=1, mode="nearest"))

    def points(self, around: np.ndarray, down: np.ndarray, margin: np.ndarray | float = 0.0) -> np.ndarray:
        """Points `margin` above the cloth."""
        return CENTRE + directions(around, down) * (self.at(around, down) + margin)[..., None]

    def loose(self, widen: int, sigma: float) -> Reach:
        """Stretched over hollows: the widest within `widen` steps, then smoothed by `sigma` steps."""
        table = maximum_filter(self.table, 2 * widen + 1, mode=("nearest", "wrap")) if widen else self.table
        return Reach(gaussian_filter(table, sigma, mode=("nearest", "wrap")))

    def down_to(self, around: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """Angle from straight up at which the cloth comes down to these heights (decimetres)."""
        angles = np.arange(0, 165.01, 0.25)
        grid_around, grid_down = np.broadcast_arrays(around[:, None], angles[None])
        y = self.points(grid_around, grid_down)[..., 1]
        return angles[(y > heights[:, None]).cumprod(1).sum(1).clip(0, len(angles) - 1)]


def directions(around: np.ndarray, down: np.ndarray) -> np.ndarray:
    phi, theta = np.radians(around), np.radians(down)
    return np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1)


def measure(vertices: np.ndarray, quads: np.ndarray) -> Reach:
    """How far the body reaches around the head's centre; ears count."""
    corners = vertices[quads]
    s = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    top = corners[:, None, 0] * (1 - s[:, None]) + corners[:, None, 1] * s[:, None]
    bottom = corners[:, None, 3] * (1 - s[:, None]) + corners[:, None, 2] * s[:, None]
    points = (top[:, :, None] * (1 - s[:, None]) + bottom[:, :, None] * s[:, None]).reshape(-1, 3) - CENTRE
    far = np.linalg.norm(points, axis=1)
    down, around = np.meshgrid(np.arange(0, 165.01, STEP), np.arange(0, 360, STEP), indexing="ij")
    tree = cKDTree(points / far[:, None])
    out = np.zeros(down.shape)
    ways = directions(around, down)
    for row in np.ndindex(down.shape):
        near = tree.query_ball_point(ways[row], 0.07)
        out[row] = far[near].max() if near else far[tree.query(ways[row])[1]]
    return Reach(out)


def grid_triangles(rows: int, columns: int, *, closed: bool) -> np.ndarray:
    """Two per cell of a grid of points that is numbered row by row, counted clockwise so that they face outwards."""
    last = columns if closed else columns - 1
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])


def tube(path: np.ndarray, radius: float, sides: int, *, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points and triangles of a tube along a path."""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    up = np.where(np.abs(ahead[:, 2:]) > 0.8, np.array([[0.0, 1, 0]]), np.array([[0.0, 0, 1]]))
    side = np.cross(ahead, up)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, ahead)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    points = path[:, None] + radius * (
        np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    )
    rings = np.arange(len(path) if closed else len(path) - 1)
    i, j = np.meshgrid(rings, np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    c, d = (i + 1) % len(path) * sides + (j + 1) % sides, (i + 1) % len(path) * sides + j
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return points.reshape(-1, 3), triangles


def join(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Meshes of points and triangles as one."""
    starts = np.cumsum([0, *(len(points) for points, _ in parts)])
    triangles = [t + start for (_, t), start in zip(parts, starts, strict=False)]
    return np.concatenate([p for p, _ in parts]), np.concatenate(triangles)


def clipped(
    points: np.ndarray, triangles: np.ndarray, rows: np.ndarray, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The part of a mesh where `keep`, linear over each triangle, is above zero: its edge is smooth.

    Args:
        points: Vertices (n, 3).
        triangles: (t, 3).
        rows: More values of each vertex (n, k), carried along.
        keep: One number per vertex.

    Returns:
        Points, triangles and rows, without vertices that nothing uses.
    """
    values = np.concatenate([points, rows], 1)
    whole = triangles[(keep[triangles] > 0).all(1)]
    added: list[np.ndarray] = []
    pieces: list[list[int]] = whole.tolist()
    for triangle in triangles[(keep[triangles] > 0).any(1) & ~(keep[triangles] > 0).all(1)]:
        corners: list[int] = []
        for a, b in zip(triangle, np.roll(triangle, -1), strict=True):
            if keep[a] > 0:
                corners.append(int(a))
            if (keep[a] > 0) != (keep[b] > 0):
                share = keep[a] / (keep[a] - keep[b])
                corners.append(len(values) + len(added))
                added.append(values[a] + share * (values[b] - values[a]))
        pieces += [[corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1)]
    everything = np.concatenate([values, added]) if added else values
    used, index = np.unique(np.array(pieces).reshape(-1, 3), return_inverse=True)
    return everything[used, :3], index.reshape(-1, 3), everything[used, 3:]
