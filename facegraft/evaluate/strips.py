"""Keeps small pictures of every answered case, so that a report can show the best and the worst."""

from __future__ import annotations

import cv2
import numpy as np

from facegraft.core.image_bytes import encode_frame
from facegraft.core.types import Face, Frame
from facegraft.evaluate.look import Seen, Views
from facegraft.evaluate.protocol import Case
from facegraft.evaluate.results import Strip

SIDE, SIDE_IN_ROW = 144, 72
JPEG_QUALITY = 82
HEAD = 2.4
"""Side of what is shown, in sides of the box around the face."""


class Strips:
    """Collects them; `keep` is what `score` calls."""

    def __init__(self) -> None:
        self.made: dict[str, Strip] = {}

    def keep(self, method: str, case: Case, views: Views) -> None:
        """Adds an answer; where there was none, only the question."""
        attribute, face = views.attribute, views.attribute.face
        if case.key not in self.made:
            self.made[case.key] = Strip(
                identity=_jpeg(_head(views.identity.frame, views.identity.face, SIDE)),
                attribute=_jpeg(_head(attribute.frame, face, SIDE)),
                truth=None if views.truth is None else _jpeg(_head(views.truth.frame, face, SIDE)),
            )
        if _answered(views):
            shown = [(views.identity.frame, views.identity.face), (attribute.frame, face), (views.swapped.frame, face)]
            strip = self.made[case.key]
            strip.swapped[method] = _jpeg(_head(*shown[-1], SIDE))
            strip.row[method] = _jpeg(np.hstack([_squared(_head(*one, SIDE_IN_ROW)) for one in shown]))


def _answered(views: Views) -> bool:
    """Without an answer, `score` shows the suites the attribute picture's own view."""
    seen: Seen = views.swapped
    return seen is not views.attribute


def _jpeg(picture: Frame) -> bytes:
    return encode_frame(picture, JPEG_QUALITY)


def _head(frame: Frame, face: Face | None, side: int) -> Frame:
    """The head, or the whole picture where it is no larger or has no face; its longer side has `side` pixels."""
    cut = frame if face is None else frame[_window(face, frame)]
    height, width = cut.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, size, interpolation=method), np.uint8)


def _squared(picture: Frame) -> Frame:
    """The picture in the middle of a grey square of `SIDE_IN_ROW`."""
    square = np.full((SIDE_IN_ROW, SIDE_IN_ROW, 3), 127, np.uint8)
    height, width = picture.shape[:2]
    top, left = (SIDE_IN_ROW - height) // 2, (SIDE_IN_ROW - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def _window(face: Face, frame: Frame) -> tuple[slice, slice]:
    height, width = frame.shape[:2]
    left, top, right, bottom = (float(edge) for edge in face.box_xyxy)
    half = HEAD / 2 * max(right - left, bottom - top)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    across = slice(max(0, int(middle_x - half)), max(1, min(width, int(middle_x + half) + 1)))
    down = slice(max(0, int(middle_y - half)), max(1, min(height, int(middle_y + half) + 1)))
    return (down, across) if cut_is_sound(down, across, size_hw=(height, width)) else (slice(None), slice(None))


def cut_is_sound(down: slice, across: slice, *, size_hw: tuple[int, int]) -> bool:
    """Whether some of the picture lies in it: a face may be placed outside."""
    return down.start < min(down.stop, size_hw[0]) and across.start < min(across.stop, size_hw[1])
