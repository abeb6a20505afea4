"""What covers the shoulders: the body's own tights helper, stretched and smoothed, with collars."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags

from facegraft.data.synth.ground import Ground, hang
from facegraft.data.synth.patch import body_normals
from facegraft.data.synth.proxy import Proxy, keep_triangles
from facegraft.data.synth.wrap import grid_triangles

LOWEST, WIDEST = 3.6, 3.3
NECKLINES = {"t-shirt": 5.86, "v-neck": 5.84, "collar": 5.98, "turtleneck": 5.98, "hoodie": 5.92}


def shirt(ground: Ground, kind: str) -> tuple[Proxy, ...]:
    """One of CLOTHS: the shirt, then its collar."""
    base = ground.base
    quads = base.faces[base.groups["helper-tights"]]
    corners = base.vertices[quads]
    quads = quads[(corners[..., 1].min(1) > LOWEST) & (np.abs(corners[..., 0]).max(1) < WIDEST)]
    used, index = np.unique(quads, return_inverse=True)
    quads = index.reshape(-1, 4)
    goal, place = ground.usual[used].copy(), base.vertices[used]
    mean = _neighbour_mean(quads, len(used))
    for _ in range(6):
        goal = 0.5 * goal + 0.5 * (mean @ goal)
    outwards = body_normals(ground.usual[used], quads)
    sunk = ((goal - ground.usual[used]) * outwards).sum(1)
    goal = goal - outwards * np.minimum(sunk, 0)[:, None]
    loose = 0.045 + 0.05 * np.clip((5.5 - place[:, 1]) / 1.3, 0, 1)
    goal = goal + body_normals(goal, quads) * loose[:, None]
    cut = 0.5 + (place[:, 1] - _neckline(place, kind)) * 1.0
    body = Proxy(
        name=kind,
        index=np.repeat(used[:, None], 3, 1).astype(np.int64),
        weight=np.tile(np.array([1, 0, 0], np.float32), (len(used), 1)),
        offset=(goal - ground.usual[used]).astype(np.float32),
        scale_refs=ground.scale_refs,
        push=np.zeros(len(used), np.float32),
        uvs=_laid(place).astype(np.float32),
        triangles=np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32),
        texture="",
        part="cloth",
        region="cloth",
        layer="opaque",
        place=place.astype(np.float32),
        cut=cut.astype(np.float32),
        shade=np.ones(len(used), np.float32),
    )
    body = keep_triangles(body, (cut[body.triangles] < 0.62).any(1))
    return (body, *_collar(ground, kind))


RIDGE, RIDGE_RADIUS = (5.0, 0.2), 0.85
"""Height and depth of a line below the shoulders that cloth is bent around, and how far from it."""


def _laid(place: np.ndarray) -> np.ndarray:
    """Cloth as it lies on a table, decimetres: in front, bent over the shoulders, behind; sleeves are flat."""
    up, ahead = place[:, 1] - RIDGE[0], place[:, 2] - RIDGE[1]
    bent = np.arctan2(np.maximum(up, 0), ahead)
    hanging = np.where(ahead > 0, np.minimum(up, 0), -np.minimum(up, 0))
    sleeve = np.clip((np.abs(place[:, 0]) - 1.4) / 0.6, 0, 1)
    return np.stack([place[:, 0], (RIDGE_RADIUS * bent + hanging) * (1 - sleeve) + up * sleeve], 1)


def _neckline(place: np.ndarray, kind: str) -> np.ndarray:
    """Height of the cloth's upper edge: lower in front than behind."""
    behind = np.clip((0.80 - place[:, 2]) / 1.15, 0, 1)
    side = np.maximum(np.abs(place[:, 0]) - 0.40, 0)
    front = np.full(len(place), NECKLINES[kind])
    if kind == "v-neck":
        front = front - 0.55 * np.clip(1 - np.abs(place[:, 0]) / 0.42, 0, 1)
    if kind == "t-shirt":
        front = front - 0.16
    return np.asarray(front * (1 - behind) + 6.10 * behind + 0.45 * side**2)


