"""Scenes: boxes and points lie exactly where the heads were put, and what is hidden does not count."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.geometry import box_around, transform  # noqa: E402
from facegraft.train.eyes import scenes  # noqa: E402
from facegraft.train.eyes.heads import Head, free_files, hull, read_teacher_boxes  # noqa: E402
from facegraft.train.eyes.scenes import Ground, SceneConfig, compose  # noqa: E402

POINTS = np.array([[24, 26], [40, 26], [32, 34], [26, 44], [38, 44]], np.float32)
OUTLINE = np.array([[16, 16], [48, 16], [48, 52], [16, 52]], np.float32)


def head(*, photo: bool = False) -> Head:
    """White where the face is, black around it."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:52, 16:48] = 255
    alpha = np.full((64, 64), 255, np.uint8)
    return Head(picture, alpha, OUTLINE, POINTS, photo)


@dataclass(frozen=True)
class Same:
    """The same head for every number."""

    head: Head

    def __len__(self) -> int:
        return 4

    def read(self, number: int) -> Head:
        return self.head


GROUND = Ground(Same(head()), None, 0.0, [np.full((80, 80, 3), 90, np.uint8)])


def canvas(side: int = 128) -> scenes._Canvas:
    return scenes._Canvas(np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.int16))


@pytest.mark.parametrize(("roll", "mirrored"), [(0.0, False), (30.0, False), (90.0, True), (180.0, False)])
def test_the_box_is_that_of_the_face_in_the_picture(roll: float, mirrored: bool) -> None:
    matrix = scenes._placement(head(), 50.0, roll, np.array([60.0, 70.0]), mirrored=mirrored)
    made = canvas()
    scenes._paste_head(made, head(), matrix, 1, "head", np.random.default_rng(0))
    rows, columns = np.nonzero(made.frame[..., 0] > made.frame.max() // 2)
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    box = box_around(transform(matrix, OUTLINE))
    assert np.abs(box - seen).max() < 1.2
    assert ((made.owner == 1) == (made.frame[..., 0] > made.frame.max() // 2)).mean() > 0.99
    turned = scenes._described(made.frame, made.owner, [(head(), matrix)], 12.0)
    assert np.allclose(turned.boxes, box[None], atol=1e-3)


def test_a_face_has_the_size_asked_and_its_points_keep_their_names() -> None:
    for mirrored in (False, True):
        matrix = scenes._placement(head(), 72.0, 0.0, np.array([64.0, 64.0]), mirrored=mirrored)
        box = box_around(transform(matrix, OUTLINE))
        assert (box[2:] - box[:2]).tolist() == pytest.approx([64.0, 72.0], abs=1e-3)
        points = scenes._named_by_side(transform(matrix, POINTS), matrix)
        assert points[0, 0] < points[1, 0]
        assert points[3, 0] < points[4, 0]
    matrix = scenes._placement(head(), 72.0, 180.0, np.array([64.0, 64.0]), mirrored=False)
    points = scenes._named_by_side(transform(matrix, POINTS), matrix)
    assert points[0, 0] > points[1, 0]  # upside down, the first eye is at the right


def test_a_face_that_another_hides_does_not_count() -> None:
    made = canvas()
    under = scenes._placement(head(), 40.0, 0.0, np.array([64.0, 64.0]), mirrored=False)
    over = scenes._placement(head(), 90.0, 0.0, np.array([64.0, 64.0]), mirrored=False)
    half = scenes._placement(head(), 90.0, 0.0, np.array([128.0, 64.0]), mirrored=False)
    rng = np.random.default_rng(0)
    for number, matrix in enumerate((under, over, half), 1):
        scenes._paste_head(made, head(), matrix, number, "head", rng)
    told = scenes._described(made.frame, made.owner, [(head(), m) for m in (under, over, half)], 12.0)
    assert np.allclose(told.boxes, [box_around(transform(half, OUTLINE))], atol=1e-3)  # half of it is in the frame
    assert len(told.ignored) == 1  # of the second a strip is left; of the first nothing


def test_small_faces_are_ignored() -> None:
    made = canvas()
    matrix = scenes._placement(head(), 9.0, 0.0, np.array([64.0, 64.0]), mirrored=False)
    scenes._paste_head(made, head(), matrix, 1, "head", np.random.default_rng(0))
    told = scenes._described(made.frame, made.owner, [(head(), matrix)], 12.0)
    assert len(told.boxes) == 0
    assert len(told.ignored) == 1


def test_a_scene_is_a_function_of_its_generator() -> None:
    config = SceneConfig(empty=0.0)
    first, again, other = (compose(GROUND, config, 96, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first.frame == again.frame).all()
    assert np.array_equal(first.boxes, again.boxes)
    assert first.frame.shape == (96, 96, 3)
    assert not (first.frame == other.frame).all()


def test_empty_scenes_have_no_face_and_the_others_mostly_some() -> None:
    empty = [compose(GROUND, SceneConfig(empty=1.0), 64, np.random.default_rng(seed)) for seed in range(10)]
    assert all(len(scene.boxes) == 0 and len(scene.ignored) == 0 for scene in empty)
    full = [compose(GROUND, SceneConfig(empty=0.0), 64, np.random.default_rng(seed)) for seed in range(40)]
    assert np.mean([len(scene.boxes) > 0 for scene in full]) > 0.6
    assert max(len(scene.boxes) for scene in full) > 2
    sides = np.concatenate([(scene.boxes[:, 2:] - scene.boxes[:, :2]).max(1) for scene in full if len(scene.boxes)])
    assert sides.min() >= 12
    assert sides.max() > 40


def test_what_is_beside_a_face_shows_none_of_it() -> None:
    for seed in range(8):
        strip = scenes._beside_face(GROUND, np.random.default_rng(seed))
        assert strip.max() < 255


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 200])
def test_the_box_of_the_hull_is_the_box_of_all_points_however_turned(degrees: int) -> None:
    points = np.random.default_rng(1).normal(50, 9, (468, 2)).astype(np.float32)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 3], [s, c, 5]], np.float32)
    corners = hull(points)
    assert len(corners) < 60
    assert np.allclose(box_around(transform(turn, corners)), box_around(transform(turn, points)))


def test_views_of_one_place_are_of_one_split(tmp_path: Path) -> None:
    for place in range(30):
        for view in (0, 2, 4):
            (tmp_path / f"place{place}_{view}.jpg").touch()
    train, held = free_files([tmp_path], "train"), free_files([tmp_path], "val")
    assert len(train) + len(held) == 90
    assert 0 < len(held) < len(train)
    assert {path.stem.split("_")[0] for path in train}.isdisjoint(path.stem.split("_")[0] for path in held)


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(json.dumps({"faces": [{"file": "x"}]}), encoding="utf-8")
    with pytest.raises(BadInputError, match="teacher_boxes"):
        read_teacher_boxes(tmp_path / "boxes.json")
