"""What is known of the faces of a dataset, as landmarks and attributes are trained on it: points, visibility, trust.

Rendered faces have exact points; photographs have a teacher's 468, of which the 68 landmarks follow by a mixture that
rendered faces teach (their 68 and 468 lie on the same surface). Irises of photographs are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.data.item import Row
from facegraft.data.regions import REGIONS
from facegraft.faces.topology import EYE_CENTRES, LANDMARKS_68, load_topology
from facegraft.frozen.landmarks import DENSE, IRISES, POINTS, SPARSE
from facegraft.train.eyes.crops import seen_at
from facegraft.train.eyes.pictures import Pictures

RENDER_PLANES = ("regions",)
RENDER_ARRAYS = (
    "dense", "visible_dense", "landmarks68", "visible68", "iris", "pose_degrees", "gaze_degrees", "expression", "light",
    "camera",
)  # fmt: skip
PHOTO_PLANES = ("visible",)
PHOTO_ARRAYS = ("dense", "pose_degrees")
EYE_POINTS = [point for ring in EYE_CENTRES for point in ring]
HIDDEN_WEIGHT = 0.5
"""Of points that cannot be seen: where they lie is known of renders, but no picture says it exactly."""
NEIGHBOURS = 12
FACING = 0.08
"""Cosine between a mesh point's normal and the view from which on a teacher's point counts as seen."""
FACED_BOTH_WAYS = 0.25
"""Below it, and above minus it, nothing is said about a teacher's point."""


@dataclass(frozen=True)
class Trust:
    """Which of a teacher's faces are believed; bounds on the facts that `ingest` keeps."""

    least_score: float = 0.8
    most_yaw: float = 50.0
    most_pitch: float = 35.0
    most_cut: float = 0.05
    """Share of the face outside the picture."""
    most_hidden: float = 0.35
    """Share of the face that something hides."""
    least_px: float = 80.0
    """Side of the face in the photograph."""


@dataclass(frozen=True, eq=False)
class Known:
    """Faces and what is known of their 538 points.

    Attributes:
        pictures: One face each.
        points: In pixels of the pictures; z in the same unit, 0 at the eyes, smaller = nearer.
        weights: 0 = not known.
        visible: 1 = seen.
        visible_weights: 0 = not known.
        rendered: Made by a program of ours, so that all labels are exact.
    """

    pictures: Pictures
    points: Float[Tensor, "n 538 3"]
    weights: Float[Tensor, "n 538"]
    visible: Float[Tensor, "n 538"]
    visible_weights: Float[Tensor, "n 538"]
    rendered: bool

    def __len__(self) -> int:
        return len(self.points)

    @property
    def dense(self) -> Float[Tensor, "n 468 3"]:
        return self.points[:, :DENSE]

    def strata(self) -> list[str]:
        """A name for each picture's group, without spaces."""
        return [
            (row.stratum or ("rendered" if self.rendered else "real")).replace(" ", "_") for row in self.pictures.rows
        ]


def known_of_renders(pictures: Pictures) -> Known:
    """Rendered faces, all of whose points are exact but for depth where the dataset has none."""
    pictures = pictures.where(pictures.has["dense"] & pictures.has["landmarks68"] & pictures.has["iris"])
    flat = pictures.arrays["dense"]
    dense = flat if flat.shape[-1] == 3 else torch.cat([flat, depth_of(flat)[..., None]], -1)
    dense = from_eyes(dense)
    iris = pictures.arrays["iris"][:, :, :2].flip(1)  # renders count the person's own left first
    eye_depth = torch.stack([dense[:, list(ring), 2].mean(1) for ring in EYE_CENTRES], 1)
    sparse = pictures.arrays["landmarks68"][..., :2]
    sparse_depth = dense[:, list(LANDMARKS_68), 2]
    rest = torch.cat([sparse, iris], 1)
    rest = torch.cat([rest, torch.cat([sparse_depth, eye_depth], 1)[..., None]], -1)
    open_ = (seen_at(pictures.planes["regions"], iris) == REGIONS["eye"]).float()
    visible = torch.cat([pictures.arrays["visible_dense"], pictures.arrays["visible68"], open_], 1)
    told = torch.ones_like(visible)
    return Known(
        pictures, torch.cat([dense, rest], 1), HIDDEN_WEIGHT + (1 - HIDDEN_WEIGHT) * visible, visible, told, True
    )


