"""Rigid things: triangles with normals and materials, and simple bodies to build them from. Decimetres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int32


@dataclass(frozen=True)
class Material:
    colour: str | tuple[float, float, float]
    """"skin" (of the scene's hands), "sleeve" (the scene's cloth), "colour" (of the `Prop`), or linear RGB."""
    roughness: float


@dataclass(frozen=True)
class PropMesh:
    """In its own frame: y up, z towards the viewer; the origin is where it touches or is held."""

    vertices: Float32[np.ndarray, "n 3"]
    normals: Float32[np.ndarray, "n 3"]
    uvs: Float32[np.ndarray, "n 2"]
    triangles: Int32[np.ndarray, "t 3"]
    material: Int32[np.ndarray, "t"]
    """Row of `materials` for each triangle."""
    materials: tuple[Material, ...]


Triple = tuple[float | int, float | int, float | int]
Piece = tuple[np.ndarray, np.ndarray, int]
"""Points, triangles, row of the materials."""


def finished(
    points: np.ndarray,
    triangles: np.ndarray,
    uvs: np.ndarray,
    material: np.ndarray,
    materials: tuple[Material, ...],
) -> PropMesh:
    """With smooth normals: the area-weighted mean of the triangles at each vertex."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    face = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for corner in triangles.T:
        np.add.at(normals, corner, face)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return PropMesh(
        points.astype(np.float32),
        normals.astype(np.float32),
        uvs.astype(np.float32),
        triangles.astype(np.int32),
        material.astype(np.int32),
        materials,
    )


def assembled(pieces: list[Piece], materials: tuple[Material, ...]) -> PropMesh:
    """Several pieces as one mesh; uv = x and y."""
    starts = np.cumsum([0, *(len(p[0]) for p in pieces)])
    points = np.concatenate([p[0] for p in pieces]).astype(float)
    triangles = np.concatenate([p[1] + s for p, s in zip(pieces, starts, strict=False)])
    material = np.concatenate([np.full(len(p[1]), p[2]) for p in pieces])
    return finished(points, triangles, points[:, :2], material, materials)


def flipped(mesh: PropMesh) -> PropMesh:
    """Its mirror image: x for -x."""
    flip = np.array([-1, 1, 1], np.float32)
    return replace(
        mesh,
        vertices=mesh.vertices * flip,
        normals=mesh.normals * flip,
        triangles=np.ascontiguousarray(mesh.triangles[:, ::-1]),
    )


def lathe(profile: list[tuple[float | int, float | int]], sides: int, material: int) -> Piece:
    """Turned about y: (radius, height) from the bottom to the top, seen from outside."""
    radius, height = np.array(profile).T
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    points = np.stack(
        [
            radius[:, None] * np.sin(angle),
            np.broadcast_to(height[:, None], (len(radius), sides)),
            radius[:, None] * np.cos(angle),
        ],
        -1,
    )
    i, j = np.meshgrid(np.arange(len(radius) - 1), np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    c, d = a + sides, b + sides
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return points.reshape(-1, 3), triangles, material


def slab(size: Triple, centre: Triple, round_: float, material: int) -> Piece:
    """A box with rounded corners seen from the front, and sharp edges between its faces."""
    width, height, depth = (s / 2 for s in size)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False) + np.pi / 24
    corner = np.stack([np.sign(np.cos(angle)) * (width - round_), np.sign(np.sin(angle)) * (height - round_)], 1)
    outline = corner + round_ * np.stack([np.cos(angle), np.sin(angle)], 1)
    count = len(outline)
    around, after = np.arange(count), (np.arange(count) + 1) % count
    points: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    for z, sign in ((depth, 1), (-depth, -1)):
        start = len(points) * (count + 1)
        points.append(np.concatenate([np.c_[outline, np.full(count, z)], [[0, 0, z]]]))
        fan = np.stack([around, after, np.full(count, count)], 1) + start
        triangles.append(fan if sign > 0 else fan[:, ::-1])
    side = np.concatenate([np.c_[outline, np.full(count, depth)], np.c_[outline, np.full(count, -depth)]])
    start = 2 * (count + 1)
    triangles.append(np.stack([around + count, after + count, around], 1) + start)
    triangles.append(np.stack([after + count, after, around], 1) + start)
    return np.concatenate([*points, side]) + np.array(centre), np.concatenate(triangles), material


def moved(piece: Piece, rotation: np.ndarray, shift: Triple) -> Piece:
    return piece[0] @ rotation.T + np.array(shift), piece[1], piece[2]
