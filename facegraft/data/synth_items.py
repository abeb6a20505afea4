"""What a renderer gives, as items of a dataset: encoded pictures, labels as planes and arrays, facts to count by."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.core.types import Frame
from facegraft.data.dataset import Item
from facegraft.data.item import Facts, depth_plane, normals_plane
from facegraft.data.measure import measure
from facegraft.data.synth_plan import Shot, SynthOptions

if TYPE_CHECKING:
    from facegraft.data.synth.labels import Labels
    from facegraft.data.synth.people import Person
    from facegraft.data.synth.render import Rendered
    from facegraft.data.synth.scene import Scene

LICENCE = "CC0-1.0"
CONSENT = "not needed: rendered, nobody real is shown"
JPEG_QUALITY = 95
FLAT = ("landmarks68", "iris", "dense")
"""Points whose third coordinate, the distance, is not kept."""
PLAIN = ("visible68", "visible_dense", "pose_degrees", "gaze_degrees", "expression", "light", "camera")


def make_items(
    rendered: Rendered, shots: Sequence[Shot], people: Sequence[Person], scenes: Sequence[Scene], options: SynthOptions
) -> list[Item]:
    """One item per picture; `rendered` has labels."""
    from facegraft.data.synth.strata import stratum_of

    labels = rendered.labels
    if labels is None:
        raise ValueError("expected pictures with labels, found none")
    numbers = {name: getattr(labels, name).cpu().numpy() for name in (*FLAT, *PLAIN)}
    planes = {"regions": labels.regions.cpu().numpy(), **_shares(labels)}
    stored = options.planes.split(",")
    frames = rendered.image.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    items = []
    for row, (shot, person, scene) in enumerate(zip(shots, people, scenes, strict=True)):
        arrays = {name: values[row] for name, values in numbers.items()}
        arrays |= {name: arrays[name][:, :2] for name in FLAT}
        shown = {name: values[row] for name, values in planes.items()}
        items.append(
            Item(
                key=shot.key,
                person=f"rendered-{shot.person}",
                image=encode_frame(frames[row], None if options.picture == "png" else JPEG_QUALITY),
                licence=LICENCE,
                consent=CONSENT,
                origin=f"facegraft synth, person {shot.person}, scene {shot.scene}",
                synthetic=True,
                split=options.split,
                stratum=stratum_of(scene, photographed_light=bool(options.environments)),
                clip=shot.clip,
                frame_number=shot.frame,
                planes={name: encode_plane(plane) for name, plane in shown.items() if name in stored}
                | _deep_planes(labels, row, stored),
                arrays=arrays,
                facts=_facts(frames[row], arrays, shown, person, scene),
            )
        )
    return items


def with_even_light(items: Sequence[Item], rendered: Rendered) -> list[Item]:
    """The items with the same moments in even light as the plane "even"."""
    frames = rendered.image.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return [
        dataclasses.replace(item, planes=item.planes | {"even": encode_frame(frame)})
        for item, frame in zip(items, frames, strict=True)
    ]


def changed_plane(answer: Any, picture: Any) -> bytes:
    """PNG: 255 where a truth differs from the attribute's picture in any channel, 0 where they agree exactly."""
    differs = (answer != picture).any(dim=0).cpu().numpy()
    return encode_plane(differs.astype(np.uint8) * np.uint8(255))


def _shares(labels: Labels) -> dict[str, UInt8[np.ndarray, "b h w"]]:
    """Shares of pixels, 0..1, as 0..255."""
    named = {"occluder": labels.occluder, "visible": labels.inner, "own": labels.own}
    return {name: (share.clamp(0, 1) * 255).round().byte().cpu().numpy() for name, share in named.items()}


def _deep_planes(labels: Labels, row: int, stored: Sequence[str]) -> dict[str, bytes]:
    """Depth and normals of one picture, where they are asked for."""
    made = {}
    if "depth" in stored:
        made["depth"] = depth_plane(labels.depth[row].cpu().numpy())
    if "normals" in stored:
        made["normals"] = normals_plane(labels.normals[row].permute(1, 2, 0).cpu().numpy())
    return made


def _facts(
    frame: Frame,
    arrays: dict[str, np.ndarray],
    planes: dict[str, UInt8[np.ndarray, "h w"]],
    person: Person,
    scene: Scene,
) -> Facts:
    points = arrays["landmarks68"]
    facts: Facts = dict(measure(frame, points, (planes["visible"] / np.float32(255)).astype(np.float32)))
    facts |= {"occluded_share": _occluded(planes["occluder"], points), "expression": scene.expression.name}
    return facts | {"age": round(person.age, 1), "female": round(person.female, 3), "dial": person.dial}


def _occluded(occluder: UInt8[np.ndarray, "h w"], points: Float[np.ndarray, "68 2"]) -> float:
    """Share of what the landmarks enclose that a thing before the face covers."""
    inside = np.zeros(occluder.shape, np.uint8)
    hull = cv2.convexHull(np.floor(points).astype(np.int32))
    cv2.fillConvexPoly(inside, hull, 1)
    covered = occluder[inside > 0]
    return round(float(covered.mean()) / 255, 4) if covered.size else 0.0
