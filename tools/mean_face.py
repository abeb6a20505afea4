"""Makes facegraft/faces/mesh468.json: the mean face, its mirror twins, its unrolled cylinder and its triangles.

    python tools/mean_face.py PICTURES... --out facegraft/faces/mesh468.json

Measured on 1,662 faces of the sets `sfhq`, `t2i` (MIT, (c) 2024 David Beniaguev), `faker` (CC0), `london` and `canada`
(CC-BY 4.0, DeBruine & Jones), with the points of MediaPipe's mesh (`facegraft models fetch --teacher`). Needs scipy.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay

from facegraft.core.geometry import fit_rigid3
from facegraft.core.image import read_picture
from facegraft.faces.analyse import Analyser
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.topology import CHIN, FOREHEAD, LIPS_INNER, OVAL

PAIRS = ((33, 263), (133, 362), (61, 291), (234, 454), (105, 334), (127, 356), (172, 397))
"""Twins that anybody can name: eye corners, mouth corners, cheeks, brows, temples, jaw."""
MIDLINE = (10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 164, 0, 17, 18, 200, 199, 175, 152)
AXIS = 1.5
"""Distance of the cylinder's axis behind the eyes, in outer-eye distances."""
LEAN_DEGREES = 5.0
"""With forehead and chin in line, portraits look 5 degrees down in the median; this makes them look ahead."""
LIP_GAP, LIP_REACH = 0.035, 0.2
"""The mean mouth is closed; unrolled, it is opened by this much, so that triangles know upper from lower lip."""


def measured(pictures: list[Path]) -> np.ndarray:
    """Dense points of the largest face of each picture, n x 468 x 3."""
    analyser = Analyser(MediaPipeNetworks())
    found = [analyser.analyse(read_picture(path).frame) for path in pictures]
    return np.stack([faces.dense[0] for faces in found if len(faces)]).astype(np.float64)


def mean_shape(shapes: np.ndarray, rounds: int = 6) -> np.ndarray:
    """Generalised Procrustes mean; the median keeps bad fits out. Starts from the face that looks straightest ahead."""
    depth_gap = np.abs(shapes[:, 33, 2] - shapes[:, 263, 2])
    mean = _unit(shapes[np.argmin(depth_gap / np.linalg.norm(shapes[:, 33] - shapes[:, 263], axis=1))])
    for _ in range(rounds):
        moved = []
        for shape in shapes:
            scale, rotation, shift = fit_rigid3(shape, mean)
            moved.append(scale * shape @ rotation.T + shift)
        mean = _unit(np.median(moved, axis=0))
    return mean


def _unit(shape: np.ndarray) -> np.ndarray:
    shape = shape - shape.mean(axis=0)
    return shape / np.sqrt((shape**2).sum() / len(shape))


def mirror_twins(mean: np.ndarray) -> np.ndarray:
    """Each point's twin: the one-to-one match of the face with its mirror image."""
    flipped = mean * [-1, 1, 1]
    first = [a for a, _ in PAIRS] + [b for _, b in PAIRS] + list(MIDLINE)
    second = [b for _, b in PAIRS] + [a for a, _ in PAIRS] + list(MIDLINE)
    scale, rotation, shift = fit_rigid3(flipped[first], mean[second])
    twins = np.arange(len(mean))
    for _ in range(5):
        moved = scale * flipped @ rotation.T + shift
        _, twins = linear_sum_assignment(np.linalg.norm(moved[:, None] - mean[None], axis=2))
        scale, rotation, shift = fit_rigid3(flipped, mean[twins])
    return twins


def upright(mean: np.ndarray, twins: np.ndarray) -> np.ndarray:
    """Symmetric, looking ahead, in outer-eye distances, 0 between the eyes."""
    scale, rotation, shift = fit_rigid3(mean * [-1, 1, 1], mean[twins])
    both = np.empty_like(mean)
    both[twins] = (mean[twins] + scale * (mean * [-1, 1, 1]) @ rotation.T + shift) / 2
    across = np.mean([both[b] - both[a] for a, b in PAIRS], axis=0)
    x = across / np.linalg.norm(across)
    y = np.array([0, 1, 0]) - x * x[1]
    y /= np.linalg.norm(y)
    both = both @ np.stack([x, y, np.cross(x, y)]).T
    both[:, 0] -= both[list(MIDLINE), 0].mean()
    both = (both + both[twins] * [-1, 1, 1]) / 2
    down = both[CHIN] - both[FOREHEAD]
    lean = -np.arctan2(down[2], down[1]) + np.radians(LEAN_DEGREES)
    about_x = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    both = both @ about_x.T
    both /= np.linalg.norm(both[33] - both[263])
    return both - (both[33] + both[263]) / 2


def unrolled(face: np.ndarray, twins: np.ndarray) -> np.ndarray:
    """The face on a cylinder around its vertical axis, mouth opened, true to scale between the eyes."""
    uv = np.column_stack([2 * np.arctan2(face[:, 0], AXIS - face[:, 2]), face[:, 1]])
    uv[:, 0] = (uv[:, 0] - uv[twins, 0]) / 2
    lower = [point for point in LIPS_INNER[1:10]]
    upper = [point for point in LIPS_INNER[11:]]
    corner = uv[LIPS_INNER[10], 0]
    lines = [np.array([LIPS_INNER[0], *side, LIPS_INNER[10]]) for side in (lower, upper[::-1])]
    middle = np.mean([np.interp(uv[:, 0], uv[line, 0], uv[line, 1]) for line in lines], axis=0)
    gap = LIP_GAP * np.clip(1 - (uv[:, 0] / corner) ** 2, 0, None)
    for point in np.flatnonzero(np.abs(uv[:, 0]) < 0.995 * corner):
        side = 1 if point in lower else -1 if point in upper else np.sign(uv[point, 1] - middle[point])
        away = abs(uv[point, 1] - middle[point])
        if away < LIP_REACH:
            uv[point, 1] = middle[point] + side * (gap[point] + away * (1 - gap[point] / LIP_REACH))
    return uv


def triangles(uv: np.ndarray) -> np.ndarray:
    """Delaunay triangles inside the oval, clockwise on the screen."""
    found = Delaunay(uv).simplices
    oval = uv[list(OVAL)].astype(np.float32)
    inside = [cv2.pointPolygonTest(oval, tuple(map(float, middle)), False) >= 0 for middle in uv[found].mean(axis=1)]
    found = found[np.array(inside)]
    a, b, c = (uv[found[:, corner]] for corner in range(3))
    turned = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1]) < 0
    return np.where(turned[:, None], found[:, [0, 2, 1]], found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    mean = mean_shape(measured(args.pictures))
    twins = mirror_twins(mean)
    face = upright(mean, twins)
    uv = unrolled(face, twins)
    content = {
        "about": "Mean face, symmetric, from our own measurements (tools/mean_face.py): xyz in outer-eye distances "
        "(x right, y down, z away; 0 = between the eyes), uv = its unrolled cylinder, triangles = Delaunay of uv.",
        "mirror": twins.tolist(),
        "triangles": triangles(uv).tolist(),
        "uv": np.round(uv, 4).tolist(),
        "xyz": np.round(face, 4).tolist(),
    }
    args.out.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
