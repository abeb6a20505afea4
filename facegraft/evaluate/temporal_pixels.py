"""What moves from frame to frame that should not: pixels against the flow, against the attribute clip, and at the edge.

Every function takes the frames of a clip in order; a frame that is None has no answer, and what needs it is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from facegraft.core.geometry import sample, warp
from facegraft.core.types import Frame, Mask, Matrix
from facegraft.faces.topology import Topology

EYE_PX = 64
"""Outer-eye distance in the face-stabilised view of `boundary_crawl`."""
VIEW_WH = (3 * EYE_PX, 4 * EYE_PX)
CHANGED_LEVELS = 6
"""Of the largest channel's difference, blurred over 5 x 5 pixels: what is less counts as unchanged."""

Steps = Sequence[float | None]
"""One number per pair of neighbouring frames; None = a frame of the pair has no answer."""


@dataclass(frozen=True, eq=False)
class Step:
    """From one frame of the attribute clip to the next.

    Attributes:
        at: Where each pixel of the first frame lies in the next, for `core.geometry.sample`.
        counted: Pixels of the face that are not hidden in either frame.
    """

    at: Float32[np.ndarray, "h w 2"]
    counted: Bool[np.ndarray, "h w"]


def step_between(first: Frame, second: Frame, face: Bool[np.ndarray, "h w"]) -> Step:
    """Optical flow (DIS: Kroeger et al., 2016) of the attribute clip, and where it can be trusted.

    Args:
        first: A frame.
        second: The next.
        face: The face in the first.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    nothing = np.empty(0, np.float32)
    forward = np.asarray(dis.calc(grey[0], grey[1], nothing), np.float32)
    backward = np.asarray(dis.calc(grey[1], grey[0], nothing), np.float32)
    at = _grid(face.shape) + forward
    return Step(at, face & ~occluded(forward, np.asarray(sample(backward, at), np.float32)))


def occluded(forward: Float32[np.ndarray, "h w 2"], back: Float32[np.ndarray, "h w 2"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that are hidden in the other frame or lie at an edge of motion.

    With f and b the flows there and back, and |.|^2 a squared length, as Lai et al. (2018, "Learning Blind Video
    Temporal Consistency", section 4) take it from Ruder, Dosovitskiy, Brox (2016, eq. 5 and 6):
    |f + b|^2 > 0.01 (|f|^2 + |b|^2) + 0.5, or |grad f|^2 > 0.01 |f|^2 + 0.002.

    Args:
        forward: Flow of each pixel.
        back: Flow of the other frame, read where the pixel goes.
    """
    lengths = _squared(forward), _squared(back)
    astray = _squared(forward + back) > 0.01 * (lengths[0] + lengths[1]) + 0.5
    down, right = np.zeros_like(forward), np.zeros_like(forward)
    down[:-1], right[:, :-1] = forward[1:] - forward[:-1], forward[:, 1:] - forward[:, :-1]
    edge = _squared(down) + _squared(right) > 0.01 * lengths[0] + 0.002
    return np.asarray(astray | edge, bool)


def warping_errors(frames: Sequence[Frame | None], steps: Sequence[Step | None]) -> Steps:
    """Mean over the counted pixels of (Y_t - Y_{t+1} brought back by the flow)^2, colours in 0..1 (Lai et al., 2018).

    Returns:
        One per step, times 1000; NaN where no pixel counts.
    """

    def error(first: Frame, second: Frame, step: Step) -> float:
        if not step.counted.any():
            return float("nan")
        moved = np.asarray(sample(second.astype(np.float32), step.at), np.float32)
        return 1000 * float(np.mean(((first - moved)[step.counted] / 255) ** 2))

    found: list[float | None] = []
    for (first, second), step in zip(pairwise(frames), steps, strict=True):
        if first is None or second is None:
            found.append(None)
        else:
            found.append(float("nan") if step is None else error(first, second, step))
    return found


