"""A person's face unrolled: one texture per photo, in the coordinates of the mean face's cylinder.

Parts that a photo does not show are filled from its mirrored half, relit to match.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from facegraft.core.geometry import fit_rigid3, sample
from facegraft.core.types import Face, Frame, Mask
from facegraft.faces.layers import LAYER_SCALE, MARK, Atlas, atlas, layers, smoothstep, with_features
from facegraft.faces.mesh import Grid, facing, interpolate, rasterise
from facegraft.faces.parse import skin_likeness
from facegraft.faces.shading import Shading
from facegraft.faces.topology import Topology
from facegraft.faces.visible import Uncovered, certain, sharper
from facegraft.runtime.rims import without_rims
from facegraft.runtime.tinted import natural_brows, without_tint

MIN_SCALE, MAX_SCALE = 96, 320
"""Texture pixels per outer-eye distance."""
MIRROR_TRUST = 0.9
SHY = 0.07
"""Outer-eye distances by which a texture keeps away from what its photo hides, of a head that is turned aside; from the
front a fifth of that."""
TURNED = 0.6
"""Sine of the yaw at which a head counts as turned aside."""
COVERED_REACH = 0.15
"""How far beside what covers a photo's face little is believed but eyes: its shadow falls there, and its outline is
never quite right. Belief rises around that distance."""
SHADOW_REACH = 0.1
"""Size of shadows and highlights that are taken for light alone, in outer-eye distances; finer ones may be features."""
FINE_KEPT = 0.06
"""Logarithm of a factor that stays in the texture where light changes within `SHADOW_REACH`."""
LIGHT_REACH = 0.3
"""How far the light of a photo is smoothed when parts of another are fitted into it, in outer-eye distances."""


@dataclass(frozen=True)
class View:
    """One photo of a person, unrolled.

    Attributes:
        levels: Textures, each half the size of the one before; RGB.
        scales: Their pixels per outer-eye distance.
        trust: 0..1 where the texture comes from the photo or its mirror half, at `LAYER_SCALE`.
        shape: Points on the mean face's axes, in outer-eye distances.
        pose_degrees: Yaw, pitch, roll of the photo.
    """

    levels: list[UInt8[np.ndarray, "_h _w 3"]]
    scales: list[float]
    trust: Mask
    shape: Float32[np.ndarray, "k 3"]
    pose_degrees: Float32[np.ndarray, "3"]


def onto_mean(
    topology: Topology, dense: Float32[np.ndarray, "k 3"]
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Scale, rotation and shift that lay points onto the mean face, fitted on what expressions move least."""
    return fit_rigid3(dense.astype(np.float64), topology.xyz.astype(np.float64), topology.rigid_weights)


@dataclass(frozen=True)
class Unrolled:
    """A photo's texture as it is.

    Attributes:
        texture: RGB.
        own: 0..1 where the photo shows this part of the person.
        scale: Texture pixels per outer-eye distance.
        shape: As in `View`.
        pose_degrees: As in `View`.
    """

    texture: Frame
    own: Mask
    scale: int
    shape: Float32[np.ndarray, "k 3"]
    pose_degrees: Float32[np.ndarray, "3"]


def unroll(
    frame: Frame,
    face: Face,
    topology: Topology,
    uncovered: Uncovered | None = None,
    shading: Shading | None = None,
) -> Unrolled:
    """Takes a face off its photo, and the photo's light off the face; what covers it there counts as not shown."""
    eye_distance = float(np.linalg.norm(face.dense[33] - face.dense[263]))
    scale = int(np.clip(eye_distance, MIN_SCALE, MAX_SCALE))
    sheet = atlas(scale)
    position = interpolate(sheet.raster, topology.uv, face.dense[:, :2], topology.triangles)
    texture = _sample(frame, position, eye_distance / scale)
    seen = _seen(face, topology, sheet) * _within(position, frame)
    share = np.zeros_like(seen)
    if uncovered is not None:
        free, glasses = uncovered.share_at(position), uncovered.glasses_at(position)
        if glasses is not None:
            texture, free = without_rims(texture, free, glasses, scale)
        share = _drawn_in(free, 0.5 * SHY * scale)  # an outline has a fringe of both sides
        seen = seen * sharper(share) * _beside(sharper(free), scale)
    photo, factors = texture, None if shading is None else shading.at(position)
    if factors is not None:
        texture = _evened(photo, factors, scale)
    bare = cv2.resize(_bare(texture, seen), sheet.size_wh, interpolation=cv2.INTER_LINEAR)
    bare = np.maximum(bare, certain(share))
    own = (seen * bare).astype(np.float32)
    if factors is not None:
        lit = cv2.resize(layers(LAYER_SCALE)["lit"], sheet.size_wh, interpolation=cv2.INTER_LINEAR)
        texture = without_tint(photo, texture, factors, own * lit, scale)
        brows = cv2.resize(layers(LAYER_SCALE)["brows"], sheet.size_wh, interpolation=cv2.INTER_LINEAR)
        texture = natural_brows(texture, brows)
    size, rotation, shift = onto_mean(topology, face.dense)
    shape = (size * face.dense @ rotation.T + shift).astype(np.float32)
    return Unrolled(texture, own, scale, shape, face.pose_degrees)


