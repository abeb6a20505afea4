"""The baseline swap: no training, no network of its own. The floor that every learned method must beat.

The identity photos are unrolled once (`texture.py`). For each frame: the attribute face's points take over the
identity's inner face shape; the mesh gives every pixel its place in the texture and in the attribute frame;
the texture takes over the frame's light; eyeballs, mouth interior and whatever hides the face stay the frame's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.geometry import fit_rigid3, sample
from facegraft.core.types import Face, Frame, Mask, Patch
from facegraft.faces.layers import LAYER_SCALE, layers, smoothstep, to_pixels
from facegraft.faces.mesh import interpolate, rasterise
from facegraft.faces.topology import (
    LEFT_EYE,
    LIPS_OUTER,
    RIGHT_EYE,
    Topology,
    openness,
)
from facegraft.faces.visible import visible_face
from facegraft.runtime.light import apply_light, match_sharpness, measure_light
from facegraft.runtime.texture import View, canonical, complete, rigid_weights, unroll

GRID = 96
"""Cells along the longer side of a face's box: maps are computed there and interpolated."""
SHAPE_SHARE = 0.8
"""How much of the difference between the two inner face shapes is taken over."""
MIRROR_PENALTY_DEGREES = 60
"""A photo that looks the other way serves only where the straight ones are off by more than this."""
LIGHT_REACH = 0.22
"""How far light is smoothed, in outer-eye distances."""
CLOSED = (0.115, 0.15)
"""Openness (`topology.openness`) at which an eye counts as closed, and as open; half of all eyes are above 0.2."""
BORDER = 0.12
"""The working box around the face's points, in its sides."""


@dataclass(frozen=True)
class Identity:
    """All that the baseline keeps of a person: one view per photo."""

    views: list[View]


def encode(photos: list[tuple[Frame, Face]], topology: Topology) -> Identity:
    """Unrolls the photos and completes each from the others."""
    return Identity(complete([unroll(frame, face, topology) for frame, face in photos]))


def best_view(
    identity: Identity, pose_degrees: Float32[np.ndarray, "3"], last: int | None = None, margin_degrees: float | int = 0
) -> int:
    """The photo whose yaw and pitch are nearest to a pose.

    A photo that looks the other way counts by its mirrored half, with a penalty.

    Args:
        identity: The person.
        pose_degrees: Yaw, pitch, roll of the attribute face.
        last: The photo used in the frame before, which is kept unless another is better by the margin.
        margin_degrees: See `last`.
    """
    costs = []
    for view in identity.views:
        yaw, pitch = view.pose_degrees[:2]
        direct = abs(yaw - pose_degrees[0])
        mirrored = abs(-yaw - pose_degrees[0]) + MIRROR_PENALTY_DEGREES
        costs.append(min(direct, mirrored) + abs(pitch - pose_degrees[1]))
    best = int(np.argmin(costs))
    if last is not None and costs[last] - costs[best] < margin_degrees:
        return last
    return best


@dataclass(frozen=True)
class Plan:
    """Where everything comes from, on a coarse grid over a box of the frame.

    Attributes:
        box: left, top, right, bottom in frame pixels, inside the frame.
        uv: Place in the unrolled face.
        shift: From a pixel of the result to the pixel of the attribute frame that it shows.
        inside: 0 outside the visible mesh, rising to 1 inside it.
    """

    box: tuple[int, int, int, int]
    uv: Float32[np.ndarray, "gh gw 2"]
    shift: Float32[np.ndarray, "gh gw 2"]
    inside: Mask