def _neighbour_mean(quads: np.ndarray, count: int) -> csr_matrix:
    pairs = np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2)
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0)
    matrix = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return diags(1 / np.maximum(np.asarray(matrix.sum(1)).ravel(), 1)) @ matrix


def _neck_radius(ground: Ground, heights: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Distance of the neck's skin from its axis at these heights and angles."""
    neck = ground.usual[:13380]
    neck = neck[(neck[:, 1] > 5.3) & (neck[:, 1] < 6.5) & (np.hypot(neck[:, 0], neck[:, 2] - 0.35) < 1.2)]
    angle = np.degrees(np.arctan2(neck[:, 0], neck[:, 2] - _axis_z(neck[:, 1])))
    far = np.hypot(neck[:, 0], neck[:, 2] - _axis_z(neck[:, 1]))
    out = np.zeros(heights.shape)
    for row in np.ndindex(heights.shape):
        turn = (angle - around[row] + 180) % 360 - 180
        weight = np.exp(-((turn / 14) ** 2) - ((neck[:, 1] - heights[row]) / 0.10) ** 2) + 1e-9
        out[row] = (weight * far).sum() / weight.sum()
    return out


def _axis_z(height: np.ndarray) -> np.ndarray:
    return 0.18 + 0.30 * (height - 5.7)


def _collar(ground: Ground, kind: str) -> tuple[Proxy, ...]:
    """A ring around the neck: profile of height, distance from the skin, and shade."""
    profiles = {
        "turtleneck": [
            (5.74, 0.06, 1),
            (5.95, 0.05, 1),
            (6.16, 0.06, 1),
            (6.19, 0.085, 1),
            (6.12, 0.12, 1),
            (5.94, 0.13, 0.9),
        ],
        "collar": [
            (5.82, 0.03, 0.7),
            (6.02, 0.05, 0.8),
            (6.13, 0.07, 1),
            (6.14, 0.10, 1),
            (6.00, 0.20, 1),
            (5.84, 0.29, 0.9),
        ],
        "hoodie": [
            (5.86, 0.04, 0.6),
            (5.98, 0.10, 0.8),
            (6.06, 0.22, 1),
            (6.00, 0.36, 1),
            (5.86, 0.42, 0.9),
            (5.70, 0.38, 0.7),
        ],
    }
    if kind not in profiles:
        return ()
    columns = 41
    around = np.linspace(-180, 180, columns)
    gap = {"collar": 20.0, "hoodie": 24.0}.get(kind, 0.0)
    around = np.sign(around) * (gap + (180 - gap) * np.abs(around) / 180)
    around[columns // 2] = gap if gap else 0.0
    ring = np.concatenate([np.arange(gap, 360 - gap + 0.1, (360 - 2 * gap) / (columns - 1))])
    heights = np.array([p[0] for p in profiles[kind]])[:, None] + np.zeros(columns)
    behind = (1 - np.cos(np.radians(ring))) / 2
    heights = heights + (0.14 * behind if kind != "turtleneck" else 0.16 * behind) - 0.10 * (1 - behind)
    wide = np.broadcast_to(ring, heights.shape)
    margin = np.array([p[1] for p in profiles[kind]])[:, None] * (1 + (0.5 * behind if kind == "hoodie" else 0))
    far = _neck_radius(ground, heights, wide) + margin
    points = np.stack([far * np.sin(np.radians(wide)), heights, _axis_z(heights) + far * np.cos(np.radians(wide))], -1)
    profile = np.array(profiles[kind])[:, :2]
    height = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    shade = np.repeat([p[2] for p in profiles[kind]], columns)
    centre = ground.centres[ground.body_faces]
    neck = (centre[:, 1] > 5.3) & (centre[:, 1] < 6.4) & (np.hypot(centre[:, 0], centre[:, 2] - 0.3) < 1.1)
    collar = hang(
        ground,
        f"{kind}-collar",
        points.reshape(-1, 3),
        grid_triangles(len(heights), columns, closed=False),
        ground.body_faces[neck],
        part="cloth",
        region="cloth",
        uvs=np.stack([np.radians(wide) * 0.55, np.broadcast_to(height[:, None], wide.shape)], -1).reshape(-1, 2),
        shade=shade,
    )
    return (collar,)
