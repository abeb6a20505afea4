"""Patches in Y'CbCr planes: against swscale, against plain float arithmetic, and untouched outside the box."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.types import Patch
from facegraft.runtime.video.yuv import (
    BT470BG,
    BT709,
    BT2020,
    LAYOUTS,
    Converter,
    delta_weights,
    is_full_range,
    matrix_of,
    paste_planes,
    plane_arrays,
)

FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "yuv422p12le", "yuv444p10le"]


def noisy_frame(name: str, height: int = 48, width: int = 64, seed: int = 0) -> av.VideoFrame:
    """Legal random code values in the middle of the range, so that nothing clips."""
    rng = np.random.default_rng(seed)
    frame = av.VideoFrame(width, height, name)
    frame.colorspace, frame.color_range = BT709, 2 if name.startswith("yuvj") else 1
    scale = 2 ** (LAYOUTS[name].bits - 8)
    for plane in plane_arrays(frame):
        plane[...] = rng.integers(90 * scale, 150 * scale, plane.shape)
    return frame


def copies(frame: av.VideoFrame) -> list[np.ndarray]:
    return [plane.copy() for plane in plane_arrays(frame)]


def float_result(planes: list[np.ndarray], name: str, patch: Patch, matrix: int, full_range: bool) -> list[np.ndarray]:
    """The same by the textbook: differences of Y', Cb, Cr for each pixel, chroma averaged over its cell."""
    layout = LAYOUTS[name]
    red, blue = {BT709: (0.2126, 0.0722), BT470BG: (0.299, 0.114), BT2020: (0.2627, 0.0593)}[matrix]
    height, width = planes[0].shape
    delta = np.zeros((height, width, 3))
    rows, columns = patch.delta.shape[:2]
    delta[patch.top : patch.top + rows, patch.left : patch.left + columns] = patch.delta / 255
    luma = red * delta[..., 0] + (1 - red - blue) * delta[..., 1] + blue * delta[..., 2]
    cb = (delta[..., 2] - luma) / (2 * (1 - blue))
    cr = (delta[..., 0] - luma) / (2 * (1 - red))
    top = 2**layout.bits - 1
    y_span, c_span = (top, top) if full_range else (219 << layout.bits - 8, 224 << layout.bits - 8)
    step_y, step_x = 1 << layout.shift_y, 1 << layout.shift_x
    small = [
        part.reshape(height // step_y, step_y, width // step_x, step_x).mean(axis=(1, 3)) * c_span for part in (cb, cr)
    ]
    moves = [luma * y_span, np.stack(small, 2)] if layout.interleaved_chroma else [luma * y_span, *small]
    return [np.clip(plane + move, 0, top) for plane, move in zip(planes, moves, strict=True)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("matrix", [BT709, BT470BG, BT2020])
def test_a_patch_is_added_as_the_textbook_says(name: str, matrix: int) -> None:
    frame = noisy_frame(name)
    before = copies(frame)
    delta = np.random.default_rng(1).normal(0, 25, (21, 27, 3)).astype(np.float32)
    patch = Patch(left=13, top=9, delta=delta)
    paste_planes(frame, [patch], matrix)
    for plane, wanted in zip(
        plane_arrays(frame), float_result(before, name, patch, matrix, name.startswith("yuvj")), strict=True
    ):
        assert np.abs(plane - wanted).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("name", FORMATS)
def test_code_values_outside_the_box_stay(name: str) -> None:
    frame = noisy_frame(name)
    before = copies(frame)
    paste_planes(frame, [Patch(left=11, top=7, delta=np.full((20, 30, 3), 40, np.float32))], BT709)
    layout = LAYOUTS[name]
    for number, (plane, old) in enumerate(zip(plane_arrays(frame), before, strict=True)):
        shift_y, shift_x = (layout.shift_y, layout.shift_x) if number else (0, 0)
        inside = np.zeros(plane.shape[:2], bool)
        inside[7 >> shift_y : (26 >> shift_y) + 1, 11 >> shift_x : (40 >> shift_x) + 1] = True
        assert (plane[~inside] == old[~inside]).all()
        assert number > 0 or (plane[inside] != old[inside]).all()


def test_a_zero_difference_changes_nothing() -> None:
    frame = noisy_frame("yuv420p10le")
    before = copies(frame)
    paste_planes(frame, [Patch(left=1, top=1, delta=np.zeros((40, 50, 3), np.float32))], BT709)
    assert all((plane == old).all() for plane, old in zip(plane_arrays(frame), before, strict=True))


@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le", "yuvj444p"])
@pytest.mark.parametrize("tag", [1, 5, 6, 9, 2])
def test_swapped_colours_come_back_through_swscale(name: str, tag: int) -> None:
    """RGB by swscale, a wanted colour as a difference, pasted, RGB by swscale again: the wanted colour."""
    frame = noisy_frame(name, 720, 64)  # 720 lines: without a tag the matrix is BT.709
    frame.colorspace = tag
    matrix = matrix_of(tag, (720, 64))
    converter = Converter()
    rgb = converter.rgb(frame, matrix)
    wanted = np.random.default_rng(3).integers(60, 190, rgb.shape).astype(np.float32)
    wanted = wanted.reshape(720, 16, 4, 3).mean(axis=2, keepdims=True).repeat(4, axis=2).reshape(rgb.shape)
    paste_planes(frame, [Patch(left=0, top=0, delta=wanted - rgb)], matrix)
    assert np.abs(converter.rgb(frame, matrix) - wanted).max() <= 4  # rounding of two conversions


@pytest.mark.parametrize(("top", "left"), [(0, 0), (30, 40), (1, 0), (29, 39)])
def test_odd_sizes_at_the_border(top: int, left: int) -> None:
    """359x641-like pictures: the last chroma column stands for one luma column."""
    frame = noisy_frame("yuv420p", 51, 63)
    delta = np.full((51 - top, 63 - left, 3), 30, np.float32)
    before = copies(frame)
    paste_planes(frame, [Patch(left=left, top=top, delta=delta)], BT709)
    luma, cb, cr = plane_arrays(frame)
    assert (luma[top:, left:] == before[0][top:, left:] + round(30 * 219 / 255)).all()
    assert (cb == before[1]).all()  # gray differences have no chroma
    assert (cr == before[2]).all()


def test_chroma_at_an_odd_right_edge_counts_only_pixels_that_exist() -> None:
    frame = noisy_frame("yuv420p", 51, 63)
    before = copies(frame)
    delta = np.zeros((51, 63, 3), np.float32)
    delta[..., 2] = 50
    paste_planes(frame, [Patch(left=0, top=0, delta=delta)], BT709)
    moved = plane_arrays(frame)[1].astype(int) - before[1]
    assert (moved == round(50 * 0.5 * 224 / 255)).all()


def test_values_are_clipped_to_the_depth() -> None:
    frame = noisy_frame("yuv420p10le")
    paste_planes(frame, [Patch(left=0, top=0, delta=np.full((8, 8, 3), 255, np.float32))], BT709)
    assert plane_arrays(frame)[0][:8, :8].max() == 1023
    paste_planes(frame, [Patch(left=0, top=0, delta=np.full((8, 8, 3), -800, np.float32))], BT709)
    assert plane_arrays(frame)[0][:8, :8].max() == 0


@pytest.mark.parametrize(("left", "top"), [(-1, 0), (60, 0), (0, 47)])
def test_a_patch_outside_the_frame_is_an_error(left: int, top: int) -> None:
    with pytest.raises(ValueError, match="must lie inside the 64x48 frame"):
        paste_planes(noisy_frame("yuv420p"), [Patch(left=left, top=top, delta=np.ones((8, 8, 3), np.float32))], BT709)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_patch_that_is_not_finite_is_an_error(bad: float) -> None:
    delta = np.zeros((8, 8, 3), np.float32)
    delta[3, 4, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        paste_planes(noisy_frame("yuv420p"), [Patch(left=0, top=0, delta=delta)], BT709)


@given(red=st.integers(0, 255), green=st.integers(0, 255), blue=st.integers(0, 255), full=st.booleans())
def test_weights_keep_gray_gray_and_scale_by_depth(red: int, green: int, blue: int, full: bool) -> None:
    colour = np.array([red, green, blue], np.float32)
    eight = delta_weights(BT709, full_range=full, bits=8) @ colour
    ten = delta_weights(BT709, full_range=full, bits=10) @ colour
    assert ten == pytest.approx(eight * (1023 / 255 if full else 4), abs=1e-2)
    gray = delta_weights(BT709, full_range=full, bits=8) @ np.full(3, red, np.float32)
    assert gray[1:] == pytest.approx([0, 0], abs=1e-3)


def test_untagged_pictures_are_709_from_hd_on() -> None:
    assert matrix_of(2, (576, 720)) == BT470BG
    assert matrix_of(2, (720, 1280)) == BT709
    assert matrix_of(6, (2160, 3840)) == BT470BG


def test_rgb_of_untagged_hd_is_by_709() -> None:
    frame = av.VideoFrame(1280, 720, "yuv420p")
    for plane, value in zip(plane_arrays(frame), (120, 110, 150), strict=True):
        plane[...] = value
    rgb = Converter().rgb(frame, matrix_of(2, (720, 1280)))
    assert not rgb.flags.writeable
    assert rgb[100, 100] == pytest.approx([160.5, 113.2, 83.1], abs=1.5)


@pytest.mark.parametrize(("name", "target"), [("gray", "yuv420p"), ("gray10le", "yuv420p10le"), ("nv12", "yuv420p")])
def test_luma_survives_conversion_exactly(name: str, target: str) -> None:
    rng = np.random.default_rng(0)
    frame = av.VideoFrame(64, 48, name)
    kind = np.uint16 if "10" in name else np.uint8
    plane = frame.planes[0]
    luma = np.ndarray((48, 64), kind, memoryview(plane), strides=(plane.line_size, np.dtype(kind).itemsize))
    luma[...] = rng.integers(0, 1024 if "10" in name else 256, luma.shape)
    if name == "nv12":
        plane_arrays(frame)[1][...] = 128
    converted = Converter().to_format(frame, target, (48, 64))
    planes = plane_arrays(converted)
    assert (planes[0] == luma).all()
    assert (planes[1] == (512 if "10" in name else 128)).all()


def test_full_range_stays_full_range_without_the_j_formats() -> None:
    frame = noisy_frame("yuvj420p")
    before = copies(frame)
    converted = Converter().to_format(frame, "yuv420p", (48, 64))
    assert is_full_range(converted)
    assert all((new == old).all() for new, old in zip(plane_arrays(converted), before, strict=True))
