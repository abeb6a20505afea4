"""Hands and held things: shape, size, and where they are placed before a face."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from facegraft.core.errors import BadInputError
from facegraft.data.synth.ground import Ground, read_ground
from facegraft.data.synth.props import Props, head_axes
from facegraft.data.synth.solid import PropMesh
from facegraft.data.synth.wear import HAND_POSES, Prop, sample_props

THINGS = [(kind, variant) for kind in ("phone", "microphone", "cup", "book") for variant in ("plain", "other")]
EVERYTHING = [*(("hand", pose) for pose in HAND_POSES), *THINGS]
EYES = 0.58


@pytest.fixture(scope="module")
def ground(makehuman: Path) -> Ground:
    return read_ground(makehuman)


@pytest.fixture(scope="module")
def props(ground: Ground) -> Props:
    return Props(ground)


def sampled(count: int) -> list[Prop]:
    out: list[Prop] = []
    seed = 0
    while len(out) < count:
        out += sample_props(np.random.default_rng(seed), "occluded")
        seed += 1
    return out


def placed(mesh: PropMesh, matrix: np.ndarray) -> np.ndarray:
    return np.asarray(mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3])


@pytest.mark.parametrize(("kind", "variant"), EVERYTHING)
def test_meshes_are_well_formed(props: Props, kind: str, variant: str) -> None:
    mesh = props.mesh(kind, variant)
    assert len(mesh.triangles) <= 2_600
    assert mesh.triangles.max() < len(mesh.vertices)
    assert mesh.material.max() < len(mesh.materials)
    used = np.unique(mesh.triangles)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals[used], axis=1), 1, atol=1e-3)
    assert "skin" in [m.colour for m in mesh.materials]
    assert props.mesh(kind, variant) is mesh


@pytest.mark.parametrize("pose", HAND_POSES)
def test_hands_are_as_large_as_hands(props: Props, pose: str) -> None:
    mesh = props.mesh("hand", pose)
    skin = mesh.vertices[np.unique(mesh.triangles[mesh.material == 0])]
    above_wrist = skin[skin[:, 1] > -0.45]
    assert 0.7 < np.ptp(above_wrist[:, 0]) < 1.8
    assert 0.9 < np.ptp(above_wrist[:, 1]) < 1.9


def test_fingers_do_what_their_pose_says(props: Props) -> None:
    top = {pose: props.mesh("hand", pose).vertices[:, 1].max() for pose in HAND_POSES}
    width = {pose: np.ptp(props.mesh("hand", pose).vertices[:, 0]) for pose in HAND_POSES}
    assert top["flat"] > top["fist"] + 0.5
    assert top["pointing"] > top["fist"] + 0.4
    assert top["flat"] > top["holding"] + 0.2
    assert width["spread"] > width["flat"] + 0.2
    tips = props.mesh("hand", "pointing").vertices
    assert (tips[:, 1] > top["fist"] + 0.1).sum() > 5
    assert np.ptp(tips[tips[:, 1] > top["fist"] + 0.1, 0]) < 0.3


def test_the_thumb_of_a_left_hand_points_to_plus_x_and_of_a_right_hand_to_minus_x(props: Props) -> None:
    left, right = (props.mesh("hand", "spread", mirrored) for mirrored in (False, True))
    assert left.vertices[:, 0].max() > -left.vertices[:, 0].min()
    np.testing.assert_allclose(right.vertices, left.vertices * [-1, 1, 1])
    for mesh in (left, right):  # both are seen from outside
        a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2).astype(float)
        assert (np.einsum("ij,ij->i", a, np.cross(b, c))).sum() > 0


def test_placing_turns_with_the_head_and_grows_with_the_eyes(props: Props, ground: Ground) -> None:
    marks = ground.usual[ground.landmarks]
    turn = Rotation.from_euler("yxz", [35, -12, 8], degrees=True).as_matrix()
    for prop in [p for p in sampled(30) if p.attached == "head"][:6]:
        still = props.place(prop, marks, EYES)
        turned = props.place(prop, marks @ turn.T + [0.4, 1.0, -2.0], EYES)
        np.testing.assert_allclose(turned[:3, :3], turn @ still[:3, :3], atol=1e-4)
        np.testing.assert_allclose(turned[:3, 3], turn @ still[:3, 3] + [0.4, 1.0, -2.0], atol=1e-4)
        size = np.cbrt(np.linalg.det(still[:3, :3]))
        assert size == pytest.approx(prop.size, rel=1e-4)
        assert np.cbrt(np.linalg.det(props.place(prop, marks, 2 * EYES)[:3, :3])) == pytest.approx(2 * size, rel=1e-4)


def test_upright_things_stay_upright(props: Props, ground: Ground) -> None:
    marks = ground.usual[ground.landmarks]
    turn = Rotation.from_euler("y", 40, degrees=True).as_matrix()
    prop = next(p for p in sampled(60) if p.attached == "world")
    np.testing.assert_allclose(
        props.place(prop, marks, EYES)[:3, :3], props.place(prop, marks @ turn.T, EYES)[:3, :3], atol=1e-5
    )


def test_the_usual_head_looks_straight_ahead(ground: Ground) -> None:
    axes = head_axes(ground.usual[ground.landmarks])
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.degrees(np.arccos(axes[2, 2])) < 3


def test_things_hide_part_of_the_face_and_never_touch_it(props: Props, ground: Ground) -> None:
    """Of the face's outline 5 to 50 % is covered, and nothing comes nearer to it than .05 dm."""
    marks = ground.usual[ground.landmarks]
    skin = ground.usual[:13380]
    face = skin[(skin[:, 2] > 0.8) & (skin[:, 1] > marks[8, 1] - 0.05) & (skin[:, 1] < 8.0)]
    tree = cKDTree(face)
    shares = []
    for prop in sampled(60):
        mesh = props.mesh(prop.kind, prop.variant, prop.mirrored)
        points = placed(mesh, props.place(prop, marks, EYES))
        assert tree.query(points)[0].min() > 0.05
        shares.append(_covered(points, mesh.triangles, marks))
    assert np.mean([0.05 <= share <= 0.5 for share in shares]) > 0.93
    assert min(shares) > 0.03
    assert max(shares) < 0.62