def known_of_photos(
    pictures: Pictures, to68: Float[Tensor, "68 468"], trust: Trust, weight: float | int = 1.0
) -> Known:
    """Photographs with a teacher's 468 points, as far as they are trusted.

    Args:
        pictures: Of `ingest`.
        to68: From `mixture68`.
        trust: Whom to believe.
        weight: Of the points, against exact ones.

    Whether a point is seen follows from where the mesh faces and from the plane "visible"; where it faces aside,
    nothing is said.

    Raises:
        BadInputError: No face is trusted.
    """
    trusted = torch.tensor([is_trusted(row, trust) for row in pictures.rows], dtype=torch.bool)
    if not (trusted & pictures.has["dense"]).any():
        raise BadInputError(f"none of {len(pictures)} photographs is trusted; lower the bounds in [data.trust]")
    pictures = pictures.where(trusted & pictures.has["dense"])
    dense = from_eyes(pictures.arrays["dense"])
    count = len(dense)
    sparse = (to68 @ dense.flatten(2).double()).float()
    points = torch.cat([dense, sparse, torch.zeros(count, IRISES, 3)], 1)
    weights = torch.full((count, POINTS), float(weight))
    weights[:, -IRISES:] = 0
    facing = mesh_facing(dense)
    shown = seen_at(pictures.planes["visible"], dense) > 127
    shown |= ~pictures.has["visible"][:, None]
    seen = ((facing > FACING) & shown).float()
    sure = ((facing.abs() > FACED_BOTH_WAYS) | ~shown).float()
    nearest = to68.argmax(1)
    visible = torch.cat([seen, seen[:, nearest], torch.zeros(count, IRISES)], 1)
    told = torch.cat([sure, sure[:, nearest], torch.zeros(count, IRISES)], 1)
    return Known(pictures, points, weights, visible, told, rendered=False)


def is_trusted(row: Row, trust: Trust) -> bool:
    """Whether a teacher's points of a photograph are good enough to learn from."""
    yaw, pitch = (0.0, 0.0) if row.pose_degrees is None else row.pose_degrees[:2]
    return (
        _number(row.facts, "score", 1.0) >= trust.least_score
        and abs(yaw) <= trust.most_yaw
        and abs(pitch) <= trust.most_pitch
        and _number(row.facts, "cut_share", 0.0) <= trust.most_cut
        and _number(row.facts, "occluded_share", 0.0) <= trust.most_hidden
        and _number(row.facts, "face_px", 1e9) >= trust.least_px
    )


def from_eyes(dense: Float[Tensor, "n 468 3"]) -> Float[Tensor, "n 468 3"]:
    """Points with their depth counted from the mean of the eyes' points."""
    depth = dense[..., 2:] - dense[:, EYE_POINTS, 2:].mean(1, keepdim=True)
    return torch.cat([dense[..., :2], depth], -1)


def depth_of(flat: Float[Tensor, "n 468 2"]) -> Float[Tensor, "n 468"]:
    """Depth of the mean face turned and scaled as the points are (weak perspective), in the points' unit.

    Of 151 rendered faces it differed from MediaPipe's depth by 2 % of the face's side on average, correlation .98.
    """
    topology = load_topology()
    mean = torch.from_numpy(topology.xyz).double()
    weight = torch.from_numpy(topology.rigid_weights).double()[:, None]
    left = torch.cat([mean, torch.ones(DENSE, 1, dtype=torch.float64)], 1) * weight
    solved = torch.linalg.lstsq(left.expand(len(flat), -1, -1), flat.double() * weight).solution
    u, size, v = torch.linalg.svd(solved[:, :3].mT, full_matrices=False)
    turn = u @ v  # the first two rows of the rotation
    ahead = torch.linalg.cross(turn[:, 0], turn[:, 1])
    return ((mean @ ahead.mT).T * size.mean(1, keepdim=True)).float()


def mesh_facing(dense: Float[Tensor, "n 468 3"]) -> Float[Tensor, "n 468"]:
    """Cosine between the mesh's normal at each point and the direction to the viewer."""
    triangles = torch.from_numpy(load_topology().triangles).long()
    a, b, c = (dense[:, triangles[:, corner]] for corner in range(3))
    normals = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(dense)
    for corner in range(3):
        total.index_add_(1, triangles[:, corner], normals)
    return -total[..., 2] / total.norm(dim=-1).clamp(min=1e-9) * _outward()


