"""The way back into the frame, against closed forms: nothing moves, nothing outside changes, grain comes along."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegraft.core.geometry import warp
from facegraft.core.types import Face, Frame, Patch, paste
from facegraft.faces.align import alignment
from facegraft.faces.visible import Uncovered
from facegraft.runtime.blend import outline, put_back
from tests.faces.drawn import as_faces, posed

SIZE_WH = (480, 400)
AT = (240, 220)
SIDE = 64


def face_of(**pose: object) -> Face:
    return as_faces(posed(**({"size": 90, "at": AT} | pose)))[0]  # type: ignore[arg-type]  # a test's own words


def slope() -> Frame:
    """Rises by 2 levels per 3 pixels to the right and by as much downwards."""
    x, y = np.meshgrid(np.arange(SIZE_WH[0]), np.arange(SIZE_WH[1]))
    return np.stack([x / 2, y / 2, 240 - x / 2], axis=-1).astype(np.uint8)


def put(
    frame: Frame,
    face: Face,
    image: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    uncovered: Uncovered | None = None,
    side: int = SIDE,
    tone: float = 0.0,
) -> Patch | None:
    """With the crop itself as the network's picture unless another is given, and in its own tone."""
    matrix = alignment(face.points5, "arcface_112_v1", side)
    crop = warp(frame, matrix, (side, side))
    mask = np.ones((side, side), np.float32) if mask is None else mask
    image = crop if image is None else image
    return put_back(frame, face, matrix, crop, image.astype(np.float32), mask.astype(np.float32), uncovered, tone)


def whole(patch: Patch | None, size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """The change over the whole frame."""
    assert patch is not None
    height, width = patch.delta.shape[:2]
    delta = np.zeros((size_wh[1], size_wh[0], 3), np.float32)
    delta[patch.top : patch.top + height, patch.left : patch.left + width] = patch.delta
    return delta


WHITE = np.full((SIDE, SIDE, 3), 255.0)


@pytest.mark.parametrize("side", [SIDE, 400])
@pytest.mark.parametrize("roll", [0, 35])
def test_a_crop_that_nobody_changed_goes_back_to_its_place(side: int, roll: float) -> None:
    """Half a pixel of shift in the crop would be 1 to 2 levels of this slope."""
    delta = whole(put(slope(), face_of(roll=roll), side=side))
    assert np.abs(delta).max() < 1.5
    assert np.abs(delta.mean(axis=(0, 1))).max() < 0.05


def test_only_the_face_changes_up_to_the_hair() -> None:
    face, frame = face_of(), np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)
    delta = whole(put(frame, face, WHITE))
    inside = cv2.fillPoly(np.zeros(frame.shape[:2], np.uint8), [np.rint(outline(face.dense)).astype(np.int32)], 1)
    far = cv2.dilate(inside, np.ones((13, 13), np.uint8)) == 0
    assert not delta[far].any()
    x, y = face.dense[1, :2].astype(int)  # the nose
    assert np.allclose(delta[y, x], 165, atol=1)
    top = int(face.dense[:, 1].min())
    assert np.allclose(delta[top - 15, x], 165, atol=1), "the forehead lies above the mesh"
    assert not delta[: top - 90].any()


def test_what_lies_before_the_face_stays() -> None:
    face, frame = face_of(), np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)
    share = np.ones((SIZE_WH[1], SIZE_WH[0]), np.float32)
    x, y = face.dense[1, :2].astype(int)
    share[:, x:] = 0
    delta = whole(put(frame, face, WHITE, uncovered=Uncovered(share, np.eye(2, 3, dtype=np.float32))))
    assert not delta[:, x + 8 :].any()
    assert np.allclose(delta[y, x - 12], 165, atol=1)
    ramp = delta[y, x - 8 : x + 8, 0]
    assert (np.diff(ramp) < 1e-3).all()
    assert abs(float(ramp.sum()) / 165 - 8) < 1, "half-way where the edge lies"


