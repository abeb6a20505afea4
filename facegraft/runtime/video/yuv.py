"""Patches into the original Y'CbCr planes, and planes to RGB for analysis.

Only the box of a patch is touched, at the picture's own depth and subsampling; every other code value stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from jaxtyping import Float32

from facegraft.core.types import Frame, Patch

BT709, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020, BT2020_CL = 1, 4, 5, 6, 7, 9, 10
_KR_KB = {
    BT709: (0.2126, 0.0722),
    FCC: (0.30, 0.11),
    BT470BG: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}


@dataclass(frozen=True)
class Layout:
    """How a pixel format stores a picture."""

    bits: int
    shift_x: int
    shift_y: int
    interleaved_chroma: bool = False


def _layouts() -> dict[str, Layout]:
    layouts = {"nv12": Layout(8, 1, 1, True), "nv16": Layout(8, 1, 0, True)}
    for name, shift_x, shift_y in (("420", 1, 1), ("422", 1, 0), ("444", 0, 0)):
        layouts[f"yuv{name}p"] = layouts[f"yuvj{name}p"] = Layout(8, shift_x, shift_y)
        for bits in (10, 12):
            layouts[f"yuv{name}p{bits}le"] = Layout(bits, shift_x, shift_y)
    return layouts


LAYOUTS = _layouts()
"""Formats whose planes are edited in place; every other one is converted to one of these first."""


def matrix_of(colorspace: int, size_hw: tuple[int, int]) -> int:
    """The matrix to compute with; without a tag (or with one we do not know) BT.709 from 720 lines on, else BT.601."""
    if colorspace in _KR_KB:
        return colorspace
    if colorspace == SMPTE170M:
        return BT470BG
    if colorspace == BT2020_CL:
        return BT2020
    return BT709 if size_hw[0] >= 720 or size_hw[1] >= 1280 else BT470BG


def is_full_range(frame: av.VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def delta_weights(matrix: int, *, full_range: bool, bits: int) -> Float32[np.ndarray, "3 3"]:
    """Takes a difference of 8-bit RGB (0..255) to the difference of Y', Cb, Cr in code values of `bits` bits."""
    red, blue = _KR_KB[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    top = 2**bits - 1
    luma_span, chroma_span = (top, top) if full_range else (219 * 2 ** (bits - 8), 224 * 2 ** (bits - 8))
    return (np.stack([luma * luma_span, cb * chroma_span, cr * chroma_span]) / 255).astype(np.float32)


def plane_arrays(frame: av.VideoFrame) -> list[np.ndarray]:
    """Writable views of the planes, without padding; interleaved chroma as height x width x 2."""
    layout = LAYOUTS[frame.format.name]
    kind = np.uint8 if layout.bits == 8 else np.uint16
    arrays: list[np.ndarray] = []
    for number, plane in enumerate(frame.planes):
        if plane.line_size <= 0:
            raise ValueError(f"pictures stored bottom-up are not supported, found line size {plane.line_size}")
        size = np.dtype(kind).itemsize
        shape: tuple[int, ...] = (plane.height, plane.width)
        strides: tuple[int, ...] = (plane.line_size, size)
        if number == 1 and layout.interleaved_chroma:
            shape, strides = (*shape, 2), (plane.line_size, 2 * size, size)
        arrays.append(np.ndarray(shape, kind, buffer=memoryview(plane), strides=strides))
    return arrays


def paste_planes(frame: av.VideoFrame, patches: list[Patch], matrix: int) -> None:
    """Adds patches to a frame's planes, in place.

    The decoder may still read the frame's memory to predict later frames, so it is copied first if it is shared.

    Args:
        frame: In one of `LAYOUTS`.
        patches: In the coded orientation.
        matrix: From `matrix_of`.

    Raises:
        ValueError: A patch reaches outside the frame or holds NaN or infinity.
    """
    if not patches:
        return
    frame.make_writable()
    layout = LAYOUTS[frame.format.name]
    weights = delta_weights(matrix, full_range=is_full_range(frame), bits=layout.bits)
    planes = plane_arrays(frame)
    for patch in patches:
        _check(patch, frame.height, frame.width)
        add_patch(planes, layout, weights, patch)


def add_patch(planes: list[np.ndarray], layout: Layout, weights: Float32[np.ndarray, "3 3"], patch: Patch) -> None:
    """Adds one patch that lies inside the picture; rounded, clipped to the code values of the depth."""
    height, width = patch.delta.shape[:2]
    luma = cv2.transform(patch.delta, weights[:1])
    _add(planes[0], patch.top, patch.left, luma.reshape(height, width), layout.bits)
    if len(planes) == 1:
        return
    small, top, left = _to_chroma_grid(patch, layout, planes[0].shape)
    chroma = cv2.transform(small, weights[1:]).reshape(*small.shape[:2], 2)
    if layout.interleaved_chroma:
        _add(planes[1], top, left, chroma, layout.bits)
        return
    for plane, part in zip(planes[1:3], cv2.split(chroma), strict=True):
        _add(plane, top, left, part, layout.bits)


def _add(plane: np.ndarray, top: int, left: int, difference: np.ndarray, bits: int) -> None:
    region = plane[top : top + difference.shape[0], left : left + difference.shape[1]]
    mixed = cv2.add(region, difference, dtype=cv2.CV_8U if bits == 8 else cv2.CV_16U)
    if bits != 8:
        np.minimum(mixed, 2**bits - 1, out=mixed)
    region[...] = mixed.reshape(region.shape)


def _to_chroma_grid(
    patch: Patch, layout: Layout, luma_shape: tuple[int, ...]
) -> tuple[Float32[np.ndarray, "h w 3"], int, int]:
    """The patch averaged over the samples' cells, with the row and column of its first sample.

    Outside the patch the difference is 0; outside the picture (odd sizes) the last column or row repeats.
    """
    height, width = patch.delta.shape[:2]
    step_y, step_x = 1 << layout.shift_y, 1 << layout.shift_x
    top, left = patch.top // step_y, patch.left // step_x
    rows = -(-(patch.top + height) // step_y) - top
    columns = -(-(patch.left + width) // step_x) - left
    if step_x == step_y == 1:
        return patch.delta, top, left
    delta = patch.delta
    if (rows * step_y, columns * step_x) != (height, width):
        above, before = patch.top - top * step_y, patch.left - left * step_x
        delta = np.zeros((rows * step_y, columns * step_x, 3), np.float32)
        delta[above : above + height, before : before + width] = patch.delta
        if patch.top + height == luma_shape[0]:
            delta[above + height :] = delta[above + height - 1]
        if patch.left + width == luma_shape[1]:
            delta[:, before + width :] = delta[:, before + width - 1 : before + width]
    return cv2.resize(delta, (columns, rows), interpolation=cv2.INTER_AREA), top, left


def _check(patch: Patch, height: int, width: int) -> None:
    rows, columns = patch.delta.shape[:2]
    inside = 0 <= patch.top <= patch.top + rows <= height and 0 <= patch.left <= patch.left + columns <= width
    if not inside or rows == 0 or columns == 0:
        raise ValueError(
            f"a patch must lie inside the {width}x{height} frame, "
            f"found {columns}x{rows} at {patch.left},{patch.top} (coded orientation)"
        )
    if not cv2.checkRange(patch.delta)[0]:
        raise ValueError(f"a patch must be finite, found NaN or infinity in the one at {patch.left},{patch.top}")


class Converter:
    """Converts frames; keeps the scaler's tables between calls, so each thread has its own."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._to_rgb = VideoReformatter()
        self._to_format = VideoReformatter()

    def rgb(self, frame: av.VideoFrame, matrix: int) -> Frame:
        """The coded picture as read-only RGB, by its matrix and range."""
        picture = self._to_rgb.reformat(
            frame,
            format="rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            dst_color_range=ColorRange.JPEG,
            threads=self._threads,
        )
        plane = picture.planes[0]
        shape = (picture.height, picture.width, 3)
        rgb = np.ascontiguousarray(np.ndarray(shape, np.uint8, memoryview(plane), strides=(plane.line_size, 3, 1)))
        rgb.flags.writeable = False
        return rgb

    def to_format(self, frame: av.VideoFrame, pixel_format: str, size_hw: tuple[int, int]) -> av.VideoFrame:
        """The frame in this format and size; itself if it is so already. Y'CbCr keeps its matrix and range."""
        if frame.format.name == pixel_format and (frame.height, frame.width) == size_hw:
            return frame
        if frame.format.name.startswith("gray"):
            return _gray_to_420(frame, pixel_format, size_hw)
        from_rgb = frame.format.is_rgb or frame.format.has_palette
        matrix = matrix_of(2 if from_rgb else frame.colorspace, size_hw)
        full = not from_rgb and is_full_range(frame)
        converted = self._to_format.reformat(
            frame,
            width=size_hw[1],
            height=size_hw[0],
            format=pixel_format,
            src_colorspace=None if from_rgb else matrix,
            dst_colorspace=matrix,
            src_color_range=ColorRange.JPEG if full or from_rgb else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            threads=self._threads,
        )
        return _with_times(converted, frame)


def _gray_to_420(frame: av.VideoFrame, pixel_format: str, size_hw: tuple[int, int]) -> av.VideoFrame:
    """Luma as it is with neutral chroma: monochrome H.264 is legal, but few players show it."""
    if (frame.height, frame.width) != size_hw or frame.format.components[0].bits != LAYOUTS[pixel_format].bits:
        scaled = VideoReformatter().reformat(
            frame, size_hw[1], size_hw[0], "gray" if LAYOUTS[pixel_format].bits == 8 else f"gray{pixel_format[7:]}"
        )
        return _gray_to_420(_with_times(scaled, frame), pixel_format, size_hw)
    full = av.VideoFrame(frame.width, frame.height, pixel_format)
    luma, cb, cr = plane_arrays(full)
    plane = frame.planes[0]
    luma[...] = np.ndarray(luma.shape, luma.dtype, memoryview(plane), strides=(plane.line_size, luma.itemsize))
    cb[...] = cr[...] = 1 << (LAYOUTS[pixel_format].bits - 1)
    full.colorspace, full.color_range = frame.colorspace, frame.color_range
    return _with_times(full, frame)


def pad_to_even(frame: av.VideoFrame, size_hw: tuple[int, int]) -> av.VideoFrame:
    """The frame with its last column and row repeated up to `size_hw`, at most one of each."""
    padded = av.VideoFrame(size_hw[1], size_hw[0], frame.format.name)
    for old, new in zip(plane_arrays(frame), plane_arrays(padded), strict=True):
        rows, columns = old.shape[:2]
        new[:rows, :columns] = old
        new[rows:, :columns] = old[-1:]
        new[:, columns:] = new[:, columns - 1 : columns]
    padded.colorspace, padded.color_range = frame.colorspace, frame.color_range
    padded.color_primaries, padded.color_trc = frame.color_primaries, frame.color_trc
    return _with_times(padded, frame)


def _with_times(new: av.VideoFrame, old: av.VideoFrame) -> av.VideoFrame:
    new.pts, new.time_base, new.duration = old.pts, old.time_base or Fraction(1, 1000), old.duration
    return new
