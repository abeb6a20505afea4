"""Makes facegraft/data/synth/dense468.json: where the 468 points of the face mesh lie on MakeHuman's base mesh.

    python tools/dense468.py ASSETS --out facegraft/data/synth/dense468.json

Our mean face (facegraft/faces/mesh468.json) is bent onto MakeHuman's mean adult with a thin-plate spline through the
points that both name (eyes, lips, nose, brows, chin), made symmetric and dropped onto the closest skin.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from facegraft.core.geometry import fit_rigid3
from facegraft.data.synth.landmarks import LANDMARKS68
from facegraft.data.synth.skin_space import FULL_PX, LEFT, TOP, read_base, refine
from facegraft.faces.topology import LANDMARKS_68, LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_EYE, load_topology

ANCHORS = (*range(17, 36), 8)
"""Rows of the 68 landmarks that mean the same point of the skin in both conventions; jaws differ but at the chin."""
RINGS = (
    (LIPS_OUTER, (48, 59, 58, 57, 56, 55, 54), (54, 53, 52, 51, 50, 49, 48)),
    (LIPS_INNER, (60, 67, 66, 65, 64), (64, 63, 62, 61, 60)),
    (LEFT_EYE, (36, 41, 40, 39), (39, 38, 37, 36)),
    (RIGHT_EYE, (45, 46, 47, 42), (42, 43, 44, 45)),
)
"""Rings of the mesh, and the edge of lid or lip in rows of the 68 landmarks: the lower half, then the upper one."""
BACK = -1.15
"""Nothing farther back than this (decimetres behind the eyes) is face."""
SLIT_COLUMN = 564
"""Where the mouth's slit lies in the head rectangle of the texture, full-size pixels; the upper lip is left of it."""
SPREAD = 12
"""Points per triangle's edge when looking for the closest triangle."""


def skin_triangles(assets: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The face's outer skin as vertex numbers, which lip each triangle may belong to, and the mean adult's vertices.

    1 is the upper lip's side of the mouth's slit in the texture, -1 the lower's. Decimetres around the eyes.
    """
    mesh, vertices = read_base(assets)
    faces = mesh.groups["body"]
    corners = (mesh.uvs[mesh.face_uvs[faces]] * (1, -1) + (0, 1)) * FULL_PX - (LEFT, TOP)
    outer = (corners[..., 0].min(1) > 0) & (corners[..., 1].max(1) < 1400) & (corners[..., 1].min(1) > 0)
    points = vertices[mesh.faces[faces]]
    face = outer & (points[..., 2].min(1) > BACK) & (np.abs(points[..., 0]).max(1) < 1.2)
    quads, columns = mesh.faces[faces[face]], corners[face][..., 0].mean(1)
    lip = np.where(columns < SLIT_COLUMN, 1, -1)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    real = triangles[:, 0] != triangles[:, 2]
    return triangles[real], np.concatenate([lip, lip])[real], vertices


def project(points: np.ndarray, triangles: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closest triangle and barycentric weights of each point (exact inside the nearest triangles)."""
    steps = [(i / SPREAD, j / SPREAD) for i in range(SPREAD + 1) for j in range(SPREAD + 1 - i)]
    grid = np.array([(1 - a - b, a, b) for a, b in steps])
    spread = np.einsum("kc,tcd->tkd", grid, vertices[triangles]).reshape(-1, 3)
    _, near = cKDTree(spread).query(points, k=40)
    rows, weights = np.zeros(len(points), int), np.zeros((len(points), 3))
    for i, candidates in enumerate(near // len(grid)):
        best = float("inf")
        for row in np.unique(candidates):
            w = closest(points[i], vertices[triangles[row]])
            distance = float(np.linalg.norm(w @ vertices[triangles[row]] - points[i]))
            if distance < best:
                best, rows[i], weights[i] = distance, row, w
    return triangles[rows], weights


def lip_sides(points: np.ndarray) -> np.ndarray:
    """1 for points of the upper lip, -1 of the lower, 0 elsewhere; the mean face's closed lips touch."""
    contact = points[[13, 14], 1].mean()
    near = (np.abs(points[:, 0]) < 0.24) & (np.abs(points[:, 1] - contact) < 0.1) & (points[:, 2] > 0.0)
    side = np.where(near, np.where(points[:, 1] > contact, 1, -1), 0)
    half = len(LIPS_INNER) // 2
    side[list(LIPS_INNER)] = [0, *[-1] * (half - 1), 0, *[1] * (half - 1)]
    return side


def closest(point: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric weights of the point of a triangle that is closest to a point."""
    edges = (corners[1:] - corners[0]).T
    b, c = np.linalg.lstsq(edges, point - corners[0], rcond=None)[0]
    if b >= 0 and c >= 0 and b + c <= 1:
        return np.array((1 - b - c, b, c))
    best, weights = np.inf, np.eye(3)[0]
    for i in range(3):
        a, e = corners[i], corners[(i + 1) % 3] - corners[i]
        t = float(np.clip((point - a) @ e / max(e @ e, 1e-12), 0, 1))
        distance = float(np.linalg.norm(a + t * e - point))
        if distance < best:
            best, weights = distance, (1 - t) * np.eye(3)[i] + t * np.eye(3)[(i + 1) % 3]
    return weights


def on_edges(marks: np.ndarray) -> dict[int, np.ndarray]:
    """Places of the points on lids and lips: on the landmarks' curve, as far along it as in the mean face."""
    mesh, out = load_topology().xyz.astype(float), {}
    for ring, lower, upper in RINGS:
        half = len(ring) // 2
        for part, rows in ((ring[: half + 1], lower), ((*ring[half:], ring[0]), upper)):
            curve = refine(marks[list(rows)].astype(float), 0.002)
            across = mesh[list(part), 0]
            share = (across - across[0]) / (across[-1] - across[0])
            width = (curve[:, 0] - curve[0, 0]) / (curve[-1, 0] - curve[0, 0])
            for point, place in zip(part, share, strict=True):
                out[point] = curve[np.abs(width - place).argmin()]
    return out


def bend(vertices: np.ndarray) -> np.ndarray:
    """The 468 points of the mean face, laid over the mean adult."""
    topology = load_topology()
    mesh = topology.xyz.astype(float) * (1, -1, -1)
    marks = vertices[list(LANDMARKS68)]
    edges = on_edges(marks)
    named = np.array([*(LANDMARKS_68[row] for row in ANCHORS), *edges])
    places = np.concatenate([marks[list(ANCHORS)], list(edges.values())])
    scale, rotation, shift = fit_rigid3(mesh[named], places)
    laid = scale * mesh @ rotation.T + shift
    spline = RBFInterpolator(laid[named], places - laid[named], kernel="thin_plate_spline", smoothing=2e-4)
    bent = laid + spline(laid)
    bent[list(edges)] = list(edges.values())
    return (bent + bent[topology.mirror] * (-1, 1, 1)) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    triangles, lips, vertices = skin_triangles(args.assets)
    points = bend(vertices)
    corners, weights = project(points, triangles, vertices)
    for lip in (1, -1):
        on_it = lip_sides(points) == lip
        corners[on_it], weights[on_it] = project(points[on_it], triangles[lips == lip], vertices)
    weights = np.round(np.clip(weights, 0, 1), 4)
    weights /= weights.sum(1, keepdims=True)
    rows = [[*c, *(round(float(x), 4) for x in w)] for c, w in zip(corners.tolist(), weights, strict=True)]
    text = ",\n    ".join(json.dumps(row) for row in rows)
    args.out.write_text(f'{{\n  "rows": [\n    {text}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
