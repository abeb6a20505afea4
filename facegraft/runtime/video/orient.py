"""Display matrices: coded pictures to upright ones and patches back, exactly, for all eight orientations."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData

from facegraft.core.types import Frame, Patch

_ONE = 1 << 16


@dataclass(frozen=True)
class Orientation:
    """Upright = the coded picture, transposed if so, then flipped left-right and top-bottom if so."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False


UPRIGHT = Orientation()


def side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """What the decoder attached to a frame, by FFmpeg's name for it."""
    try:
        parts = cast(Iterable[SideData], frame.side_data)
        return {part.type.name: bytes(part) for part in parts}
    except ValueError:  # a kind that PyAV does not know hides the others
        turn = {
            90: (0, -_ONE, _ONE, 0),
            -90: (0, _ONE, -_ONE, 0),
            180: (-_ONE, 0, 0, -_ONE),
            -180: (-_ONE, 0, 0, -_ONE),
        }
        if frame.rotation not in turn:
            return {}
        a, b, c, d = turn[frame.rotation]
        return {"DISPLAYMATRIX": struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)}


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine integers of the frame's display matrix, or None without one."""
    data = side_data(frame).get("DISPLAYMATRIX")
    return None if data is None else struct.unpack("=9i", data[:36])


def orientation_of(matrix: tuple[int, ...] | None) -> Orientation | None:
    """The orientation a display matrix stands for; None if it is not a multiple of 90 degrees.

    A matrix (a b u c d v x y w) shows the coded point (x, y) at (a x + c y, b x + d y).
    """
    if matrix is None:
        return UPRIGHT
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(a) == abs(d) == _ONE and b == c == 0:
        return Orientation(False, a < 0, d < 0)
    if abs(b) == abs(c) == _ONE and a == d == 0:
        return Orientation(True, c < 0, b < 0)
    return None


def to_upright(picture: Frame, orientation: Orientation) -> Frame:
    """A contiguous upright picture; the same array where nothing has to turn."""
    turned: np.ndarray = cv2.transpose(picture) if orientation.transpose else picture
    return _flip(turned, orientation)


def to_coded(patch: Patch, orientation: Orientation, coded_hw: tuple[int, int]) -> Patch:
    """A patch of the upright picture as a patch of the coded one, whose size is `coded_hw`."""
    if orientation == UPRIGHT:
        return patch
    height, width = patch.delta.shape[:2]
    upright_h, upright_w = coded_hw[::-1] if orientation.transpose else coded_hw
    left = upright_w - patch.left - width if orientation.flip_x else patch.left
    top = upright_h - patch.top - height if orientation.flip_y else patch.top
    delta = _flip(patch.delta, orientation)
    if orientation.transpose:
        return Patch(left=top, top=left, delta=np.ascontiguousarray(delta.transpose(1, 0, 2)))
    return Patch(left=left, top=top, delta=delta)


def _flip(picture: np.ndarray, orientation: Orientation) -> np.ndarray:
    if orientation.flip_x and orientation.flip_y:
        return cv2.flip(picture, -1)
    if orientation.flip_x:
        return cv2.flip(picture, 1)
    if orientation.flip_y:
        return cv2.flip(picture, 0)
    return picture
