"""Floors: the right answer, no change at all, a pasted face, a mean face."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.core.errors import NoFaceError
from facegraft.core.geometry import transform
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.evaluate.floors import FLOORS, MeanFace, blend, floors, paste_face, soft_oval
from facegraft.evaluate.protocol import Case
from facegraft.faces.analyse import Analyser
from facegraft.faces.topology import OVAL


@pytest.fixture(scope="module")
def analyser() -> Analyser:
    return Analyser()


def picture(root: Path, name: str, side: int = 256) -> Frame:
    frame = read_picture(root / f"examples/{name}.jpg").frame
    return np.asarray(cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def test_names_and_the_two_that_need_no_face(analyser: Analyser) -> None:
    frames = [np.full((8, 8, 3), grey, np.uint8) for grey in (10, 20, 30)]
    made = floors(analyser, list)
    assert tuple(made) == FLOORS
    case = Case("k", frames[0], frames[1], "a", "b", truth=frames[2])
    assert made["true-swap"].answer(case) is frames[2]
    assert made["copy"].answer(case) is frames[1]


def test_pasting_a_picture_into_itself_changes_nothing(root: Path, analyser: Analyser) -> None:
    frame = picture(root, "identity_1")
    pasted = paste_face(analyser, frame, frame).astype(int)
    assert np.abs(pasted - frame).max() <= 2  # resampled by nearly the identity transform


def test_a_pasted_face_has_the_colours_of_the_identity_and_lies_on_the_other(root: Path, analyser: Analyser) -> None:
    attribute = picture(root, "attribute_1")
    identity = picture(root, "identity_1")
    face = analyser.analyse(attribute)[0]
    pasted = paste_face(analyser, identity, attribute)
    changed = np.abs(pasted.astype(int) - attribute).max(2) > 0
    rows, columns = np.nonzero(changed)
    assert np.hypot(columns.mean() - face.dense[:, 0].mean(), rows.mean() - face.dense[:, 1].mean()) < 12
    assert not changed[:8].any()
    assert not changed[-8:].any()

    def between(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Mean colour of the box from the eyes to the mouth."""
        (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int)
        return np.asarray(frame[top:bottom, left:right].mean((0, 1)))

    theirs = between(identity, analyser.analyse(identity)[0].points5)
    given, ours = between(pasted, face.points5), between(attribute, face.points5)
    assert np.abs(given - theirs).max() < 10
    assert np.abs(ours - theirs).max() > 20, "these two people show nothing"


def test_no_face_is_an_error_that_counts_as_a_failure(analyser: Analyser, root: Path) -> None:
    empty = np.full((64, 64, 3), 90, np.uint8)
    with pytest.raises(NoFaceError):
        paste_face(analyser, empty, picture(root, "attribute_1"))
    with pytest.raises(NoFaceError):
        MeanFace(analyser, lambda: [empty]).onto(picture(root, "attribute_1"))


def test_the_mean_of_one_face_put_back_onto_it_is_that_face(root: Path, analyser: Analyser) -> None:
    frame = picture(root, "identity_1", 192)
    made = MeanFace(analyser, lambda: [frame]).onto(frame).astype(float)
    dense = analyser.analyse(frame, thorough=False)[0].dense[list(OVAL), :2]
    inside = soft_oval(dense, frame.shape[:2]) == 1
    assert np.abs(made - frame)[inside].mean() < 4
    turned = MeanFace(analyser, lambda: [np.ascontiguousarray(frame[:, ::-1])]).onto(frame).astype(float)
    assert np.abs(turned - frame)[inside].mean() > np.abs(made - frame)[inside].mean() + 1


def test_the_mean_lies_between_its_faces_and_is_made_once(root: Path, analyser: Analyser) -> None:
    names = ("identity_1", "identity_2")
    asked = []

    def identities() -> list[Frame]:
        asked.append(1)
        return [picture(root, name) for name in names]

    attribute = picture(root, "attribute_3")
    mean = MeanFace(analyser, identities)
    both = mean.onto(attribute).astype(float)
    assert np.array_equal(mean.onto(attribute), both)
    assert len(asked) == 1
    ones = [MeanFace(analyser, partial(list, [picture(root, name)])).onto(attribute).astype(float) for name in names]
    inside = soft_oval(analyser.analyse(attribute)[0].dense[list(OVAL), :2], attribute.shape[:2]) == 1
    low, high = np.minimum(*ones)[inside].mean(), np.maximum(*ones)[inside].mean()
    assert low < both[inside].mean() < high


def test_a_soft_oval_fades_inwards_only() -> None:
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.column_stack([50 + 30 * np.cos(angles), 40 + 30 * np.sin(angles)])
    mask = soft_oval(circle, (80, 100))
    y, x = np.mgrid[0.5:80, 0.5:100]
    radius = np.hypot(x - 50, y - 40)
    assert mask.shape == (80, 100)
    assert mask[radius > 31.5].max() == 0
    assert mask[radius < 30 - 0.08 * 60 - 1.5].min() == 1
    assert 0 < mask[(radius > 28) & (radius < 29)].mean() < 0.6
    moved = soft_oval(transform(np.array([[1, 0, 10], [0, 1, 0]], np.float32), circle), (80, 100))
    assert np.array_equal(moved[:, 10:], mask[:, :-10])


def test_blend_takes_over_where_the_mask_is_one() -> None:
    under, over = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 200, np.uint8)
    mask = np.array([[0, 1], [0.25, 0]], np.float32)
    assert blend(under, over, mask)[..., 0].tolist() == [[0, 200], [50, 0]]
