from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.provenance.watermark import MARK, embed_mark, find_mark, read_mark


def saved_as(form: str, quality: int) -> Callable[[Frame], Frame]:
    def save(frame: Frame) -> Frame:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, form, quality=quality)
        return np.asarray(Image.open(stream).convert("RGB"))

    return save


def halved_and_back(interpolation: int) -> Callable[[Frame], Frame]:
    def resize(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        small = cv2.resize(frame, (width // 2, height // 2), interpolation=interpolation)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)

    return resize


ATTACKS: dict[str, Callable[[Frame], Frame]] = {
    "none": lambda frame: frame,
    "jpeg 40": saved_as("JPEG", 40),
    "webp 80": saved_as("WEBP", 80),
    "halved, area": halved_and_back(cv2.INTER_AREA),
    "halved, linear": halved_and_back(cv2.INTER_LINEAR),
    "brighter": lambda frame: cv2.add(frame, (9, 9, 9, 0)),
    "half of it painted over": lambda frame: np.where(np.arange(frame.shape[1])[:, None] < 256, frame, 0).astype("u1"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("bits", [MARK, 0, 0xFFFFFFFF, 0x12345678])
def test_all_bits_survive(frame: Frame, attack: str, bits: int) -> None:
    read, confidence = read_mark(ATTACKS[attack](embed_mark(frame, bits)))
    assert f"{read:08x}" == f"{bits:08x}"
    assert confidence > 0.2


def test_the_mark_is_faint_and_without_colour(frame: Frame) -> None:
    marked = embed_mark(frame)
    change = marked.astype(np.int16) - frame
    assert 10 * np.log10(255**2 / np.mean(change.astype(float) ** 2)) > 43
    assert np.abs(change).max() <= 6
    unclipped = (frame > 6).all(axis=2) & (frame < 249).all(axis=2)
    assert (change[unclipped].max(axis=1) == change[unclipped].min(axis=1)).all()


def test_the_frame_passed_in_is_not_touched(frame: Frame) -> None:
    before = frame.copy()
    embed_mark(frame)
    np.testing.assert_array_equal(frame, before)


def test_marking_twice_hardly_changes_anything(frame: Frame) -> None:
    once = embed_mark(frame)
    assert np.abs(embed_mark(once).astype(int) - once).max() <= 1


@pytest.mark.parametrize("name", ["photo", "black", "white", "grey", "noise", "gradient", "stripes", "jpeg grid"])
def test_unmarked_frames_are_not_taken_for_marked(frame: Frame, name: str) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    unmarked = {
        "photo": frame,
        "black": np.zeros((512, 512, 3), np.uint8),
        "white": np.full((512, 512, 3), 255, np.uint8),
        "grey": np.full((512, 512, 3), 127, np.uint8),
        "noise": np.random.default_rng(3).integers(0, 256, (512, 512, 3), dtype=np.uint8),
        "gradient": np.broadcast_to(ramp[None, :, None], (512, 512, 3)).copy(),
        "stripes": np.broadcast_to(
            (np.arange(512) // 4 % 2 * 255).astype(np.uint8)[:, None, None], (512, 512, 3)
        ).copy(),
        "jpeg grid": saved_as("JPEG", 10)(frame),
    }[name]
    assert not find_mark(unmarked).found
    assert read_mark(unmarked)[1] < 0.12


def test_cropping_loses_the_mark(frame: Frame) -> None:
    """Stated as a limit in the documentation; if this fails, the documentation is too modest."""
    assert not find_mark(embed_mark(frame)[3:, 5:]).found


@pytest.mark.parametrize(("height", "width"), [(96, 96), (97, 103), (384, 509), (64, 700)])
def test_odd_and_small_sizes(frame: Frame, height: int, width: int) -> None:
    part = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    marked = embed_mark(part)
    assert find_mark(marked).found
    rows, columns = height // 8 * 8, width // 8 * 8
    np.testing.assert_array_equal(marked[rows:], part[rows:])
    np.testing.assert_array_equal(marked[:, columns:], part[:, columns:])


@pytest.mark.parametrize("shape", [(0, 0), (5, 300), (88, 80)])
def test_too_small_frames_are_refused_and_read_as_nothing(shape: tuple[int, int]) -> None:
    small = np.zeros((*shape, 3), np.uint8)
    assert read_mark(small) == (0, 0.0)
    with pytest.raises(BadInputError, match="leave small pictures unmarked"):
        embed_mark(small)


@pytest.mark.parametrize("bits", [-1, 1 << 32])
def test_more_than_32_bits_are_refused(frame: Frame, bits: int) -> None:
    with pytest.raises(BadInputError, match="32 bits"):
        embed_mark(frame, bits)


def test_the_plan_never_changes() -> None:
    """Marks written today must be readable by every later version."""
    flat = np.full((96, 96, 3), 128, np.uint8)
    marked = embed_mark(flat)
    corners = marked[::8, ::8, 0].diagonal().astype(int)  # first pixel of twelve blocks
    assert np.abs(corners - [132, 126, 127, 130, 129, 127, 132, 133, 125, 126, 131, 131]).max() <= 1


@pytest.mark.skipif("FACEGRAFT_DATA" not in os.environ, reason="FACEGRAFT_DATA does not name the test photos")
def test_real_photos() -> None:
    for path in sorted((Path(os.environ["FACEGRAFT_DATA"]) / "photos").glob("*.jpg"))[::5]:
        with Image.open(path) as picture:
            photo = picture.convert("RGB")
        photo.thumbnail((512, 512))
        frame = np.asarray(photo)
        assert not find_mark(frame).found
        for name, attack in ATTACKS.items():
            if name != "half of it painted over":
                assert find_mark(attack(embed_mark(frame))).found, (path.name, name)