def _covered(points: np.ndarray, triangles: np.ndarray, marks: np.ndarray) -> float:
    """Share of the polygon through jaw and raised brows, seen from the front."""
    size, scale = 160, 160 / (5 * EYES)
    middle = marks[36:48].mean(0)

    def pixels(p: np.ndarray) -> np.ndarray:
        out = np.stack([size / 2 + (p[:, 0] - middle[0]) * scale, size / 2 - (p[:, 1] - middle[1]) * scale], 1)
        return np.asarray(out.round().astype(np.int32))

    raised = marks[17:27] + np.array([0, 0.55 * EYES, 0])
    face, thing = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    cv2.fillPoly(face, [pixels(np.concatenate([marks[:17], raised[::-1]]))], 1)
    for corners in pixels(points)[triangles]:
        cv2.fillConvexPoly(thing, corners, 1)
    return float((face & thing).sum() / face.sum())


def test_unknown_props_are_named(props: Props) -> None:
    for kind, variant in (("trumpet", "plain"), ("hand", "vulcan"), ("cup", "gold")):
        with pytest.raises(BadInputError, match=variant if kind != "trumpet" else kind):
            props.mesh(kind, variant)


def test_a_thing_far_beside_the_face_still_has_a_place(props: Props, ground: Ground) -> None:
    marks = ground.usual[ground.landmarks]
    prop = dataclasses.replace(sampled(1)[0], attached="world", anchor=(6.0, -5.0, 0.0))
    matrix = props.place(prop, marks, EYES)
    assert np.isfinite(matrix).all()
    offset = matrix[:3, 3] - marks[36:48].mean(0)
    np.testing.assert_allclose(offset[:2], np.array([6.0, -5.0]) * EYES, atol=1e-4)
    assert abs(offset[2]) < 3.0
