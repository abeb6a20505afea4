"""The 468 points on the base mesh: on the skin, symmetric, in the mesh's order; the lips part when the jaw drops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegraft.data.synth.dense import COUNT, dense_points, dense_rows
from facegraft.data.synth.landmarks import LANDMARKS68
from facegraft.faces.topology import LANDMARKS_68, LIPS_INNER, LIPS_OUTER, load_topology


@pytest.fixture(scope="module")
def adult(makehuman: Path) -> np.ndarray:
    from facegraft.data.synth.skin_space import read_base

    return read_base(makehuman)[1]


def test_rows_are_weights_of_real_vertices() -> None:
    index, weights = dense_rows()
    assert index.shape == weights.shape == (COUNT, 3)
    assert weights.sum(1) == pytest.approx(1, abs=1e-6)
    assert weights.min() >= 0
    assert index.min() >= 0
    assert index.max() < 13380, "the body's own vertices, no helpers"
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1


def test_left_and_right_are_twins(adult: np.ndarray) -> None:
    points, mirror = dense_points(adult), load_topology().mirror
    assert np.abs(points - points[mirror] * (-1, 1, 1)).max() < 0.02
    assert (points[[263, 291, 454], 0] > 0).all(), "the person's left is at x > 0, the frame's right"


def test_named_points_are_the_68_landmarks(adult: np.ndarray) -> None:
    points = dense_points(adult)
    away = np.linalg.norm(points[list(LANDMARKS_68)] - adult[list(LANDMARKS68)], axis=1)
    same = [8, *range(17, 37), 39, 42, 45, 48, 51, 54, 57, 60, 62, 64, 66]
    assert away[same].max() < 0.015
    assert away[36:].max() < 0.12, "the others may lie farther along the same lid or lip"


def test_triangles_face_outwards_but_for_the_closed_mouth(adult: np.ndarray) -> None:
    points, triangles = dense_points(adult), load_topology().triangles
    a, b, c = (points[triangles[:, i]] for i in range(3))
    outwards = (a + b + c) / 3 - (0, -0.35, -0.9)
    flipped = (np.cross(b - a, c - a) * outwards).sum(1) > 0
    assert flipped.sum() <= 25
    mouth = points[[*LIPS_INNER, *LIPS_OUTER]]
    low, high = mouth.min(0) - 0.01, mouth.max(0) + 0.01
    centres = ((a + b + c) / 3)[flipped]
    assert ((centres > low) & (centres < high)).all()


def test_no_two_points_are_one_but_where_lips_touch(adult: np.ndarray) -> None:
    from scipy.spatial import cKDTree

    points = dense_points(adult)
    pairs = cKDTree(points).query_pairs(0.004)
    inner = set(LIPS_INNER) | {62, 76, 61, 77, 96, 183, 184, 292, 306, 291, 308, 78}
    assert all(set(pair) & inner for pair in pairs)


def test_lips_part_when_the_jaw_drops(makehuman: Path, adult: np.ndarray) -> None:
    from facegraft.data.synth.formats import read_pose_units, read_rig

    rig = read_rig(makehuman / "data" / "rigs", len(adult))
    bones = rig.matrices(adult, read_pose_units(makehuman / "data" / "poseunits")["JawDrop"])
    mixed = np.einsum("vb,bij->vij", rig.weights, bones)
    opened = np.einsum("vij,vj->vi", mixed[..., :3], adult) + mixed[..., 3]
    moved = (dense_points(opened) - dense_points(adult))[:, 1]
    lower, upper = list(LIPS_INNER[1:10]), list(LIPS_INNER[11:])
    assert moved[lower].max() < -0.1
    assert moved[upper].min() > -0.06