def complete(photos: list[Unrolled]) -> list[View]:
    """One view per photo: what it does not show comes from the others, then from mirrored halves.

    All views share one shape, weighed by how straight each photo looks, so that nothing jumps between them.
    """
    straight = [max(float(np.cos(np.radians(photo.pose_degrees[0]))), 0.1) ** 2 for photo in photos]
    shape = np.average([photo.shape for photo in photos], axis=0, weights=straight).astype(np.float32)
    views = []
    for photo in photos:
        others = [_fitted(other, photo) for other in photos if other is not photo]
        mirrored = [
            (texture[:, ::-1], MIRROR_TRUST * own[:, ::-1]) for texture, own in (_fitted(photo, photo), *others)
        ]
        texture, trust = _filled(photo, [*others, *mirrored])
        levels, scales = [texture], [float(photo.scale)]
        while scales[-1] > 40:
            levels.append(cv2.pyrDown(levels[-1]))
            scales.append(scales[-1] * levels[-1].shape[1] / levels[-2].shape[1])
        small_trust = cv2.resize(trust, atlas(LAYER_SCALE).size_wh, interpolation=cv2.INTER_AREA)
        views.append(View(levels, scales, small_trust, shape, photo.pose_degrees))
    return views


def _evened(texture: Frame, factors: Float32[np.ndarray, "h w 3"], scale: int) -> Frame:
    """The texture in even light. Of what is fine in the factors, as features are, only what is strong counts."""
    wide = cv2.GaussianBlur(factors, (0, 0), SHADOW_REACH * scale)
    fine = factors - wide
    strong = np.sign(fine) * np.maximum(np.abs(fine) - np.float32(FINE_KEPT), 0)
    return np.clip(np.rint(texture * np.exp(wide + strong)), 0, 255).astype(np.uint8)


