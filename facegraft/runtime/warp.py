"""The baseline swap: no training, no network of its own. The floor that every learned method must beat.

The identity photos are unrolled once (`texture.py`). For each frame: the attribute face's points take over the
identity's inner face shape; the mesh gives every pixel its place in the texture and in the attribute frame;
the texture, freed of its photo's light, takes over the frame's; eyeballs, mouth interior and whatever hides the face
stay the frame's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.geometry import sample
from facegraft.core.types import Face, Frame, Mask, Patch
from facegraft.faces.layers import LAYER_SCALE, pack, smoothstep, to_pixels
from facegraft.faces.mesh import Grid, grid_over, interpolate, rasterise
from facegraft.faces.shading import Shading
from facegraft.faces.topology import (
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    NARROW,
    RIGHT_EYE,
    Topology,
    eyes_openness,
)
from facegraft.faces.visible import Uncovered, visible_face
from facegraft.runtime.light import Light, apply_light, match_patches, match_sharpness, measure_light
from facegraft.runtime.texture import SHADOW_REACH, View, complete, onto_mean, unroll

GRID = 88
"""Cells along the longer side of a face's box: maps are computed there and interpolated."""
SHAPE_SHARE = 0.8
"""How much of the difference between the two inner face shapes is taken over."""
MIRROR_PENALTY_DEGREES = 60
"""A photo that looks the other way serves only where the straight ones are off by more than this."""
LIGHT_REACH = 0.22
"""How far light is smoothed, in outer-eye distances."""
EVEN_REACH = 0.5
"""The same where both are in even light: what differs within less is the people, stubble and blush among it."""
PATCH_REACH = 0.06
"""Size of the patches in which brightness may differ from the frame's only so much, in outer-eye distances."""
CLOSED = (0.115, 0.15)
"""Openness (`topology.openness`) at which an eye counts as closed, and as open."""
IRIS = (0.2, 0.45)
"""Chances that the iris of a narrow eye is in view, at which it counts as hidden by closed lids, and as seen."""
TOGETHER = (0.2, 0.25)
"""Openness up to which an eye closes with the other one, and from which on it does not."""
FACING_DEGREES = (20.0, 35.0)
"""Yaw up to which both eyes are seen alike, and from which on the far one tells nothing of the near one."""
MOUTH = (0.4, 0.7)
"""Chances of the mouth's inside at which a place begins to stay the frame's, and stays wholly."""
LIPS_APART = 1.6
"""Cells of the grid between the lips of a closed mouth, where the frame's own are seen."""
RIM = 0.16
"""Over which the result fades out inside the mesh, in outer-eye distances."""
BORDER = 0.12
"""The working box around the face's points, in its sides."""


@dataclass(frozen=True)
class Identity:
    """All that the baseline keeps of a person: one view per photo."""

    views: list[View]


@dataclass(frozen=True)
class Photo:
    """A picture of a person, the face that counts in it, where that face is uncovered, and the light on it."""

    frame: Frame
    face: Face
    uncovered: Uncovered | None = None
    shading: Shading | None = None


def encode(photos: list[Photo], topology: Topology) -> Identity:
    """Unrolls the photos and completes each from the others."""
    unrolled = [unroll(photo.frame, photo.face, topology, photo.uncovered, photo.shading) for photo in photos]
    return Identity(complete(unrolled))


def best_view(
    identity: Identity, pose_degrees: Float32[np.ndarray, "3"], last: int | None = None, margin_degrees: float | int = 0
) -> int:
    """The photo whose yaw and pitch are nearest to a pose.

    A photo that looks the other way would serve by its mirrored half; that is a last resort (`MIRROR_PENALTY_DEGREES`).

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
        grid: The cells.
        uv: Place in the unrolled face.
        shift: From a pixel of the result to the pixel of the attribute frame that it shows.
        inside: 0 outside the visible mesh, rising to 1 inside it.
    """

    box: tuple[int, int, int, int]
    grid: Grid
    uv: Float32[np.ndarray, "gh gw 2"]
    shift: Float32[np.ndarray, "gh gw 2"]
    inside: Mask


