"""Pictures brought to a template: the face's points, its picture and its labels go to the same place."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.geometry import transform
from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.data.framing import framed, mesh_points5
from facegraft.data.item import Item
from facegraft.faces.align import template_points
from facegraft.faces.topology import load_topology
from tests.data.small_sets import item

SIDE, SIZE = 96, 64


def turned(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]], np.float32)


def face(matrix: np.ndarray) -> Item:
    """The mean face laid into a picture by a similarity; a red dot on the nose, green on the left eye, and its mask."""
    dense = transform(matrix, np.asarray(load_topology().xyz[:, :2], np.float32))
    full = np.concatenate([dense, np.zeros((len(dense), 1), np.float32)], 1)
    points = mesh_points5(item("a", "a", arrays={"dense": full}))
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    frame = np.full((SIDE, SIDE, 3), 40, np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for channel, point in ((0, points[2]), (1, points[0])):
        near = (x - point[0]) ** 2 + (y - point[1]) ** 2 < 9
        frame[near, channel] = 250
        mask[near & (channel == 0)] = 255
    return item(
        "face",
        "a",
        size_px=SIDE,
        image=encode_frame(frame),
        planes={"visible": encode_plane(mask)},
        arrays={"dense": full, "landmarks68": dense[:68], "pose_degrees": np.ones(3, np.float32)},
    )


def middle(picture: np.ndarray) -> np.ndarray:
    weight = np.clip(picture.astype(np.float64) - 60, 0, None)
    y, x = np.mgrid[: len(picture), : len(picture)] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


# The mean face's eyes are .7 units apart; the second number brings them to pixels.
UPRIGHT, ROLLED = turned(0, 30, (48, 48)), turned(25, 24, (52, 44))


@pytest.mark.parametrize("matrix", [UPRIGHT, ROLLED], ids=["upright", "rolled"])
def test_picture_mask_and_points_go_to_the_template(matrix: np.ndarray) -> None:
    made = face(matrix)
    found = framed(made, made, SIZE, ["mask", "dense", "landmarks", "pose_degrees"], "arcface_112_v1")
    goal = template_points("arcface_112_v1", SIZE)
    assert found["image"].shape == (3, SIZE, SIZE)
    points = mesh_points5(item("b", "b", arrays={"dense": np.c_[found["dense"], np.zeros(len(found["dense"]))]}))
    assert np.abs(points - goal).max() < 0.12 * SIZE  # the mean face is not the template's, but near it
    assert np.abs(middle(found["image"][0]) - points[2]).max() < 0.6  # red stays red, and lies on the nose
    assert np.abs(middle(found["image"][1]) - points[0]).max() < 0.6
    assert np.abs(middle(found["mask"]) - points[2]).max() < 0.6
    assert np.array_equal(found["pose_degrees"], np.ones(3, np.float32))
    assert points[1, 0] > points[0, 0]  # not mirrored


def test_a_truth_is_framed_as_its_attribute_image_is() -> None:
    attribute, other = face(UPRIGHT), face(ROLLED)
    as_told = framed(other, attribute, SIZE, [], "arcface_112_v1")["image"]
    by_own = framed(other, other, SIZE, [], "arcface_112_v1")["image"]
    here = middle(framed(attribute, attribute, SIZE, [], "arcface_112_v1")["image"][0])
    shift = middle(as_told[0]) - here
    assert np.linalg.norm(middle(by_own[0]) - here) < 0.7
    assert np.linalg.norm(shift) > 1.0


def test_a_picture_without_a_mesh_cannot_be_framed() -> None:
    with pytest.raises(BadInputError, match="no mesh of points"):
        mesh_points5(item("a", "a", arrays={}))
