"""Exact labels of rendered pictures: regions, points, visibility, depth, normals, pose, gaze, expression, light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from facegraft.data.regions import REGIONS
from facegraft.data.synth.body import Posed
from facegraft.data.synth.dress import Dresser
from facegraft.data.synth.light import Environments, harmonics
from facegraft.data.synth.paint import Samples
from facegraft.data.synth.perform import motion_of
from facegraft.data.synth.scene import Scene
from facegraft.data.synth.view import View

VISIBLE_WITHIN_DM = 0.06
"""A point that lies deeper than this behind what its pixel shows is hidden."""
PLANES = ("regions", "occluder", "depth", "normals", "inner", "own")
IN_FRONT = ("occluder", "face_mask")
OPENINGS = ((62, 66), (37, 41), (38, 40), (43, 47), (44, 46))


@dataclass(frozen=True)
class Labels:
    """Truth of a batch, one row per picture. Pixels: x, y; the centre of the first pixel is (0.5, 0.5).

    Attributes:
        regions: Numbers of `data/regions.py`.
        occluder: Share of each pixel that a thing before the face covers, 0..1.
        depth: Decimetres from the camera's plane to what is seen; 0 where there is background.
        normals: Of the nearest opaque surface, x right, y up, z to the camera; 0 where there is background.
        inner: Share of each pixel where the inner face shows, be it through hair.
        own: Share of each pixel that the person or what they wear covers.
        landmarks68: Pixels and, third, decimetres from the camera's plane; so are iris and dense.
        visible68: 1 where the point is seen, 0 where it lies outside the picture or more than 0.6 mm behind what its
            pixel shows, be that a thing, hair or the head itself; so are the others. Only depth is looked at.
        iris: Left and right, the person's own.
        dense: The 468 points of `faces/topology.py`.
        pose_degrees: Yaw, pitch, roll of the head as `core.types.Faces` has them.
        gaze_degrees: Yaw and pitch of left and right eye in the head.
        expression: Weights of the expression's morphs, then of its pose units; names in `Body.morph_names`,
            `Body.unit_names` and the card of a dataset.
        openness: Mouth, left eye, right eye: gap over the distance of the eyes.
        light: Spherical harmonics of all light, nine a colour, in the order of `light.harmonic_basis`.
        key: Direction to the key lamp, then its colour.
        camera: World (decimetres, origin at the face's centre) to x w, y w, w in picture heights.
    """

    regions: UInt8[Tensor, "b h w"]
    occluder: Float[Tensor, "b h w"]
    depth: Float[Tensor, "b h w"]
    normals: Float[Tensor, "b 3 h w"]
    inner: Float[Tensor, "b h w"]
    own: Float[Tensor, "b h w"]
    landmarks68: Float[Tensor, "b 68 3"]
    visible68: Float[Tensor, "b 68"]
    iris: Float[Tensor, "b 2 3"]
    visible_iris: Float[Tensor, "b 2"]
    dense: Float[Tensor, "b 468 3"]
    visible_dense: Float[Tensor, "b 468"]
    pose_degrees: Float[Tensor, "b 3"]
    gaze_degrees: Float[Tensor, "b 2 2"]
    expression: Float[Tensor, "b e"]
    openness: Float[Tensor, "b 3"]
    light: Float[Tensor, "b 9 3"]
    key: Float[Tensor, "b 2 3"]
    camera: Float[Tensor, "b 3 4"]

    def only_where(self, mask: Bool[Tensor, "b h w"], other: Labels) -> Labels:
        """These labels; outside the mask the other's planes."""
        planes = {}
        for name in PLANES:
            mine, theirs = getattr(self, name), getattr(other, name)
            planes[name] = torch.where(mask if mine.ndim == 3 else mask[:, None], mine, theirs)
        return replace(self, **planes)

    def row(self, number: int) -> Labels:
        """One picture's, as a batch of one."""
        return Labels(*(getattr(self, f.name)[number : number + 1] for f in fields(Labels)))

    @staticmethod
    def join(parts: Sequence[Labels]) -> Labels:
        """One batch of several."""
        return Labels(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Labels)))


