"""What the dense points mean: triangles, mirror twins, rings, the mean face they are measured against.

The layout is the 468-point face mesh. The mean face, its unrolled cylinder (uv) and the triangles were computed by
us from measured faces (`mesh468.json`); the lists below name points, as the mesh's documentation shows them.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Float, Float32, Int32

from facegraft.core.geometry import fit_rigid3

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
"""The eye at the left of the frame: the subject's right one."""
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
NOSE_TIP, CHIN, FOREHEAD = 1, 152, 10
MOUTH_LEFT, MOUTH_RIGHT = 61, 291
EYE_CENTRES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
"""Six points around each eye, as the 68-point convention counts them."""
LANDMARKS_68 = (
    127, 234, 93, 132, 58, 172, 136, 149, 152, 378, 365, 397, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""The mesh points nearest to the 68-point convention's."""
MIRROR_68 = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)  # fmt: skip
"""Each of the 68 points' twin on the other side of the face."""


@dataclass(frozen=True)
class Topology:
    """The mesh's fixed facts.

    Attributes:
        xyz: Mean face in outer-eye distances: x right, y down, z away from the viewer, 0 between the eyes.
        uv: The mean face unrolled from a cylinder, same unit.
        triangles: Point numbers, clockwise on the screen for a face that is turned to the viewer.
        mirror: Each point's twin on the other side.
    """

    xyz: Float32[np.ndarray, "k 3"]
    uv: Float32[np.ndarray, "k 2"]
    triangles: Int32[np.ndarray, "t 3"]
    mirror: Int32[np.ndarray, "k"]

    @functools.cached_property
    def uv_low(self) -> Float32[np.ndarray, "2"]:
        """The smallest u and v."""
        return self.uv.min(axis=0)

    @functools.cached_property
    def from_oval(self) -> Float32[np.ndarray, "k"]:
        """Distance of each point from the nearest point of the face's oval, unrolled, in outer-eye distances."""
        oval = self.uv[list(OVAL)]
        return np.linalg.norm(self.uv[:, None] - oval[None], axis=2).min(axis=1).astype(np.float32)

    @functools.cached_property
    def rigid_weights(self) -> Float[np.ndarray, "k"]:
        """1 for the upper face and nose, 0.1 for lips, lids, brows and jaw, which expressions move."""
        weights = np.where(self.xyz[:, 1] > 0.55, 0.1, 1.0)
        weights[[*LIPS_INNER, *LIPS_OUTER, *LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW]] = 0.1
        return weights

    @functools.cached_property
    def smoother(self) -> Float32[np.ndarray, "k k"]:
        """Four rounds of averaging each point half with its neighbours, as one matrix."""
        links = np.zeros((len(self.xyz), len(self.xyz)))
        for a, b in ((0, 1), (1, 2), (2, 0)):
            links[self.triangles[:, a], self.triangles[:, b]] = 1
            links[self.triangles[:, b], self.triangles[:, a]] = 1
        links /= np.maximum(links.sum(axis=1, keepdims=True), 1)
        once = 0.5 * np.eye(len(links)) + 0.5 * links
        return np.linalg.matrix_power(once, 4).astype(np.float32)


@functools.cache
def load_topology() -> Topology:
    text = resources.files("facegraft.faces").joinpath("mesh468.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return Topology(
        xyz=np.array(data["xyz"], np.float32),
        uv=np.array(data["uv"], np.float32),
        triangles=np.array(data["triangles"], np.int32),
        mirror=np.array(data["mirror"], np.int32),
    )


@functools.cache
def twins(count: int) -> Int32[np.ndarray, "k"]:
    """Each point's twin on the other side: of 2 eyes, the 68, the mesh, or the mesh, the 68 and two irises.

    Raises:
        ValueError: No set of so many points is known.
    """
    mesh = load_topology().mirror
    both = np.concatenate([mesh, len(mesh) + np.array([*MIRROR_68, 69, 68])])
    tables = {len(table): table for table in (np.array([1, 0]), np.array(MIRROR_68), mesh, both)}
    if count not in tables:
        raise ValueError(f"expected one of {sorted(tables)} points, found {count}")
    return tables[count].astype(np.int32)


def five_points(topology: Topology, dense: Float[np.ndarray, "k 3"]) -> Float32[np.ndarray, "5 2"]:
    """Left eye, right eye (in the frame), nose tip, left and right mouth corner."""
    eyes = [dense[list(ring), :2].mean(axis=0) for ring in EYE_CENTRES]
    rest = [dense[point, :2] for point in (NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT)]
    return np.stack([*eyes, *rest]).astype(np.float32)


def landmarks68(dense: Float[np.ndarray, "k 3"]) -> Float32[np.ndarray, "68 2"]:
    return dense[list(LANDMARKS_68), :2].astype(np.float32)


def head_pose(topology: Topology, dense: Float[np.ndarray, "k 3"]) -> Float32[np.ndarray, "3"]:
    """Yaw, pitch, roll in degrees, as `Faces.pose_degrees` defines them, from the best rigid fit of the mean face."""
    _, rotation, _ = fit_rigid3(topology.xyz.astype(np.float64), dense.astype(np.float64))
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    unroll = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    ahead = unroll @ rotation @ np.array([0.0, 0.0, -1.0])
    yaw = np.arctan2(ahead[0], -ahead[2])
    pitch = np.arctan2(-ahead[1], np.hypot(ahead[0], ahead[2]))
    return np.degrees([yaw, pitch, roll]).astype(np.float32)


NARROW = (0.17, 0.19)
"""Openness of an eye up to which it may be closed, and from which on it is not: points on closed lids leave it as open
as a narrow one."""


def eyes_openness(dense: Float[np.ndarray, "k 3"]) -> tuple[float, float]:
    """Openness of the left eye and of the right one, as an upright frame shows them; half of all are above 0.2."""
    return openness(dense, LEFT_EYE, (33, 133)), openness(dense, RIGHT_EYE, (263, 362))


def openness(dense: Float[np.ndarray, "k 3"], ring: tuple[int, ...], corners: tuple[int, int]) -> float:
    """Height over width of an eye or of the mouth: the area inside its ring over the squared corner distance."""
    points = dense[list(ring), :2].astype(np.float64)
    x, y = points[:, 0], points[:, 1]
    area = 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    width = float(np.linalg.norm(dense[corners[0]] - dense[corners[1]]))
    return area / max(width**2, 1e-9)
