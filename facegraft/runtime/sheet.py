"""Sheets: frames side by side, as people compare them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from facegraft.core.types import Frame

GAP = 6
TITLE_PX = 22


def fitted(frame: Frame, height: int) -> Frame:
    """The frame at a height; reduced by area averaging."""
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    way = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (width, height), interpolation=way))


def labelled_rows(rows: Sequence[tuple[Sequence[Frame], str]], height: int) -> Frame:
    """One row of frames under each title, on white.

    Args:
        rows: Frames and title of each row; titles in ASCII.
        height: Of every frame on the sheet, in pixels.
    """
    strips = []
    for frames, title in rows:
        pictures = [fitted(frame, height) for frame in frames]
        gap = np.full((height, GAP, 3), 255, np.uint8)
        strip = np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)
        bar = np.full((TITLE_PX, strip.shape[1], 3), 255, np.uint8)
        cv2.putText(bar, title, (4, TITLE_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
        strips.append(np.concatenate([bar, strip], axis=0))
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(strip, ((0, GAP), (0, width - strip.shape[1]), (0, 0)), constant_values=255) for strip in strips]
    return np.concatenate(padded, axis=0)


def clip_frames(path: Path, times_s: Sequence[float]) -> list[Frame]:
    """The first frame of a clip at or after each of these times, upright, in order."""
    wanted = sorted(times_s)
    found: list[Frame] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            while len(found) < len(wanted) and frame.time is not None and frame.time >= wanted[len(found)]:
                turned = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))
                found.append(np.ascontiguousarray(turned))
            if len(found) == len(wanted):
                break
    return found