def mixture68(dense: Float[Tensor, "n 468 d"], sparse: Float[Tensor, "n 68 d"]) -> Float[Tensor, "68 468"]:
    """Each of the 68 points as a mixture of mesh points near it, weights summing to 1, fitted to faces in x and y."""
    scale = (dense[..., :2].amax(1) - dense[..., :2].amin(1)).amax(1).double()[:, None, None]
    middle = dense[..., :2].double().mean(1, keepdim=True)
    mesh, wanted = (dense[..., :2].double() - middle) / scale, (sparse[..., :2].double() - middle) / scale
    mixed = torch.zeros(SPARSE, DENSE, dtype=torch.float64)
    for number in range(SPARSE):
        apart = (mesh - wanted[:, number : number + 1]).square().sum(-1).mean(0)
        near = apart.argsort()[:NEIGHBOURS]
        basis = mesh[:, near].transpose(1, 2).flatten(0, 1)
        first = basis[:, :1]
        rest, goal = basis[:, 1:] - first, wanted[:, number].flatten() - first[:, 0]
        ridge = torch.eye(NEIGHBOURS - 1, dtype=torch.float64) * 1e-4 * len(goal) / 100
        weights = torch.linalg.solve(rest.T @ rest + ridge, rest.T @ goal)
        mixed[number, near] = torch.cat([1 - weights.sum()[None], weights])
    return mixed


def mean_and_directions(
    points: Float[Tensor, "n 538 3"], weights: Float[Tensor, "n 538"], count: int
) -> tuple[Float[Tensor, "538 3"], Float[Tensor, "r 538 3"]]:
    """Mean face of crops and the first principal directions, each times its standard deviation.

    Only faces all of whose points are known count.
    """
    whole = points[(weights > 0).all(1)].double().flatten(1)
    mean = whole.mean(0)
    apart = (whole - mean) / max(len(whole) - 1, 1) ** 0.5
    kept = min(count, len(whole) - 1)
    own = torch.linalg.eigh(apart @ apart.T).eigenvectors.flip(1)[:, :kept]  # fewer faces than coordinates
    return mean.float().unflatten(0, (POINTS, 3)), (own.T @ apart).float().unflatten(1, (POINTS, 3))


def outer_eye_distance(points: Float[Tensor, "b k 3"]) -> Float[Tensor, "b"]:
    """Between the outer corners of the eyes in space, so that a turned head counts as if it were seen from ahead."""
    left, right = EYE_CENTRES[0][0], EYE_CENTRES[1][3]
    return (points[:, left] - points[:, right]).norm(dim=-1)


def openings(dense: Float[Tensor, "b k 3"]) -> Float[Tensor, "b 3"]:
    """Left eye, right eye (in the frame), mouth: gap between the lids or inner lips over the distance of the corners.

    For eyes the eye aspect ratio of Soukupova and Cech (2016), in space.
    """

    def apart(a: int, b: int) -> Tensor:
        return (dense[:, a] - dense[:, b]).norm(dim=-1)

    eyes = [(apart(r[1], r[5]) + apart(r[2], r[4])) / (2 * apart(r[0], r[3])).clamp(min=1e-6) for r in EYE_CENTRES]
    return torch.stack([*eyes, apart(13, 14) / apart(78, 308).clamp(min=1e-6)], 1)


def in_picture(pose_degrees: Float[Tensor, "n 3"], camera: Float[Tensor, "n 3 4"]) -> Float[Tensor, "n 3"]:
    """A rendered head's pose as the picture shows it: renders label the head alone, but the camera may be turned."""
    turned = torch.rad2deg(torch.atan2(camera[:, 0, 1], camera[:, 0, 0]))
    return torch.cat([pose_degrees[:, :2], (pose_degrees[:, 2] + turned)[:, None]], 1)


def _outward() -> float:
    """1 or -1: which way the triangles' normals of the mean face point."""
    topology = load_topology()
    a, b, c = (topology.xyz[topology.triangles[:, corner]] for corner in range(3))
    area: Float32[np.ndarray, "t 3"] = np.cross(b - a, c - a)
    return 1.0 if float(area[:, 2].sum()) < 0 else -1.0


def _number(facts: Mapping[str, str | float | int | bool], name: str, otherwise: float) -> float:
    value = facts.get(name, otherwise)
    return float(value) if isinstance(value, (int, float)) else otherwise
