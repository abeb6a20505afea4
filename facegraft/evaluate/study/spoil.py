"""Copies with artefacts that nobody overlooks, for attention checks: what is wrong must be beyond dispute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from facegraft.core.types import Frame
from facegraft.data.clip_frames import clip_frames

_BLUR_SHARE, _NOISE, _SHIFT_SHARE = 0.035, 45.0, 0.18


def spoilt_frame(frame: Frame, rng: np.random.Generator) -> Frame:
    """Strongly blurred, noisy, its middle torn aside. Same size."""
    height, width, _ = frame.shape
    out = cv2.GaussianBlur(frame, (0, 0), _BLUR_SHARE * min(height, width)).astype(np.float32)
    band = slice(int(0.42 * height), int(0.62 * height))
    out[band] = np.roll(out[band], max(1, int(_SHIFT_SHARE * width)), axis=1)
    coarse = rng.normal(0, _NOISE, (max(1, height // 4), max(1, width // 4), 3)).astype(np.float32)
    out += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.clip(out, 0, 255).astype(np.uint8)


def sharpness(frame: Frame) -> float:
    """Variance of the Laplacian, in squared grey levels, at a scale where noise counts for little."""
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(luma, (0, 0), max(1.0, min(frame.shape[:2]) / 150))
    return float(cv2.Laplacian(smooth, cv2.CV_32F).var())


def write_spoilt_clip(clip: Path, out: Path, rng: np.random.Generator) -> None:
    """A clip whose every frame is spoilt anew and whose light flickers; H.264 in MP4, same size and pace."""
    first = next(_flickering(clip, rng))
    with av.open(f"file:{out}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=_rate(clip))
        if not isinstance(stream, av.VideoStream):
            raise TypeError("libx264 makes a video stream")
        stream.pix_fmt, (stream.height, stream.width) = "yuv420p", first.shape[:2]
        for frame in _flickering(clip, rng):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _flickering(clip: Path, rng: np.random.Generator) -> Iterator[Frame]:
    """Frames of even size, as H.264 wants them."""
    for number, found in enumerate(clip_frames(clip)):
        height, width = found.frame.shape[0] // 2 * 2, found.frame.shape[1] // 2 * 2
        light = 1.25 if number // 3 % 2 else 0.6
        spoilt = spoilt_frame(np.ascontiguousarray(found.frame[:height, :width]), rng)
        yield np.clip(spoilt * light, 0, 255).astype(np.uint8)


def _rate(clip: Path) -> int:
    """Frames a second, rounded."""
    times = [found.time_s for found in clip_frames(clip)]
    return max(1, round((len(times) - 1) / times[-1])) if len(times) > 1 and times[-1] > 0 else 25
