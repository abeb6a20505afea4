"""Keeps small pictures of every answered case, so that a report can show the best and the worst."""

from __future__ import annotations

import cv2
import numpy as np

from facegraft.core.image_bytes import encode_frame
from facegraft.core.types import Face, Frame
from facegraft.evaluate.look import Seen, Views
from facegraft.evaluate.protocol import Case
from facegraft.evaluate.results import Strip

SIDE = 144
JPEG_QUALITY = 82
HEAD = 2.4
"""Side of what is shown, in sides of the box around the face."""


class Strips:
    """Collects them; `keep` is what `score` calls."""

    def __init__(self) -> None:
        self.made: dict[str, Strip] = {}

    def keep(self, method: str, case: Case, views: Views) -> None:
        """Adds an answer; where there was none, only the question."""
        if case.key not in self.made:
            attribute, face = views.attribute, views.attribute.face
            self.made[case.key] = Strip(
                identity=_picture(views.identity.frame, views.identity.face),
                attribute=_picture(attribute.frame, face),
                truth=None if views.truth is None else _picture(views.truth.frame, face),
            )
        if _answered(views):
            self.made[case.key].swapped[method] = _picture(views.swapped.frame, views.attribute.face)


def _answered(views: Views) -> bool:
    """Without an answer, `score` shows the suites the attribute picture's own view."""
    seen: Seen = views.swapped
    return seen is not views.attribute


def _picture(frame: Frame, face: Face | None) -> bytes:
    """The head, or the whole picture where it is no larger or has no face."""
    cut = frame if face is None else frame[_window(face, frame)]
    height, width = cut.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return encode_frame(np.asarray(cv2.resize(cut, size, interpolation=method), np.uint8), JPEG_QUALITY)


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
