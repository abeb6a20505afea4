"""Takes the tremble out of a tracked face's points without making them late.

A low-pass filter trades tremble for lag. Here the weight of a new measurement follows from how far it is
from the last result, in face sizes: a step `e` gets the weight e^2 / (e^2 + s^2). Tremble is far smaller
than `s` and is averaged away; a real movement is far larger and passes at once. What stays behind of a step is
e s^2 / (e^2 + s^2), which is never more than s / 2, at any speed and from the first frame on; the One-Euro filter
(Casiez et al., CHI 2012) has that bound only for steady speeds.

The face as a whole (shift, turn, scale) and each point's own movement are weighed apart, so that a moving
head does not switch off the smoothing of its eyelids. `weight` is the only tuned function.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.geometry import fit_similarity, similarity_scale, transform

Dense = Float32[np.ndarray, "k 3"]

WHOLE_STEP = 0.0035
"""`s` of the face as a whole, in face sizes."""
POINT_STEP = 0.006
"""`s` of a point's own movement. The bound on the lag is half the sum of both: 0.475 % of the face."""
SETTLE_HZ = 0.7
"""A still face's points approach their mean at least this fast."""


def face_size(dense: Float[np.ndarray, "k d"]) -> float:
    """Side of the square that has the area of the box around the points; at least one pixel."""
    width, height = np.ptp(dense[:, :2].astype(np.float64), axis=0)
    return max(1.0, float(np.sqrt(width * height)))


def weight(step: Float[np.ndarray, "n"], scale: float, elapsed_s: float) -> Float[np.ndarray, "n"]:
    """How much of a step to take, 0..1."""
    settle = 1 - np.exp(-2 * np.pi * SETTLE_HZ * elapsed_s)
    squared = np.square(step)
    return np.maximum(settle, squared / (squared + scale**2))


def smooth(last: Dense, measured: Dense, elapsed_s: float) -> Dense:
    """The new points of a face.

    Args:
        last: What this function returned for the frame before.
        measured: Points found in this frame.
        elapsed_s: Time between the frames.

    Returns:
        Points between `last`, moved, and `measured`.
    """
    if elapsed_s <= 0:
        return measured
    size = face_size(measured)
    motion = fit_similarity(last[:, :2], measured[:, :2])
    depth_scale = similarity_scale(motion)
    depth_shift = float(measured[:, 2].mean() - depth_scale * last[:, 2].mean())
    moved = np.column_stack([transform(motion, last[:, :2]), last[:, 2] * depth_scale + depth_shift])
    whole = np.linalg.norm(moved[:, :2] - last[:, :2], axis=1).max(keepdims=True) / size  # the fastest sets the bound
    followed = last + weight(whole, WHOLE_STEP, elapsed_s) * (moved - last)
    own = measured - moved
    steps = np.linalg.norm(own, axis=1) / size
    return (followed + weight(steps, POINT_STEP, elapsed_s)[:, None] * own).astype(np.float32)
