"""What recipes draw their sheets with: pictures, points, boxes and labels as tiles. Training sees nothing of it."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Integer
from torch import Tensor

from facegraft.core.types import Frame
from facegraft.data.sheet import tiled

GREEN, RED, BLUE, WHITE = (40, 220, 60), (240, 50, 40), (60, 120, 255), (255, 255, 255)
Colour = tuple[int, int, int]


def frames_from_unit(images: Float[Tensor, "b 3 h w"]) -> list[Frame]:
    """A batch in RGB 0..1, as the face networks take it, as frames."""
    levels = images.detach().float().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
    return [np.ascontiguousarray(frame) for frame in levels.cpu().numpy()]


def sheet(rows: Sequence[Sequence[Frame]], tile_px: int = 256) -> Frame:
    """Frames of any sizes as rows of square tiles on white; squeezed where they are not square."""
    return tiled([[enlarged(frame, tile_px) for frame in row] for row in rows], tile_px)


def enlarged(frame: Frame, side_px: int) -> Frame:
    """A frame as a square of this side; pixels stay visible as such where it grows."""
    shrinks = side_px < max(frame.shape[:2])
    resized = cv2.resize(frame, (side_px, side_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8)


def with_points(
    frame: Frame, points: Float[np.ndarray, "k 2"], colour: Colour = GREEN, *, radius_px: float | int = 1.2
) -> Frame:
    """A copy with dots at x, y in pixels (the first pixel's centre is at 0.5); enlarge the frame first to see more."""
    drawn = frame.copy()
    for x, y in np.nan_to_num(points, nan=-9).clip(-9, 1e5):
        centre = round((float(x) - 0.5) * 16), round((float(y) - 0.5) * 16)
        cv2.circle(drawn, centre, round(radius_px * 16), colour, cv2.FILLED, cv2.LINE_AA, 4)
    return drawn


def with_boxes(frame: Frame, boxes_xyxy: Float[np.ndarray, "k 4"], colour: Colour = GREEN) -> Frame:
    """A copy with boxes in pixels."""
    drawn = frame.copy()
    for left, top, right, bottom in np.nan_to_num(boxes_xyxy).clip(-1e5, 1e5).round().astype(int).tolist():
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, 1, cv2.LINE_AA)
    return drawn


def with_text(frame: Frame, text: str, colour: Colour = WHITE) -> Frame:
    """A copy with a line of text in its upper left corner, on a shadow."""
    drawn = frame.copy()
    scale = frame.shape[1] / 512
    for tint, width in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(drawn, text, (4, round(24 * scale) + 4), cv2.FONT_HERSHEY_SIMPLEX, scale, tint, width, cv2.LINE_AA)
    return drawn


def colours_of_labels(labels: Integer[np.ndarray, "h w"]) -> Frame:
    """Region numbers as colours: 0 is black, neighbours in number are far apart in hue."""
    hues = [colorsys.hsv_to_rgb((0.618 * n) % 1, 0.75, 0.65 + 0.35 * (n % 2)) for n in range(256)]
    table = (np.asarray(hues) * 255).round().astype(np.uint8)
    table[0] = 0
    return np.ascontiguousarray(table[labels])


def blended(frame: Frame, over: Frame, share: float = 0.5) -> Frame:
    """The second frame laid over the first one of the same size."""
    mixed = frame.astype(np.float32) * (1 - share) + over.astype(np.float32) * share
    return mixed.round().astype(np.uint8)
