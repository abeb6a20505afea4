"""A photo that stands still: whatever trembles in an answer to it, the method has added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Shaped

from facegraft.core.image_bytes import decode_frame, encode_frame
from facegraft.core.types import Frame
from facegraft.evaluate.clips import ClipCase, still_key

STILLS, SHIFT_PX = 8, 1
QUALITIES = (85, 95)
"""Frames of the still clip, by how much they are shifted either way, and the range of their JPEG quality."""


@dataclass(frozen=True, eq=False)
class Still:
    """One frame again and again, shifted by a pixel and saved as JPEG.

    Attributes:
        clip: The frames, smaller by the shift on every side.
        corners: Row and column of the frame at which each begins.
    """

    clip: ClipCase
    corners: tuple[tuple[int, int], ...]


def still_clip(clip: ClipCase, number: int = 0, seed: int = 0) -> Still:
    """One frame of a clip as a shaking camera would see it as a photo; the same for every method.

    Args:
        clip: Its own seed goes first, where it has one.
        number: Of the frame.
        seed: Of shifts and qualities else: the clip's place in its set.
    """
    rng = np.random.default_rng(seed if clip.seed is None else clip.seed)
    corners = [(int(row), int(column)) for row, column in rng.integers(0, 2 * SHIFT_PX + 1, (STILLS, 2))]
    qualities = rng.integers(QUALITIES[0], QUALITIES[1] + 1, STILLS)
    frames = [
        decode_frame(encode_frame(_part(clip.frames[number], corner), int(quality)))
        for corner, quality in zip(corners, qualities, strict=True)
    ]
    truths = None if clip.truths is None else tuple(_part(clip.truths[number], corner) for corner in corners)
    who = (clip.identity_person, clip.attribute_person, clip.stratum)
    still = ClipCase(
        still_key(clip.key),
        clip.identity,
        tuple(frames),
        *who,
        truths=truths,
        groups=clip.groups,
        fps=clip.fps,
        more=clip.more,
    )
    return Still(still, tuple(corners))


def still_flickers(
    swapped: Sequence[Frame | None], still: Still, inside: Bool[np.ndarray, "h w"]
) -> list[float | None]:
    """Mean over the face of |Y_{t+1} - Y_t| minus that of |A_{t+1} - A_t|, in levels, after the shift is undone.

    So a copy gets 0, and a method that smooths what JPEG did less than 0.

    Args:
        swapped: The answer.
        still: What was asked.
        inside: The face in the frame that `still` was made of.
    """
    mask = inside[2 * SHIFT_PX : -2 * SHIFT_PX, 2 * SHIFT_PX : -2 * SHIFT_PX]
    own = [_common(frame, corner) for frame, corner in zip(still.clip.frames, still.corners, strict=True)]
    ours = [
        None if frame is None else _common(frame, corner) for frame, corner in zip(swapped, still.corners, strict=True)
    ]
    found: list[float | None] = []
    for at in range(len(own) - 1):
        first, second = ours[at], ours[at + 1]
        if first is None or second is None:
            found.append(None)
            continue
        changes = [cv2.absdiff(a, b)[mask] for a, b in ((second, first), (own[at + 1], own[at]))]
        found.append(float(changes[0].mean() - changes[1].mean()) if mask.any() else float("nan"))
    return found


def _part(picture: Frame, corner: tuple[int, int]) -> Frame:
    """The picture without a border of the shift's width, which `corner` moves."""
    height, width = (length - 2 * SHIFT_PX for length in picture.shape[:2])
    return np.ascontiguousarray(picture[corner[0] : corner[0] + height, corner[1] : corner[1] + width])


def _common(part: Shaped[np.ndarray, "h w *c"], corner: tuple[int, int]) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """What all parts of a picture show, of one that begins at `corner`."""
    top, left = (2 * SHIFT_PX - start for start in corner)
    height, width = (length - 2 * SHIFT_PX for length in part.shape[:2])
    return part[top : top + height, left : left + width]