def swap_face(
    frame: Frame, face: Face, view: View, topology: Topology, hands: list[Float32[np.ndarray, "21 3"]] | None = None
) -> Patch | None:
    """The change that puts a person's face on another.

    Args:
        frame: The attribute frame; not touched.
        face: Whose face is replaced.
        view: The identity, unrolled.
        topology: The mesh's facts.
        hands: Hands that may lie before the face, 21 points each in frame pixels.

    Returns:
        What to add to the frame; None where the face lies outside it.
    """
    plan = make_plan(frame, face, view, topology)
    if plan is None:
        return None
    left, top, right, bottom = plan.box
    size_wh = (right - left, bottom - top)
    original = frame[top:bottom, left:right]
    eye_distance = float(np.linalg.norm(face.dense[33] - face.dense[263]))
    fixed = layers(LAYER_SCALE)
    at_layers = to_pixels(plan.uv, topology, LAYER_SCALE)

    def layer(image: Mask) -> Mask:
        return sample(image, at_layers, border=cv2.BORDER_CONSTANT)

    grid_wh = (plan.uv.shape[1], plan.uv.shape[0])
    zoom = np.array([grid_wh[0] / size_wh[0], grid_wh[1] / size_wh[1]], np.float32)
    to_grid = np.array([[zoom[0], 0, -left * zoom[0]], [0, zoom[1], -top * zoom[1]]], np.float32)
    small = cv2.resize(original, grid_wh, interpolation=cv2.INTER_AREA)
    in_view = plan.inside * visible_face(small, plan.uv, topology, hands or [], to_grid)
    trust, lit_skin = layer(view.trust), layer(fixed["lit"])
    left_lids, right_lids = closed_eyes(face.dense)
    keep = np.maximum(layer(fixed["keep"]), left_lids * layer(fixed["left_lids"]))
    keep = np.maximum(keep, right_lids * layer(fixed["right_lids"]))
    moved = _moved(original, plan.shift * in_view[..., None], size_wh)
    texture = _textured(view, plan.uv, topology, eye_distance, size_wh)

    bare = lit_skin * trust * in_view
    light_wh = (max(2, grid_wh[0] // 2), max(2, grid_wh[1] // 2))
    light = measure_light(
        cv2.resize(texture, light_wh, interpolation=cv2.INTER_AREA),
        cv2.resize(moved, light_wh, interpolation=cv2.INTER_AREA),
        cv2.resize(bare, light_wh, interpolation=cv2.INTER_AREA),
        sigma=LIGHT_REACH * eye_distance * light_wh[0] / size_wh[0],
    )
    texture = match_sharpness(texture, moved, _full(bare, size_wh))
    share = _full(in_view * trust * (1 - keep), size_wh)
    lit = apply_light(texture, light)
    edge = _full(_edge(plan.inside), size_wh)
    mine, theirs = cv2.merge([share * edge] * 3), cv2.merge([edge] * 3)
    # edge * (moved - original) + edge * share * (lit - moved)
    delta = cv2.multiply(cv2.subtract(moved, original, dtype=cv2.CV_32F), theirs)
    added = cv2.multiply(cv2.subtract(lit, moved, dtype=cv2.CV_32F), mine)
    return Patch(left, top, np.asarray(cv2.add(delta, added), np.float32))


def closed_eyes(dense: Float32[np.ndarray, "k 3"]) -> tuple[float, float]:
    """How far each eye is closed, 0..1: a closed eye's lids stay the frame's, since the photo's are open."""
    left, right = openness(dense, LEFT_EYE, (33, 133)), openness(dense, RIGHT_EYE, (263, 362))
    open_left, open_right = smoothstep(np.array([left, right]), *CLOSED).tolist()
    return 1 - open_left, 1 - open_right


def make_plan(frame: Frame, face: Face, view: View, topology: Topology) -> Plan | None:
    """Places the result's points and reads from them where each grid cell comes from."""
    goal = with_shape(face.dense, view.shape, topology)
    box = working_box(goal, frame.shape[1], frame.shape[0])
    if box is None:
        return None
    left, top, right, bottom = box
    cell = max(max(right - left, bottom - top) / GRID, 1.0)
    grid_wh = (max(2, round((right - left) / cell)), max(2, round((bottom - top) / cell)))
    # cells are square but for rounding; positions are exact through the raster's own axes
    raster = rasterise(goal, topology.triangles, (float(left), float(top)), grid_wh, (right - left) / grid_wh[0])
    values = np.concatenate([topology.uv, face.dense[:, :2] - goal[:, :2]], axis=1)
    at = interpolate(raster, goal, values, topology.triangles)
    inside = raster.covered().astype(np.uint8)
    eye_cells = float(np.linalg.norm(goal[33] - goal[263])) / cell
    distance = cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)
    ramp = np.clip((distance[1:-1, 1:-1] - 1) / (0.22 * eye_cells), 0, 1)
    ramp = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return Plan(box, at[..., :2], at[..., 2:], ramp)


def working_box(points: Float[np.ndarray, "k 3"], width: int, height: int) -> tuple[int, int, int, int] | None:
    """The box around a face, a little larger, cut to the frame; None where nothing is left."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    border = BORDER * (high - low)
    left, top = np.maximum(np.floor(low - border), 0).astype(int)
    right, bottom = np.minimum(np.ceil(high + border), [width, height]).astype(int)
    if right - left < 8 or bottom - top < 8:
        return None
    return int(left), int(top), int(right), int(bottom)


def with_shape(
    dense: Float32[np.ndarray, "k 3"], shape: Float32[np.ndarray, "k 3"], topology: Topology
) -> Float32[np.ndarray, "k 3"]:
    """The attribute face's points with the identity's inner face shape.

    The difference of the two shapes on the mean face's axes is turned into the attribute's pose. It fades out
    towards the oval, so that the seam does not move, and where shape and expression cannot be told apart:
    lips and lids follow their surroundings.
    """
    own = canonical(topology, dense)
    difference = (shape - own).astype(np.float64)
    for ring, corners in ((LEFT_EYE, (33, 133)), (RIGHT_EYE, (263, 362))):
        _follow(difference, own, ring, corners)
    _rigidly(difference, LIPS_OUTER)
    difference = (topology.smoother @ difference) * _shape_weights(topology)[:, None]  # smoothed: no folds
    scale, rotation, _ = fit_rigid3(topology.xyz.astype(np.float64), dense.astype(np.float64), rigid_weights(topology))
    moved: Float32[np.ndarray, "k 3"] = (dense + scale * difference @ rotation.T).astype(np.float32)
    return moved


def _shape_weights(topology: Topology) -> Float[np.ndarray, "k"]:
    t = np.clip((topology.from_oval - 0.08) / 0.35, 0, 1)
    return SHAPE_SHARE * t * t * (3 - 2 * t)


def _follow(
    difference: Float[np.ndarray, "k 3"],
    own: Float[np.ndarray, "k 3"],
    ring: tuple[int, ...],
    corners: tuple[int, int],
) -> None:
    """Lids move as the straight line between the eye's corners does: size and place, not how open it is."""
    first, last = own[corners[0]], own[corners[1]]
    axis = last - first
    share = np.clip((own[list(ring)] - first) @ axis / max(float(axis @ axis), 1e-9), 0, 1)[:, None]
    difference[list(ring)] = (1 - share) * difference[corners[0]] + share * difference[corners[1]]


def _rigidly(difference: Float[np.ndarray, "k 3"], ring: tuple[int, ...]) -> None:
    """Lips move as one piece, and only half as far: how they are drawn is expression."""
    from facegraft.faces.topology import LIPS_INNER

    both = [*ring, *LIPS_INNER]
    difference[both] = 0.5 * difference[both].mean(axis=0)


def _moved(original: Frame, shift: Float32[np.ndarray, "gh gw 2"], size_wh: tuple[int, int]) -> Frame:
    """The frame's own box, its face moved to the new shape."""
    width, height = size_wh
    at = _full(shift, size_wh)
    at[..., 0] += np.arange(width, dtype=np.float32)
    at[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    return sample(original, at)


def _textured(
    view: View, uv: Float32[np.ndarray, "gh gw 2"], topology: Topology, eye_distance: float, size_wh: tuple[int, int]
) -> Frame:
    """The identity's texture over the box, from the level whose detail fits the face's size."""
    level = int(np.argmin([abs(np.log(scale / max(eye_distance, 1))) for scale in view.scales]))
    at = to_pixels(_full(uv, size_wh), topology, view.scales[level])
    return sample(view.levels[level], at)


def _full(image: Float32[np.ndarray, "gh gw *c"], size_wh: tuple[int, int]) -> Float32[np.ndarray, "h w *c"]:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), np.float32)


def _edge(inside: Mask) -> Mask:
    """0 on the outermost cells: a patch must not end in a step."""
    return (inside > 0).astype(np.float32) * np.minimum(inside * 8, 1)
