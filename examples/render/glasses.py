"""Procedural spectacles: two rounded rims, a bridge, temples and lenses."""

from __future__ import annotations

import numpy as np


def _tube(
    path: np.ndarray, radius: float, *, closed: bool, sides: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, normals and triangles of a tube along a path."""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    up = np.where(np.abs(ahead[:, 2:]) > 0.8, np.array([[0.0, 1, 0]]), np.array([[0.0, 0, 1]]))
    side = np.cross(ahead, up)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, ahead)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    normals = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    vertices = path[:, None] + radius * normals
    count = len(path)
    rings = np.arange(count if closed else count - 1)
    i, j = np.meshgrid(rings, np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    c, d = (i + 1) % count * sides + (j + 1) % sides, (i + 1) % count * sides + j
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(-1, 3)
    return vertices.reshape(-1, 3), normals.reshape(-1, 3), triangles


def glasses_mesh(eyes: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spectacles for a neutral head.

    Args:
        eyes: Centres of the left and right eyeball, (2, 3).
        landmarks: The 68 face landmarks of the same head.

    Returns:
        Vertices, unit normals, triangles, and which vertices belong to the lenses.
    """
    distance = np.linalg.norm(eyes[0] - eyes[1])
    front = max(landmarks[17:27, 2].max(), landmarks[27, 2]) + 0.05
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    power = 2 / 2.9
    shape_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * 0.43 * distance
    shape_y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * 0.35 * distance
    parts = []
    for eye in eyes:
        x = eye[0] * 1.07 + shape_x
        z = front - 0.22 * (x / distance) ** 2
        rim = np.stack([x, eye[1] - 0.03 * distance + shape_y * (1 - 0.06 * np.sign(shape_y)), z], 1)
        parts.append((*_tube(rim, 0.017, closed=True), False))
        parts.append((*_lens(rim), True))
        sign = np.sign(eye[0])
        hinge = np.array([sign * (abs(eye[0]) * 1.07 + 0.43 * distance), eye[1] + 0.10 * distance, 0])
        hinge[2] = front - 0.22 * (hinge[0] / distance) ** 2
        ear_x = sign * (np.abs(landmarks[[0, 16], 0]).max() + 0.01)
        end = np.array([ear_x, eye[1] + 0.04 * distance, eyes[:, 2].mean() - 0.78])
        corner = np.array([hinge[0] + sign * 0.05, hinge[1], hinge[2] - 0.10])
        path = np.array([hinge, hinge * 0.5 + corner * 0.5 + [sign * 0.015, 0, 0.02], corner, (corner + end) / 2, end])
        parts.append((*_tube(path, 0.016, closed=False), False))
    inner = abs(eyes[0, 0]) * 1.07 - 0.43 * distance
    t = np.linspace(-1, 1, 15)
    y = eyes[:, 1].mean() + 0.03 * distance + 0.05 * (1 - t**2)
    bridge = np.stack([t * inner, y, front - 0.22 * (t * inner / distance) ** 2 + 0.02 * (1 - t**2)], 1)
    parts.append((*_tube(bridge, 0.015, closed=False), False))
    return _join(parts)


def _lens(rim: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centre = rim.mean(0) + np.array([0, 0, 0.03])
    vertices = np.concatenate([rim, centre[None]])
    around = np.arange(len(rim))
    triangles = np.stack([around, np.roll(around, -1), np.full(len(rim), len(rim))], 1)
    normals = vertices - (centre - [0, 0, 1.6])
    return vertices, normals / np.linalg.norm(normals, axis=1, keepdims=True), triangles


def _join(parts: list) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    vertices, normals, triangles, lens, start = [], [], [], [], 0
    for v, n, t, is_lens in parts:
        vertices.append(v)
        normals.append(n)
        triangles.append(t + start)
        lens.append(np.full(len(v), is_lens))
        start += len(v)
    return np.concatenate(vertices), np.concatenate(normals), np.concatenate(triangles), np.concatenate(lens)
