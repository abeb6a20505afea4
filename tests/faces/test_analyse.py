"""Face analysis on real photos against stored values, and its own invariants."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.geometry import transform, warp
from facegraft.core.image import read_picture
from facegraft.faces.analyse import Analyser, Candidate, check_frame, sizes_in_frame, tile_views, whole_view

STORED = json.loads((Path(__file__).parents[1] / "assets" / "analysed.json").read_text())
"""What our networks said when they were shipped, and what MediaPipe's say."""


@pytest.fixture(scope="module")
def analyser() -> Analyser:
    return Analyser()


@pytest.fixture(scope="module")
def portrait(face_data: Path) -> np.ndarray:
    return read_picture(face_data / "photos" / "faker_male63.jpg").frame


@pytest.mark.parametrize("name", sorted(STORED))
def test_points_and_pose_are_the_stored_ones(analyser: Analyser, face_data: Path, name: str) -> None:
    faces = analyser.analyse(read_picture(face_data / "photos" / f"{name}.jpg").frame)
    assert len(faces) == 1
    for told, near, degrees in ((STORED[name], 0.01, 1), (STORED[name]["teacher"], 0.1, 3)):
        seen = np.linalg.norm(np.subtract(*told["points5"][:2]))
        between_eyes = seen / np.cos(np.radians(told["pose_degrees"][0]))  # in space: a turned face is no smaller
        gaps = np.linalg.norm(faces.points5[0] - np.array(told["points5"]), axis=1)
        assert gaps.max() < near * between_eyes
        np.testing.assert_allclose(faces.pose_degrees[0], told["pose_degrees"], atol=degrees)


def test_nearly_every_photo_shows_its_face(analyser: Analyser, face_data: Path) -> None:
    photos = sorted((face_data / "photos").glob("*_*.jpg"))
    photos = [path for path in photos if "sfhq" not in path.name][::3]
    found = [len(analyser.analyse(read_picture(path).frame)) for path in photos]
    assert sum(count == 1 for count in found) >= len(photos) - 1, dict(
        zip([p.name for p in photos], found, strict=True)
    )


def test_sizes_count_what_lies_in_the_frame() -> None:
    boxes = np.array([[10, 20, 50, 60], [150, 0, 270, 120], [-30, -30, 10, 10], [300, 300, 400, 400]], np.float32)
    sizes = sizes_in_frame(boxes, np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(sizes, [40, np.sqrt(50 * 100), 10, 0], rtol=1e-6)


def test_a_face_cut_by_the_edge_comes_after_the_one_the_picture_is_of(analyser: Analyser, portrait: np.ndarray) -> None:
    whole = analyser.analyse(portrait)[0]
    width = round(float(whole.box_xyxy[2] - whole.box_xyxy[0]))
    cut = portrait[:, : round(float(whole.box_xyxy[0]) + 0.6 * width)]  # ends within the face
    small = cv2.resize(portrait, None, fx=0.85, fy=0.85, interpolation=cv2.INTER_AREA)
    beside = np.zeros((portrait.shape[0], small.shape[1], 3), np.uint8)
    beside[: small.shape[0]] = small
    faces = analyser.analyse(np.concatenate([beside, cut], 1))
    assert len(faces) == 2
    assert faces[0].box_xyxy[2] < beside.shape[1]
    first, second = (float((face.box_xyxy[2:] - face.box_xyxy[:2]).max()) for face in faces)
    assert second > first  # the one that is cut is the larger one


def test_a_sheet_of_small_faces_is_found_whole_and_sorted(analyser: Analyser, face_data: Path) -> None:
    faces = analyser.analyse(read_picture(face_data / "photos" / "sfhq_32_faces.jpg").frame)
    assert len(faces) == 32
    sizes = np.prod(faces.boxes_xyxy[:, 2:] - faces.boxes_xyxy[:, :2], axis=1)
    assert (np.diff(sizes) <= 0).all()
    assert faces.numbers.tolist() == list(range(32))


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_lying_and_upside_down_heads_are_found_where_they_are(
    analyser: Analyser, portrait: np.ndarray, quarter: int
) -> None:
    upright = analyser.analyse(portrait)
    turned = analyser.analyse(np.ascontiguousarray(np.rot90(portrait, k=-quarter)))
    assert len(turned) == 1
    matrix, side = whole_view(portrait, quarter)  # clockwise, like rot90 with a negative count
    assert side == portrait.shape[0] == portrait.shape[1]
    eyes = np.linalg.norm(np.subtract(*upright.points5[0, :2]))
    np.testing.assert_allclose(turned.points5[0], transform(matrix, upright.points5[0]), atol=0.06 * eyes)
    roll = (turned.pose_degrees[0, 2] - upright.pose_degrees[0, 2] - 90 * quarter + 180) % 360 - 180
    assert abs(roll) < 4


def test_a_small_face_far_from_the_middle_is_found(analyser: Analyser, portrait: np.ndarray) -> None:
    canvas = np.full((1080, 1920, 3), 120, np.uint8)
    canvas[900:1020, 1700:1820] = warp(
        portrait, np.array([[120 / 1024, 0, 0], [0, 120 / 1024, 0]], np.float32), (120, 120)
    )
    faces = analyser.analyse(canvas)
    assert len(faces) == 1
    assert 1700 < faces.points5[0, 2, 0] < 1820


def test_no_face_in_noise_or_flat_colour(analyser: Analyser) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8).astype(np.uint8)
    assert len(analyser.analyse(noise)) == 0
    assert len(analyser.analyse(np.full((64, 48, 3), 200, np.uint8))) == 0
    assert len(analyser.analyse(np.zeros((1, 1, 3), np.uint8))) == 0
    assert len(analyser.analyse(np.zeros((3, 2000, 3), np.uint8))) == 0