def swap_face(
    frame: Frame,
    face: Face,
    view: View,
    topology: Topology,
    uncovered: Uncovered | None = None,
    shading: Shading | None = None,
) -> Patch | None:
    """The change that puts a person's face on another.

    Args:
        frame: The attribute frame; not touched.
        face: Whose face is replaced.
        view: The identity, unrolled.
        topology: The mesh's facts.
        uncovered: Where the networks see nothing before the face; None: everywhere.
        shading: What the frame's light does to it, as the networks see it: shadows and highlights go over to the
            result. None: only smooth light does.

    Returns:
        What to add to the frame; None where the face lies outside it.
    """
    plan = make_plan(frame, face, view, topology)
    if plan is None:
        return None
    original = frame[plan.box[1] : plan.box[3], plan.box[0] : plan.box[2]]
    size_wh = (original.shape[1], original.shape[0])
    eye_distance = float(np.linalg.norm(face.dense[33] - face.dense[263]))
    at_layers = to_pixels(plan.uv, topology, LAYER_SCALE)
    packed = pack(LAYER_SCALE, "lit", "skin", "keep", "left_lids", "right_lids", "mouth")
    lit_skin, skin, keep, left, right, lips = cv2.split(sample(packed, at_layers, border=cv2.BORDER_CONSTANT))
    trust = sample(view.trust, at_layers, border=cv2.BORDER_CONSTANT)
    left_closed, right_closed = closed_eyes(
        face.dense, None if uncovered is None else uncovered.irises, yaw_degrees=float(face.pose_degrees[0])
    )
    keep = np.maximum(np.maximum(keep, left_closed * left), right_closed * right)

    in_view = plan.inside * _visible(original, plan, topology, uncovered)
    cells = eye_distance / plan.grid.cell_wh[0]
    shift = plan.shift * in_view[..., None]
    moved = _moved(original, shift)
    keep = np.maximum(keep, lips * _inside_mouth(uncovered, plan, shift))
    even, factors, reach = moved, None, LIGHT_REACH
    if shading is not None:
        factors = _factors(shading, plan, shift, SHADOW_REACH * cells)
        even = np.clip(np.rint(moved * factors), 0, 255).astype(np.uint8)
        reach = EVEN_REACH
    texture = _textured(view, plan.uv, topology, eye_distance, size_wh)
    bare = lit_skin * trust * in_view
    light = _measured(texture, even, bare, reach * eye_distance / size_wh[0])
    lit = apply_light(match_sharpness(texture, moved, bare), light)
    shown = in_view * trust
    seen_skin = skin * smoothstep(shown, 0.02, 0.3)
    lit = match_patches(lit, even, seen_skin, PATCH_REACH * cells, reach * cells)
    if factors is not None:
        lit = np.minimum(lit / factors, np.float32(255))
    share = _full(shown * (1 - keep), size_wh)
    blended = cv2.blendLinear(lit, moved.astype(np.float32), share, 1 - share)
    return Patch(plan.box[0], plan.box[1], np.asarray(cv2.subtract(blended, original, dtype=cv2.CV_32F), np.float32))


def _factors(
    shading: Shading, plan: Plan, shift: Float32[np.ndarray, "gh gw 2"], sigma: float
) -> Float32[np.ndarray, "h w 3"]:
    """Factors that bring the frame's box, its face moved, to even light; smoothed by `sigma` cells.

    What is finer follows the frame's own features, and would draw them on the result.
    """
    logarithms = cv2.GaussianBlur(shading.over(plan.grid.to_grid(), plan.grid.size_wh), (0, 0), sigma)
    left, top, right, bottom = plan.box
    return np.exp(_full(_moved_cells(np.asarray(logarithms, np.float32), plan, shift), (right - left, bottom - top)))


def _inside_mouth(uncovered: Uncovered | None, plan: Plan, shift: Float32[np.ndarray, "gh gw 2"]) -> Mask:
    """Where the networks see teeth and the like, moved as the face is: points of wide open lips are not exact."""
    mouth = None if uncovered is None else uncovered.mouth_over(plan.grid.to_grid(), plan.grid.size_wh)
    if mouth is None:
        return np.zeros(shift.shape[:2], np.float32)
    return smoothstep(_moved_cells(mouth, plan, shift), *MOUTH)


def _moved_cells(
    field: Float32[np.ndarray, "gh gw *c"], plan: Plan, shift: Float32[np.ndarray, "gh gw 2"]
) -> Float32[np.ndarray, "gh gw *c"]:
    """A field on the plan's grid over the frame as it lies on the frame whose face is moved."""
    column, row = np.meshgrid(*(np.arange(count, dtype=np.float32) for count in plan.grid.size_wh))
    at = np.dstack([column, row]) + shift / np.array(plan.grid.cell_wh, np.float32)
    return np.asarray(sample(field, at.astype(np.float32)), np.float32)


def _visible(original: Frame, plan: Plan, topology: Topology, uncovered: Uncovered | None) -> Mask:
    """The part of the face that is in view, on the plan's grid."""
    small = cv2.resize(original, plan.grid.size_wh, interpolation=cv2.INTER_AREA)
    share = None if uncovered is None else uncovered.share_over(plan.grid.to_grid(), plan.grid.size_wh)
    return visible_face(small, plan.uv, topology, share)


