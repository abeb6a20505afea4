"""What cameras, files and screens do to a picture before a detector sees it, on 8-bit frames and fast.

`data/augment.py` does the like for batches of crops; a scene is worn alone, in the thread that makes it.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from facegraft.core.image_bytes import decode_frame, encode_frame
from facegraft.core.types import Frame

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def worn(frame: Frame, rng: np.random.Generator) -> Frame:
    """Tone, colour, low resolution, blur, noise, JPEG: each with its chance."""
    frame = np.asarray(cv2.LUT(frame, tone_table(rng)))
    frame = _coloured(frame, rng)
    side = len(frame)
    if rng.random() < 0.2:
        small = max(8, round(side * rng.uniform(0.3, 0.9)))
        reduced = cv2.resize(frame, (small, small), interpolation=cv2.INTER_AREA)
        frame = np.asarray(cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR))
    if rng.random() < 0.15:
        frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), float(rng.uniform(0.4, 2.0))))
    if rng.random() < 0.2:
        noise = rng.standard_normal(frame.shape, np.float32) * np.float32(rng.uniform(2, 18))
        frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        frame = decode_frame(encode_frame(frame, int(rng.integers(20, 96))))
    return np.ascontiguousarray(frame)


def tone_table(rng: np.random.Generator) -> UInt8[np.ndarray, "256 1 3"]:
    """Levels through brightness, gamma, contrast and tint; dark or burnt out now and then."""
    level = np.linspace(0, 1, 256, dtype=np.float64)[:, None]
    kind = rng.random()
    gain = np.exp(rng.normal(0, 0.25))
    if kind < 0.08:
        gain = rng.uniform(0.15, 0.45)
    elif kind < 0.11:
        gain = rng.uniform(1.5, 2.2)
    tint = np.exp(rng.normal(0, 0.08, 3))
    curve = (level ** np.exp(rng.normal(0, 0.2)) - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5
    return np.clip(np.rint(curve * gain * tint * 255), 0, 255).astype(np.uint8)[:, None]


def _coloured(frame: Frame, rng: np.random.Generator) -> Frame:
    """Less or more colour; none now and then."""
    factor = 0.0 if rng.random() < 0.12 else float(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.4 and factor > 0:
        return frame
    grey = (1 - factor) * np.tile(_LUMA, (3, 1))
    return np.asarray(cv2.transform(frame, grey + factor * np.eye(3, dtype=np.float32)))