def test_following_finds_the_same_points_as_looking(analyser: Analyser, portrait: np.ndarray) -> None:
    looked = analyser.analyse(portrait)
    moved = looked.dense + np.array([6, -4, 0], np.float32)
    followed = analyser.refine(portrait, moved)
    eyes = np.linalg.norm(np.subtract(*looked.points5[0, :2]))
    assert np.abs(followed.points5[0] - looked.points5[0]).max() < 0.05 * eyes
    assert followed.scores[0] > 0.9


def test_following_a_face_that_left_says_so(analyser: Analyser, portrait: np.ndarray) -> None:
    looked = analyser.analyse(portrait)
    empty = np.full_like(portrait, 90)
    assert analyser.refine(empty, looked.dense).scores[0] < 0.5
    assert len(analyser.refine(empty, looked.dense[:0])) == 0


def test_frames_of_the_wrong_kind_are_refused(analyser: Analyser) -> None:
    with pytest.raises(BadInputError, match="uint8"):
        check_frame(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(BadInputError, match="height x width x 3"):
        check_frame(np.zeros((4, 4), np.uint8))


def test_a_chin_is_part_of_its_head_and_a_face_beside_it_is_not() -> None:
    head = Candidate(np.float32([200, 200]), 120.0, 0.0, 0.9)
    chin = Candidate(np.float32([200, 270]), 70.0, 0.0, 0.74)
    assert chin.is_part_of(head)
    assert not head.is_part_of(chin)
    assert not dataclasses.replace(chin, middle=np.float32([200, 300])).is_part_of(head)
    assert not dataclasses.replace(chin, side=90.0).is_part_of(head)


def test_what_is_no_face_upright_is_looked_at_turned(analyser: Analyser, portrait: np.ndarray) -> None:
    """A head upside down, which the detector half sees upright: the points' network says no."""
    turned = np.ascontiguousarray(portrait[::-1, ::-1])
    assert len(analyser._placed(turned, analyser._upright(turned, thorough=True), passes=2)) == 0
    (face,) = analyser.analyse(turned)
    assert abs(abs(float(face.pose_degrees[2])) - 180) < 30


def test_tiles_cover_the_frame() -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    seen = np.zeros(frame.shape[:2], bool)
    sides = set()
    for matrix, side in tile_views(frame):
        left, top = -matrix[0, 2], -matrix[1, 2]
        sides.add(round(side))
        seen[int(top) : int(top + side) + 1, int(left) : int(left + side) + 1] = True
    assert seen.all()
    assert len(sides) == 3