def make_labels(
    samples: Samples,
    posed: Posed,
    view: View,
    light: Environments,
    dresser: Dresser,
    scenes: Sequence[Scene],
    size: int,
) -> Labels:
    """Labels at `size` pixels from samples at a multiple of it."""
    motion = motion_of(scenes, dresser.body)
    points = {
        "landmarks68": posed.vertices[:, dresser.body.landmarks],
        "iris": dresser.eyeballs.irises(posed),
        "dense": dresser.dense_points(posed),
    }
    placed = {name: view.project(at, size) for name, at in points.items()}
    seen = {name: visible(at, samples.depth, view, size) for name, at in placed.items()}
    depth = smallest(samples.depth, size)
    distance = view.distance_of(depth.flatten(1).clamp(max=1)).reshape(depth.shape)
    front = torch.zeros_like(samples.cover)
    for name in IN_FRONT:
        front += (samples.region == REGIONS[name]).float()
    scale = samples.depth.shape[1] // size
    return Labels(
        regions=majority(samples.region, size),
        occluder=F.avg_pool2d(front, scale),
        depth=torch.where(depth > 1, 0.0, distance),
        normals=F.normalize(F.avg_pool2d(samples.normal, scale), dim=1),
        inner=F.avg_pool2d(samples.inner.float(), scale),
        own=F.avg_pool2d(samples.own.float(), scale),
        landmarks68=with_distance(placed["landmarks68"], view),
        visible68=seen["landmarks68"],
        iris=with_distance(placed["iris"], view),
        visible_iris=seen["iris"],
        dense=with_distance(placed["dense"], view),
        visible_dense=seen["dense"],
        pose_degrees=motion.head,
        gaze_degrees=motion.gaze,
        expression=torch.cat([motion.morphs, motion.units], 1),
        openness=openness(points["landmarks68"], dresser.eyeballs.look(posed)[0]),
        light=harmonics(light),
        key=torch.stack([light.key_direction, light.key_colour], 1),
        camera=view.matrix,
    )


def with_distance(placed: Float[Tensor, "b n 3"], view: View) -> Float[Tensor, "b n 3"]:
    return torch.cat([placed[..., :2], view.distance_of(placed[..., 2])[..., None]], -1)


def visible(
    placed: Float[Tensor, "b n 3"], depth: Float[Tensor, "b s s"], view: View, size: int
) -> Float[Tensor, "b n"]:
    """1 for points inside the picture that nothing hides, 0 for the others."""
    side = depth.shape[1]
    at = (placed[..., :2] * (side / size)).floor().long()
    inside = ((at >= 0) & (at < side)).all(-1)
    at = at.clamp(0, side - 1)
    nearest = depth.flatten(1).gather(1, at[..., 1] * side + at[..., 0])
    gap = view.distance_of(placed[..., 2]) - view.distance_of(nearest.clamp(max=1))
    return (inside & (gap < VISIBLE_WITHIN_DM)).float()


def openness(points: Float[Tensor, "b 68 3"], eyes: Float[Tensor, "b 2 3"]) -> Float[Tensor, "b 3"]:
    """Gaps of mouth, left eye and right eye over the distance between the eyes."""
    unit = (eyes[:, 0] - eyes[:, 1]).norm(dim=1)
    mouth, *lids = ((points[:, a] - points[:, b]).norm(dim=1) / unit for a, b in OPENINGS)
    return torch.stack([mouth, (lids[2] + lids[3]) / 2, (lids[0] + lids[1]) / 2], 1)


def blocks(samples: Tensor, size: int) -> Tensor:
    """(b, size, size, k): the k samples of each pixel."""
    count, side = samples.shape[:2]
    k = side // size
    return samples.reshape(count, size, k, size, k).permute(0, 1, 3, 2, 4).reshape(count, size, size, k * k)


def majority(samples: UInt8[Tensor, "b s s"], size: int) -> UInt8[Tensor, "b h w"]:
    """The most frequent label of each pixel; the smaller number if two are as frequent."""
    return blocks(samples, size).mode(-1).values


def smallest(samples: Float[Tensor, "b s s"], size: int) -> Float[Tensor, "b h w"]:
    return blocks(samples, size).amin(-1)
