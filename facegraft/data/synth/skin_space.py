"""Where each texel of the head's texture lies on a mean adult's surface, so that paint has sizes in decimetres.

The HEAD RECTANGLE of the uv map holds the head, the inside of the mouth and a hand: columns 1296..2048 and rows
352..2048 of a 2048 px picture, rows counted from the top.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from facegraft.data.synth.formats import Mesh, read_morph, read_obj
from facegraft.data.synth.landmarks import LANDMARKS68

FULL_PX = 2048
LEFT, TOP = 1296, 352
FULL_HW = (FULL_PX - TOP, FULL_PX - LEFT)
HEAD_ABOVE = 4.8
"""Only faces of the base mesh above this height may be in the head's part of the atlas (the hand is in it too)."""


@dataclass(frozen=True)
class SkinSpace:
    """The atlas at one scale. Places are decimetres on the mean adult; the origin is the middle of the eyes."""

    scale: float
    places: Float32[np.ndarray, "3 h w"]
    """x to the person's left, y up, z forward."""
    filled_from: Int64[np.ndarray, "h w"]
    """Number of the texel to copy from: itself on the surface, the nearest well inside it elsewhere."""
    on_surface: Bool[np.ndarray, "h w"]
    head: Bool[np.ndarray, "h w"]
    """On the outer skin of head and neck: no mouth interior, no hand."""
    from_neck: Float32[np.ndarray, "h w"]
    """Distance from the seam between head and neck, decimetres."""
    landmarks: Float32[np.ndarray, "68 3"]
    texel_dm: float
    """Size of a texel on the middle of the face."""

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.places.shape[1], self.places.shape[2]

    @functools.cached_property
    def eye_distance(self) -> float:
        """Between the outer corners of the eyes."""
        return float(np.linalg.norm(self.landmarks[36] - self.landmarks[45]))

    @functools.cached_property
    def _front(self) -> tuple[cKDTree, Float32[np.ndarray, "n 3"]]:
        """Texels of the outer skin that look forward, found by x and y."""
        points = self.places[:, self.head & (self.places[2] > -1.0)].T
        points = points[points[:, 1] > -1.9]
        return cKDTree(points[:, :2]), points

    def on_face(self, points_xy: Float[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 3"]:
        """Lay points of the frontal view onto the surface."""
        tree, points = self._front
        _, near = tree.query(points_xy, k=6)
        depth = points[near, 2].max(axis=1)
        return np.column_stack([points_xy, depth]).astype(np.float32)

    def blob(self, centre: Float[np.ndarray, "3"], radius_dm: tuple[float, float, float]) -> Float32[np.ndarray, "h w"]:
        """A soft spot: 1 at the centre, 1/e at the radius."""
        offset = (self.places - centre.reshape(3, 1, 1)) / np.reshape(radius_dm, (3, 1, 1))
        return np.exp(-np.minimum((offset**2).sum(0), 40)).astype(np.float32)

    def along(
        self, curve: Float[np.ndarray, "n 3"], reach_dm: float
    ) -> tuple[Int64[np.ndarray, "m"], Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
        """The texels near a curve: their numbers, their distances (decimetres), how far along it they are (0..1)."""
        fine = refine(curve, min(reach_dm / 12, self.texel_dm))
        low, high = fine.min(0) - reach_dm, fine.max(0) + reach_dm
        near = self.head.copy()
        for axis in range(3):
            near &= (self.places[axis] > low[axis]) & (self.places[axis] < high[axis])
        numbers = np.flatnonzero(near)
        distance, nearest = cKDTree(fine).query(self.places.reshape(3, -1)[:, numbers].T, distance_upper_bound=reach_dm)
        hit = np.isfinite(distance)
        return numbers[hit], distance[hit], nearest[hit] / max(len(fine) - 1, 1)

    def away_from(self, curve: Float[np.ndarray, "n 3"], reach_dm: float) -> Float32[np.ndarray, "h w"]:
        """Distance of each texel from a curve, decimetres; `reach_dm` where it is that far or farther."""
        out = np.full(self.size_hw, reach_dm, np.float32)
        numbers, distance, _ = self.along(curve, reach_dm)
        out.reshape(-1)[numbers] = distance
        return out


def refine(curve: Float[np.ndarray, "n 3"], step: float) -> Float[np.ndarray, "m 3"]:
    """A smooth curve through the points (Catmull-Rom), in steps no longer than `step`."""
    points = np.concatenate([2 * curve[:1] - curve[1:2], curve, 2 * curve[-1:] - curve[-2:-1]])
    parts = []
    for a, b, c, d in zip(points[:-3], points[1:-2], points[2:-1], points[3:], strict=True):
        count = max(int(np.ceil(np.linalg.norm(c - b) / step)), 1)
        t = (np.arange(count) / count)[:, None]
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*parts, curve[-1:]])


def mean_adult(assets: Path, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
    """Mean of MakeHuman's adults: both sexes, all race targets, rather young, average build."""
    out = vertices.copy()
    for sex in ("female", "male"):
        for age, age_share in (("young", 0.7), ("old", 0.3)):
            names = {f"universal-{sex}-{age}-averagemuscle-averageweight": 0.5 * age_share}
            names |= {f"{race}-{sex}-{age}": 0.5 * age_share / 3 for race in ("african", "asian", "caucasian")}
            for name, weight in names.items():
                rows, deltas = read_morph(assets / "data" / "targets" / "macrodetails" / f"{name}.target")
                out[rows] += weight * deltas
    return out


@functools.lru_cache(maxsize=2)
def read_base(assets: Path) -> tuple[Mesh, Float[np.ndarray, "v 3"]]:
    """The base mesh, and the mean adult with the middle of the eyes (landmarks 36, 39, 42, 45) at the origin."""
    mesh = read_obj(assets / "data" / "3dobjs" / "base.obj")
    vertices = mean_adult(assets, mesh.vertices)
    return mesh, vertices - vertices[[LANDMARKS68[i] for i in (36, 39, 42, 45)]].mean(0)


def read_space(assets: Path, scale: float | int) -> SkinSpace:
    """Rasterise the head rectangle at a scale: 1, 1/2 or 1/4."""
    mesh, vertices = read_base(assets)
    size = round(FULL_HW[0] * scale), round(FULL_HW[1] * scale)
    faces = mesh.groups["body"]
    corners = mesh.uvs[mesh.face_uvs[faces]] * (1, -1) + (0, 1)
    texels = (corners * FULL_PX - (LEFT, TOP)) * scale
    inside = (texels[..., 0].max(1) > 0) & (texels[..., 1].max(1) > 0)
    inside &= (texels[..., 0].min(1) < size[1]) & (texels[..., 1].min(1) < size[0])
    points = vertices[mesh.faces[faces]]
    high = mesh.vertices[mesh.faces[faces]][..., 1].min(1) > HEAD_ABOVE
    places, kind = _rasterise(texels[inside], points[inside], high[inside], size)
    on_surface = kind > 0
    deep = distance_transform_edt(on_surface) > max(3.0 * scale, 1.5)
    _, (rows, columns) = distance_transform_edt(~deep, return_indices=True)
    filled = (rows * size[1] + columns).astype(np.int64)
    own = np.arange(size[0] * size[1]).reshape(size)
    filled = np.where(deep, own, filled)
    row_px = (np.arange(size[0])[:, None] + 0.5) / scale
    head = on_surface & (kind == 2) & (row_px < 1400)  # the mouth's inside lies below
    places = places.reshape(3, -1)[:, np.where(on_surface, own, filled).ravel()].reshape(3, *size)
    landmarks = vertices[list(LANDMARKS68)].astype(np.float32)
    own_faces = np.zeros(len(faces), bool)
    own_faces[inside] = True
    seam = np.intersect1d(mesh.faces[faces[own_faces & high]], mesh.faces[faces[~own_faces]])
    seam = seam[vertices[seam, 1] < -0.55]  # the lids' insides lie elsewhere too
    from_neck, _ = cKDTree(vertices[seam]).query(places.reshape(3, -1).T)
    distance = from_neck.reshape(size).astype(np.float32)
    return SkinSpace(
        float(scale), places, filled, on_surface, head, distance, landmarks, _texel_size(places, landmarks)
    )


def _texel_size(places: Float32[np.ndarray, "3 h w"], landmarks: Float32[np.ndarray, "68 3"]) -> float:
    near = np.linalg.norm(places - landmarks[33].reshape(3, 1, 1), axis=0) < 0.6
    step = np.linalg.norm(np.diff(places, axis=1), axis=0)[near[1:]]
    return float(np.median(step))


def _rasterise(
    texels: Float[np.ndarray, "f 4 2"],
    points: Float[np.ndarray, "f 4 3"],
    high: Bool[np.ndarray, "f"],
    size_hw: tuple[int, int],
) -> tuple[Float32[np.ndarray, "3 h w"], Int64[np.ndarray, "h w"]]:
    """Places by barycentric interpolation, and 0 nothing, 1 surface, 2 surface of the head."""
    places = np.zeros((3, *size_hw), np.float32)
    kind = np.zeros(size_hw, np.int64)
    for order in ((0, 1, 2), (0, 2, 3)):
        for corners, values, is_high in zip(texels[:, order], points[:, order], high, strict=True):
            low = np.maximum(np.floor(corners.min(0) - 0.5).astype(int), 0)
            top = np.minimum(np.ceil(corners.max(0) + 0.5).astype(int), (size_hw[1], size_hw[0]))
            if (low >= top).any():
                continue
            edge_a, edge_b = corners[1] - corners[0], corners[2] - corners[0]
            area = edge_a[0] * edge_b[1] - edge_a[1] * edge_b[0]
            if abs(area) < 1e-9:
                continue
            x, y = np.meshgrid(np.arange(low[0], top[0]) + 0.5, np.arange(low[1], top[1]) + 0.5)
            x, y = x - corners[0, 0], y - corners[0, 1]
            v, w = (x * edge_b[1] - y * edge_b[0]) / area, (y * edge_a[0] - x * edge_a[1]) / area
            hit = (v >= -1e-6) & (w >= -1e-6) & (v + w <= 1 + 1e-6)
            mixed = values.T @ np.stack([(1 - v - w)[hit], v[hit], w[hit]])
            window = np.s_[low[1] : top[1], low[0] : top[0]]
            places[:, window[0], window[1]][:, hit] = mixed
            kind[window][hit] = 2 if is_high else 1
    return places, kind