def test_the_networks_mask_decides_too() -> None:
    face, frame = face_of(), np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)
    mask = np.zeros((SIDE, SIDE))
    mask[:, : SIDE // 2] = 0.5
    delta = whole(put(frame, face, WHITE, mask))
    x, y = face.dense[1, :2].astype(int)
    assert np.allclose(delta[y, x - 20], 82.5, atol=1)
    assert not delta[:, x + 20 :].any()


def test_a_crop_ends_softly_where_it_is_smaller_than_the_face() -> None:
    """No straight edge: what lies beyond the crop is nobody's."""
    face, frame = face_of(), np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)
    matrix = alignment(face.points5, "styleganex_384", SIDE) * np.float32(2.5)
    matrix[:, 2] -= 1.5 * SIDE / 2
    patch = put_back(
        frame,
        face,
        matrix,
        warp(frame, matrix, (SIDE, SIDE)),
        WHITE.astype(np.float32),
        np.ones((SIDE, SIDE), np.float32),
        tone=0,
    )
    delta = whole(patch)
    assert np.isclose(delta.max(), 165, atol=1)
    assert np.abs(np.diff(delta, axis=0)).max() < 90


TINT = np.float32([1.15, 0.9, 0.7])


def tinted(face: Face, frame: Frame, tint: np.ndarray = TINT) -> np.ndarray:
    """The crop in another light or skin: each channel times its factor."""
    matrix = alignment(face.points5, "arcface_112_v1", SIDE)
    return warp(frame, matrix, (SIDE, SIDE)) * tint