def flickers(
    swapped: Sequence[Frame | None], right: Sequence[Frame], faces: Sequence[Bool[np.ndarray, "h w"]]
) -> Steps:
    """F: mean over the face of |(Y_{t+1} - Y_t) - (A_{t+1} - A_t)| in levels of 8 bits.

    Args:
        swapped: Y.
        right: A, the clip that changes as Y should: the attribute clip, or the true swap.
        faces: The face in each frame; a step counts the pixels of both.

    Returns:
        One per step; NaN where there is no face.
    """
    found: list[float | None] = []
    for number, (first, second) in enumerate(pairwise(swapped)):
        if first is None or second is None:
            found.append(None)
            continue
        inside = faces[number] | faces[number + 1]
        change = second[inside].astype(np.int16) - first[inside]
        own = right[number + 1][inside].astype(np.int16) - right[number][inside]
        found.append(float(np.abs(change - own).mean()) if inside.any() else float("nan"))
    return found


def stabiliser(topology: Topology, dense: Float32[np.ndarray, "k 3"]) -> Matrix:
    """From the frame to a view in which the mean face stands still: the affine map that fits the points best.

    Affine, so that a head that turns a little does not move the edge of its face; expressions weigh a tenth.
    """
    weights = np.sqrt(topology.rigid_weights)[:, None]
    known = np.column_stack([dense[:, :2].astype(np.float64), np.ones(len(dense))])
    middle = np.array([VIEW_WH[0] / 2, VIEW_WH[1] * 0.4])
    places = topology.xyz[:, :2].astype(np.float64) * EYE_PX + middle
    solved = np.linalg.lstsq(known * weights, places * weights, rcond=None)[0]
    return np.asarray(solved.T, np.float32)


def changed_region(swapped: Frame, attribute: Frame, to_view: Matrix) -> Mask:
    """Where the answer differs from the attribute frame, without holes, in the view of `stabiliser`; 0..1."""
    apart = np.abs(swapped.astype(np.int16) - attribute).max(2).astype(np.uint8)
    region = (cv2.blur(apart, (5, 5)) > CHANGED_LEVELS).astype(np.uint8)
    outlines, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(region, outlines, -1, 1, cv2.FILLED)
    return np.asarray(warp(region.astype(np.float32), to_view, VIEW_WH, border=cv2.BORDER_CONSTANT), np.float32)


def crawls(regions: Sequence[Mask | None]) -> Steps:
    """How far the edge of what was changed moves per frame: the area changed in one of two frames only, over the edge.

    An edge that moves by d everywhere along its normal gives d.

    Args:
        regions: As `changed_region` gives them.

    Returns:
        One per step, in % of the outer-eye distance; 0 where nothing was changed.
    """

    def crawl(first: Mask, second: Mask) -> float:
        length = max(_edge_px(first), _edge_px(second))
        return 100 * float(np.abs(second - first).sum()) / length / EYE_PX if length else 0.0

    pairs = pairwise(regions)
    return [None if first is None or second is None else crawl(first, second) for first, second in pairs]


def acceleration(points: Float[np.ndarray, "3 k 2"]) -> float:
    """Mean over the points of |p_{t+1} - 2 p_t + p_{t-1}|, in pixels: 0 for whatever moves evenly."""
    return float(np.linalg.norm(points[2] - 2 * points[1] + points[0], axis=1).mean())


def _edge_px(region: Mask) -> float:
    outlines, _ = cv2.findContours((region > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return float(sum(cv2.arcLength(outline, True) for outline in outlines))


def _squared(flow: Float32[np.ndarray, "h w 2"]) -> Float32[np.ndarray, "h w"]:
    return np.asarray((flow**2).sum(2), np.float32)


def _grid(size_hw: tuple[int, ...]) -> Float32[np.ndarray, "h w 2"]:
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
    return np.stack([columns, rows], axis=2)