def _beside(free: Mask, scale: int) -> Mask:
    """1 where what covers the face (free 0) is farther than `COVERED_REACH`, and around eyes."""
    far = _drawn_in(np.asarray(cv2.GaussianBlur(free, (0, 0), 0.02 * scale), np.float32), COVERED_REACH * scale)
    far = cv2.GaussianBlur(far, (0, 0), 0.5 * COVERED_REACH * scale)
    eyes = cv2.resize(layers(LAYER_SCALE)["eyes"], (free.shape[1], free.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(eyes + far * (1 - eyes), np.float32)


def _fitted(photo: Unrolled, onto: Unrolled) -> tuple[Frame, Mask]:
    """A photo's texture and its own part at another's size."""
    size_wh = (onto.texture.shape[1], onto.texture.shape[0])
    if photo.texture.shape == onto.texture.shape:
        return photo.texture, photo.own
    way = cv2.INTER_AREA if photo.scale > onto.scale else cv2.INTER_LINEAR
    return cv2.resize(photo.texture, size_wh, interpolation=way), cv2.resize(photo.own, size_wh, interpolation=way)


def _sample(frame: Frame, position: Float32[np.ndarray, "h w 2"], shrink: float) -> Frame:
    """Picture values at positions (pixels), from a picture first reduced where it has more detail than the texture."""
    if shrink > 1.3:
        small_wh = (max(1, round(frame.shape[1] / shrink)), max(1, round(frame.shape[0] / shrink)))
        position = position * np.array(small_wh, np.float32) / np.array(frame.shape[1::-1], np.float32)
        frame = cv2.resize(frame, small_wh, interpolation=cv2.INTER_AREA)
    centred = (position - 0.5).astype(np.float32)
    return sample(frame, centred, interpolation=cv2.INTER_CUBIC)


def _within(position: Float32[np.ndarray, "h w 2"], frame: Frame) -> Mask:
    """1 where a position lies inside the photo: a face that its border cuts has no picture of the rest."""
    inside = (position >= 0) & (position <= np.array(frame.shape[1::-1], np.float32))
    mask = np.asarray(inside.all(axis=2), np.float32)
    return np.asarray(cv2.erode(mask, np.ones((5, 5), np.uint8)), np.float32)


def _seen(face: Face, topology: Topology, sheet: Atlas) -> Mask:
    """1 where the photo looks straight enough at the surface and nothing of the face lies before it."""
    points = face.dense.astype(np.float64)
    a, b, c = (points[topology.triangles[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    ahead = normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-9)
    free = np.where(_hidden(face, topology), -1.0, 1.0)
    total, count = np.zeros((len(points), 2)), np.zeros((len(points), 1))
    for corner in range(3):
        np.add.at(total, topology.triangles[:, corner], np.stack([ahead, free], axis=1))
        np.add.at(count, topology.triangles[:, corner], 1)
    value = interpolate(sheet.raster, topology.uv, total / np.maximum(count, 1), topology.triangles)
    sure = np.minimum(smoothstep(value[..., 0], 0.08, 0.35), smoothstep(value[..., 1], 0.0, 0.7))
    # Next to what is hidden, the mesh's small errors already reach behind the face, the more it is turned. From the
    # front that is the base of the nose, which frames show at the same angle.
    turned = min(abs(float(np.sin(np.radians(face.pose_degrees[0])))) / TURNED, 1.0)
    wary = _drawn_in(sure, SHY * (0.2 + 0.8 * turned) * sheet.scale)
    return np.asarray(cv2.GaussianBlur(wary, (0, 0), sheet.scale * 0.04))


def _drawn_in(mask: Mask, pixels: float) -> Mask:
    """The mask less a border of so many pixels."""
    brush = np.ones((2 * round(pixels) + 1,) * 2, np.uint8)
    return np.asarray(cv2.erode(mask, brush, borderType=cv2.BORDER_REPLICATE), np.float32)


def _hidden(face: Face, topology: Topology) -> Bool[np.ndarray, "t"]:
    """Triangles whose middle another, clearly nearer triangle covers (the nose over the far cheek)."""
    eye_distance = float(np.linalg.norm(face.dense[33] - face.dense[263]))
    cell = eye_distance / 48
    left, top = face.dense[:, :2].min(axis=0)
    right, bottom = face.dense[:, :2].max(axis=0)
    size_wh = (int((right - left) / cell) + 2, int((bottom - top) / cell) + 2)
    raster = rasterise(face.dense, topology.triangles, Grid((float(left), float(top)), size_wh, (cell, cell)))
    middles = face.dense[topology.triangles].mean(axis=1)
    column = np.clip(((middles[:, 0] - left) / cell).astype(int), 0, size_wh[0] - 1)
    row = np.clip(((middles[:, 1] - top) / cell).astype(int), 0, size_wh[1] - 1)
    shown = raster.triangle[row, column]
    in_front = middles[np.maximum(shown, 0), 2] < middles[:, 2] - 0.12 * eye_distance
    hidden: Bool[np.ndarray, "t"] = ((shown >= 0) & in_front) | (facing(face.dense, topology.triangles) <= 0)
    return hidden


def _bare(texture: Frame, seen: Mask) -> Mask:
    """Where an unrolled photo shows the person and nothing else: skin, features, beard; at the layers' scale."""
    fixed = layers(LAYER_SCALE)
    small = cv2.resize(texture, atlas(LAYER_SCALE).size_wh, interpolation=cv2.INTER_AREA)
    shown = cv2.resize(seen, atlas(LAYER_SCALE).size_wh, interpolation=cv2.INTER_AREA)
    like = skin_likeness(small, fixed["sure"] * shown, fixed["safe"], mark_px=round(MARK * LAYER_SCALE))
    beard = fixed["lower"] * cv2.GaussianBlur(like.beard, (0, 0), 1.5)
    # where rims of glasses run, doubt counts in full: half believed, they leave a ghost
    strict = smoothstep(cv2.erode(like.skin, np.ones((3, 3), np.uint8)), 0.3, 0.9)
    skin = like.skin + fixed["rims"] * (strict - like.skin)
    return np.maximum(with_features(skin, fixed["skin"], fixed["drawn"], LAYER_SCALE), beard)


def _filled(photo: Unrolled, donors: list[tuple[Frame, Mask]]) -> tuple[Frame, Mask]:
    """Fills what the photo does not show from donors in turn, each in the photo's light; and how far to trust it."""
    reach = LIGHT_REACH * photo.scale
    total = photo.own
    low = smooth_where(photo.texture.astype(np.float32), total, reach)
    mixed = total[..., None] * photo.texture.astype(np.float32)
    for texture, own in donors:
        values = np.ascontiguousarray(texture).astype(np.float32)
        donor_low = smooth_where(values, np.ascontiguousarray(own), reach)
        taken = (1 - total) * own
        mixed += taken[..., None] * values * np.clip((low + 4) / (donor_low + 4), 0.3, 3)
        total = total + taken
    mixed += np.clip(1 - total, 0, 1)[..., None] * low
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), np.clip(total, 0, 1).astype(np.float32)


def smooth_where(
    image: Float32[np.ndarray, "h w 3"], weight: Mask, sigma: float, floor: float = 1e-3
) -> Float32[np.ndarray, "h w 3"]:
    """Gaussian mean of the pixels that count; computed on a small copy, since it is smooth."""
    shrink = max(1, int(sigma / 4))
    size_wh = (max(1, image.shape[1] // shrink), max(1, image.shape[0] // shrink))
    w = cv2.resize(weight, size_wh, interpolation=cv2.INTER_AREA)[..., None]
    small = cv2.resize(image * weight[..., None], size_wh, interpolation=cv2.INTER_AREA)
    mean = (small.sum(axis=(0, 1)) / max(float(w.sum()), 1e-6)).astype(np.float32)
    both = np.concatenate([small, w], axis=2)
    blurred = cv2.GaussianBlur(both, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT)
    smooth = (blurred[..., :3] + floor * mean) / (blurred[..., 3:] + floor)
    return np.asarray(cv2.resize(smooth, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