def middle(face: Face, side: int = 60) -> tuple[slice, slice]:
    x, y = face.dense[4, :2].astype(int)
    return slice(y - side // 2, y + side // 2), slice(x - side // 2, x + side // 2)


def test_a_face_takes_over_the_tone_of_its_place() -> None:
    face, frame = face_of(), np.clip(slope() // 2 + 60, 0, 200).astype(np.uint8)
    swapped, at = tinted(face, frame), middle(face)
    own, taken, half = (whole(put(frame, face, swapped, tone=tone)) for tone in (0, 1, 0.5))
    expected = frame[at] * (TINT - 1)
    assert np.abs(own[at] - expected).max() < 4
    assert np.abs(taken[at]).max() < 2.5
    assert np.abs(half[at] - frame[at] * (np.sqrt(TINT) - 1)).max() < 4
    default = put_back(
        frame,
        face,
        alignment(face.points5, "arcface_112_v1", SIDE),
        warp(frame, alignment(face.points5, "arcface_112_v1", SIDE), (SIDE, SIDE)),
        swapped.astype(np.float32),
        np.ones((SIDE, SIDE), np.float32),
    )
    assert np.array_equal(whole(default), taken), "unless somebody says otherwise"


def test_tone_leaves_features_as_they_are() -> None:
    """Stripes as wide as a brow keep their contrast, whatever the tone becomes."""
    face, frame = face_of(), np.full((SIZE_WH[1], SIZE_WH[0], 3), 120, np.uint8)
    swapped = tinted(face, frame)
    swapped[np.arange(SIDE) // 3 % 4 == 0] *= 0.5
    rows = whole(put(frame, face, swapped, tone=1))[middle(face)].mean(axis=1) + 120
    kept = whole(put(frame, face, swapped, tone=0))[middle(face)].mean(axis=1) + 120
    assert np.allclose(rows.min(axis=0) / rows.max(axis=0), kept.min(axis=0) / kept.max(axis=0), atol=0.06)
    assert np.allclose(rows.mean(axis=0), 120, atol=12), "of the frame's brightness in the mean"
    assert np.ptp(rows.mean(axis=0)) < 2, "and without the tint"


def test_what_hides_a_face_says_nothing_of_its_tone() -> None:
    """A red hand over half of the face: the other half stays grey."""
    face, frame = face_of(), np.full((SIZE_WH[1], SIZE_WH[0], 3), 110, np.uint8)
    x = int(face.dense[1, 0])
    frame[:, x:] = (200, 20, 20)
    share = np.ones((SIZE_WH[1], SIZE_WH[0]), np.float32)
    share[:, x:] = 0
    grey = np.full((SIDE, SIDE, 3), 90.0)
    delta = whole(put(frame, face, grey, uncovered=Uncovered(share, np.eye(2, 3, dtype=np.float32)), tone=1))
    y = int(face.dense[1, 1])
    left = delta[y - 20 : y + 20, x - 40 : x - 12]
    assert np.abs(left).max() < 3


@pytest.mark.parametrize("level", [0, 255])
def test_a_face_without_any_tone_stays_within_bounds(level: int) -> None:
    face, frame = face_of(), np.full((SIZE_WH[1], SIZE_WH[0], 3), 60, np.uint8)
    delta = whole(put(frame, face, np.full((SIDE, SIDE, 3), float(level)), tone=1))
    assert np.isfinite(delta).all()
    assert (frame + delta).min() > -1
    assert (frame + delta).max() < 256
    assert np.abs(delta[middle(face)]).max() < (60.1 if level == 0 else 20), "255 / 60 is beyond the largest factor"


def test_grain_that_the_crop_loses_comes_back_and_edges_do_not() -> None:
    """The face fills so much of the frame that a crop holds a ninth of its pixels."""
    size_wh, face = (900, 800), face_of(size=240, at=(450, 440))
    noise = np.random.default_rng(0).normal(0, 3, (800, 900, 1))
    frame = np.rint(120 + noise + np.zeros(3)).astype(np.uint8)
    flat = np.full((SIDE, SIDE, 3), 120.0)
    x, y = face.dense[4, :2].astype(int)
    cut = (slice(y - 60, y + 60), slice(x - 60, x + 60))
    out = frame.copy()
    paste(out, [patch] if (patch := put(frame, face, flat)) else [])
    assert 0.6 < out[cut].std() / frame[cut].std() <= 1
    stripes = frame.copy()
    stripes[:, ::8] = stripes[:, 1::8] = 220
    assert whole(put(stripes, face, flat), size_wh)[cut].std() > 0.8 * stripes[cut].std(), "they are taken away"


def test_a_soft_frame_gets_a_soft_face() -> None:
    """A small face in a blurred frame; the network's picture is full of detail."""
    face = face_of(size=40)
    frame = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (400, 480, 3), np.uint8), (0, 0), 3)
    side = 256
    sharp = np.random.default_rng(2).integers(0, 255, (32, 32, 3)).repeat(8, 0).repeat(8, 1).astype(np.float32)
    x, y = face.dense[4, :2].astype(int)
    cut = (slice(y - 14, y + 14), slice(x - 14, x + 14))
    out = frame.astype(np.float32) + whole(put(frame, face, sharp, np.ones((side, side)), side=side))
    matrix = alignment(face.points5, "arcface_112_v1", side)
    plain = warp(sharp, np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2].astype(np.float32), SIZE_WH)
    assert np.abs(np.diff(out[cut], axis=1)).mean() < 0.8 * np.abs(np.diff(plain[cut], axis=1)).mean()


@pytest.mark.parametrize("at", [(-400, 100), (240, 900)])
def test_a_face_outside_gives_nothing(at: tuple[float, float]) -> None:
    assert put(slope(), face_of(at=at)) is None


@pytest.mark.parametrize("pose", [{"yaw": 60}, {"roll": 170}, {"pitch": 40}, {"size": 1500}, {"at": (0, 0)}])
def test_any_pose_and_place_gives_a_patch_inside_the_frame(pose: dict[str, object]) -> None:
    patch = put(slope(), face_of(**pose), WHITE)
    assert patch is not None
    assert np.isfinite(patch.delta).all()
    assert np.abs(patch.delta).max() > 0
    assert min(patch.left, patch.top) >= 0
    assert patch.left + patch.delta.shape[1] <= SIZE_WH[0]
    assert patch.top + patch.delta.shape[0] <= SIZE_WH[1]