def _measured(texture: Frame, moved: Frame, bare: Mask, reach: float) -> Light:
    """The light, measured on half the plan's grid; `reach` in widths of the box."""
    light_wh = (max(2, bare.shape[1] // 2), max(2, bare.shape[0] // 2))
    small = [cv2.resize(image, light_wh, interpolation=cv2.INTER_AREA) for image in (texture, moved, bare)]
    return measure_light(small[0], small[1], small[2], sigma=reach * light_wh[0])


def closed_eyes(
    dense: Float32[np.ndarray, "k 3"], irises: Float32[np.ndarray, "2"] | None = None, *, yaw_degrees: float = 0.0
) -> tuple[float, float]:
    """How far each eye is closed, 0..1: a closed eye's lids stay the frame's, since the photo's are open.

    Lids move together. Where one eye is closed and neither iris is well in view, points that leave the other open are
    not believed: a painted lid in bright light looks like an eye to them.

    Args:
        dense: The frame's face.
        irises: Chance that each iris is in view; None: points alone tell.
        yaw_degrees: Of the frame's face.
    """
    openness = np.array(eyes_openness(dense))
    closed = 1 - smoothstep(openness, *CLOSED)
    if irises is not None:
        hidden = 1 - smoothstep(irises, *IRIS)
        closed = np.maximum(closed, hidden * (1 - smoothstep(openness, *NARROW)))
        both = closed.max() * (1 - smoothstep(irises.mean(keepdims=True), *IRIS))
        both *= 1 - smoothstep(np.array([abs(yaw_degrees)]), *FACING_DEGREES)
        closed = np.maximum(closed, both * (1 - smoothstep(openness, *TOGETHER)))
    left, right = closed.tolist()
    return left, right


def make_plan(frame: Frame, face: Face, view: View, topology: Topology) -> Plan | None:
    """Places the result's points and reads from them where each grid cell comes from."""
    goal = with_shape(face.dense, view.shape, topology)
    box = working_box(goal, frame.shape[1], frame.shape[0])
    if box is None:
        return None
    grid = grid_over(box, GRID)
    shift = face.dense[:, :2] - goal[:, :2]
    goal = _part_lips(goal, LIPS_APART * grid.cell_wh[1])
    raster = rasterise(goal, topology.triangles, grid)
    values = np.concatenate([topology.uv, shift], axis=1)
    at = np.ascontiguousarray(interpolate(raster, goal, values, topology.triangles))
    at = np.asarray(cv2.medianBlur(at, 3), np.float32)  # where the mesh folds, a lone cell shows its back
    inside = raster.covered().astype(np.uint8)
    eye_cells = float(np.linalg.norm(goal[33] - goal[263])) / grid.cell_wh[0]
    distance = cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)
    ramp = np.clip((distance[1:-1, 1:-1] - 1.6) / (RIM * eye_cells), 0, 1)
    ramp = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return Plan(box, grid, at[..., :2], at[..., 2:], ramp)


def working_box(points: Float[np.ndarray, "k d"], width: int, height: int) -> tuple[int, int, int, int] | None:
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
    scale, rotation, shift = onto_mean(topology, dense)
    own = (scale * dense @ rotation.T + shift).astype(np.float32)
    difference = shape - own
    for ring, corners in ((LEFT_EYE, (33, 133)), (RIGHT_EYE, (263, 362))):
        _follow(difference, own, ring, corners)
    _rigidly(difference, LIPS_OUTER)
    difference = (topology.smoother @ difference) * _shape_weights(topology)[:, None]  # smoothed: no folds
    moved: Float32[np.ndarray, "k 3"] = (dense + difference @ rotation / scale).astype(np.float32)
    return moved


def _shape_weights(topology: Topology) -> Float32[np.ndarray, "k"]:
    return np.float32(SHAPE_SHARE) * smoothstep(topology.from_oval, 0.08, 0.43)


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
    both = [*ring, *LIPS_INNER]
    difference[both] = 0.5 * difference[both].mean(axis=0)


def _part_lips(dense: Float32[np.ndarray, "k 3"], least: float) -> Float32[np.ndarray, "k 3"]:
    """The points with lips at least so many pixels apart, which only closed ones are not.

    Across a closed mouth the place in the texture leaps from one lip to the other, and a coarse grid that is
    interpolated would draw all that lies between.
    """
    count = len(LIPS_INNER) // 2
    lower, upper = list(LIPS_INNER[1:count]), list(LIPS_INNER[:count:-1])
    along = dense[LIPS_INNER[count], :2] - dense[LIPS_INNER[0], :2]
    down = np.array([-along[1], along[0]], np.float32) / max(float(np.linalg.norm(along)), 1e-9)
    gap = (dense[lower, :2] - dense[upper, :2]) @ down
    widen = np.maximum(least * np.sin(np.linspace(0, np.pi, count + 1)[1:-1]) ** 0.5 - gap, 0)[:, None] / 2 * down
    parted = dense.copy()
    parted[lower, :2] += widen
    parted[upper, :2] -= widen
    return parted


def _moved(original: Frame, shift: Float32[np.ndarray, "gh gw 2"]) -> Frame:
    """The frame's own box, its face moved to the new shape."""
    height, width = original.shape[:2]
    at = _full(shift, (width, height))
    at[..., 0] += np.arange(width, dtype=np.float32)
    at[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    return sample(original, at)


def _textured(
    view: View, uv: Float32[np.ndarray, "gh gw 2"], topology: Topology, eye_distance: float, size_wh: tuple[int, int]
) -> Frame:
    """The identity's texture over the box, from the level whose detail fits the face's size."""
    level = int(np.argmin([abs(np.log(scale / max(eye_distance, 1))) for scale in view.scales]))
    return sample(view.levels[level], _full(to_pixels(uv, topology, view.scales[level]), size_wh))


def _full(image: Float32[np.ndarray, "gh gw *c"], size_wh: tuple[int, int]) -> Float32[np.ndarray, "h w *c"]:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), np.float32)
