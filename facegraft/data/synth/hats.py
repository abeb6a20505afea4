"""Hats and scarves, drawn around the usual person's head (decimetres; brows at y 7.43, chin 6.2, ears to x .83)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegraft.data.synth.ground import Ground, hang
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.wrap import CENTRE, Reach, clipped, grid_triangles


@dataclass(frozen=True)
class Brim:
    """Hair at p (on the unshaped body) is hidden where `dot(p - point, normal) > 0`."""

    point: tuple[float, float, float]
    normal: tuple[float, float, float]


HAIR_BELOW = 0.06
"""Hair reaches this far under the edge of a hat, decimetres."""
HOOD_WIDTH = 1.12
"""How far a hood reaches over the shoulders before it goes into the collar, decimetres."""
BRIMS = {
    "fedora": Brim((0.0, 7.66, 0.5), (0.0, 1.0, 0.0)),
    "beanie": Brim((0.0, 7.55, 0.45), (0.0, 0.95, -0.31)),
    "cap": Brim((0.0, 7.66, 0.45), (0.0, 0.97, -0.24)),
    "headscarf": Brim((0.0, -100.0, 0.0), (0.0, 1.0, 0.0)),
    "hood": Brim((0.0, 7.9, 0.6), (0.0, 0.5, -0.87)),
}


def edge_heights(brim: Brim, around: np.ndarray, radius: float = 0.9) -> np.ndarray:
    """Height of the brim's plane around the head."""
    normal, point = np.array(brim.normal), np.array(brim.point) - [0, HAIR_BELOW, 0]
    z = CENTRE[2] + radius * np.cos(np.radians(around))
    return np.asarray(point[1] - (z - point[2]) * normal[2] / normal[1])


def cap_grid(reach: Reach, brim: Brim, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions from the crown (row 0) to the brim (last row), and the share of the way."""
    around = np.arange(columns) * 360.0 / columns
    last = reach.down_to(around, edge_heights(brim, around))
    share = np.linspace(0, 1, rows)
    down = np.maximum(share[:, None] * last, 0.3)
    return np.broadcast_to(around, down.shape), down, np.broadcast_to(share[:, None], down.shape)


def beanie(ground: Ground, reach: Reach) -> tuple[Proxy, ...]:
    """Knitted, with a folded edge."""
    loose = reach.loose(1, 1.5)
    around, down, share = cap_grid(loose, BRIMS["beanie"], 15, 40)
    fold = np.clip((share - 0.74) / 0.03, 0, 1)
    ribs = 0.008 * np.cos(np.radians(around) * 20)
    slack = 0.045 + 0.11 * (1 - share) ** 1.5 + 0.035 * fold + ribs * np.clip(share * 3, 0, 1)
    points = loose.points(around, down, slack)
    rim = loose.points(around[-1:], down[-1:], 0.015)
    points = np.concatenate([points, rim])
    shade = np.concatenate([1 - 0.35 * np.exp(-(((share - 0.73) / 0.03) ** 2)), np.full(rim.shape[:2], 0.4)])
    return (_grid(ground, "beanie", points, shade, np.concatenate([around, around[-1:]]), part="colour"),)


def cap(ground: Ground, reach: Reach) -> tuple[Proxy, ...]:
    """A baseball cap: six panels and a peak."""
    loose = reach.loose(1, 1.5)
    around, down, share = cap_grid(loose, BRIMS["cap"], 11, 36)
    front = np.clip(np.cos(np.radians(around)), 0, 1)
    slack = 0.04 + 0.11 * (1 - share) + 0.16 * front * np.sin(np.pi * np.clip(share, 0, 1)) * share
    seam = 1 - 0.25 * np.exp(-((((around + 30) % 60 - 30) / 2.5) ** 2))
    points = loose.points(around, down, slack)
    rim = loose.points(around[-1:], down[-1:], 0.01)
    shade = np.concatenate([seam, np.full(rim.shape[:2], 0.4)])
    crown = _grid(
        ground, "cap", np.concatenate([points, rim]), shade, np.concatenate([around, around[-1:]]), part="colour"
    )
    return crown, _peak(ground, loose)


def _peak(ground: Ground, loose: Reach) -> Proxy:
    """Upper and lower side of the peak, bent downwards at its sides."""
    side = np.linspace(-1, 1, 17)
    around = side * 58
    down = loose.down_to(around, edge_heights(BRIMS["cap"], around)) - 1.0
    root = loose.points(around, down, 0.05)
    out = np.linspace(0, 1, 6)[:, None]
    length = 0.66 * np.sqrt(np.clip(1 - 0.9 * side**2, 0, 1))
    top = np.empty((6, 17, 3))
    top[..., 0] = root[:, 0] * (1 + 0.10 * out * (1 - side**2))
    top[..., 1] = root[:, 1] - 0.20 * out * length - 0.10 * out * side**2 + 0.03 * np.sin(np.pi * out)
    top[..., 2] = root[:, 2] + out * length
    under = top - [0, 0.03, 0]
    triangles = np.concatenate(
        [grid_triangles(6, 17, closed=False), grid_triangles(6, 17, closed=False)[:, ::-1] + 6 * 17]
    )
    points = np.concatenate([top.reshape(-1, 3), under.reshape(-1, 3)])
    shade = np.repeat([1.0, 0.45], 6 * 17)
    return hang(ground, "cap-peak", points, triangles, _forehead(ground), part="colour2", region="hat", shade=shade)


def _forehead(ground: Ground) -> np.ndarray:
    centre = ground.centres[ground.body_faces]
    return ground.body_faces[(centre[:, 1] > 7.6) & (centre[:, 2] > 0.5)]


def _skull(ground: Ground) -> np.ndarray:
    """Faces that hats may hang on: no ears, nothing that expressions move."""
    centre = ground.centres[ground.body_faces]
    ear = (np.abs(centre[:, 0]) > 0.70) & (centre[:, 1] < 7.45)
    face = (centre[:, 2] > 0.8) & (centre[:, 1] < 7.55)
    return ground.body_faces[(centre[:, 1] > 6.5) & ~ear & ~face]


def _wearing(ground: Ground) -> np.ndarray:
    """Faces of head, neck and shoulders without ears, eyes and lips."""
    centre = ground.centres[ground.body_faces]
    ear = (np.abs(centre[:, 0]) > 0.70) & (centre[:, 1] < 7.45) & (centre[:, 1] > 6.75)
    inner = (centre[:, 2] > 1.1) & (np.abs(centre[:, 0]) < 0.5) & (centre[:, 1] > 6.45) & (centre[:, 1] < 7.4)
    near = (centre[:, 1] > 5.2) & (np.abs(centre[:, 0]) < 1.6)
    return ground.body_faces[near & ~ear & ~inner]


def _grid(
    ground: Ground,
    name: str,
    points: np.ndarray,
    shade: np.ndarray,
    around: np.ndarray,
    *,
    part: str,
    region: str = "hat",
    faces: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> Proxy:
    rows, columns = points.shape[:2]
    uvs = np.stack([around / 360 * 6, np.broadcast_to(np.linspace(0, 1, rows)[:, None], around.shape) * 2], -1)
    triangles = grid_triangles(rows, columns, closed=True)
    carried = np.concatenate([uvs.reshape(-1, 2), shade.reshape(-1, 1)], 1)
    kept = np.ones(rows * columns) if keep is None else keep.ravel()
    mesh, triangles, carried = clipped(points.reshape(-1, 3), triangles, carried, kept)
    return hang(
        ground,
        name,
        mesh,
        triangles,
        _skull(ground) if faces is None else faces,
        part=part,
        region=region,
        uvs=carried[:, :2],
        shade=carried[:, 2],
    )


def headscarf(ground: Ground, reach: Reach) -> tuple[Proxy, ...]:
    """Cloth around head and neck that leaves an oval for the face."""
    loose = reach.loose(1, 1.6)
    around, down = _sphere(30, 48, 152)
    folds = 0.012 * np.sin(np.radians(around) * 9 + down / 9) * np.clip((down - 60) / 50, 0, 1)
    points = loose.points(around, down, 0.05 + 0.05 * np.clip((down - 85) / 40, 0, 1) + folds)
    oval = np.hypot(points[..., 0] / 0.60, (points[..., 1] - 6.93) / np.where(points[..., 1] > 6.93, 0.86, 0.80))
    front = points[..., 2] > CENTRE[2] + 0.15
    keep = np.where(front, oval - 1, 1.0)
    shade = np.ones_like(down)
    return (_grid(ground, "headscarf", points, shade, around, part="colour", faces=_wearing(ground), keep=keep),)


def hood(ground: Ground, reach: Reach) -> tuple[Proxy, ...]:
    """A hood, wide around the face."""
    loose = reach.loose(2, 2.0)
    around, down = _sphere(26, 44, 132)
    forward = np.clip(np.cos(np.radians(around)), -0.2, 1)
    points = loose.points(around, down, 0.10 + 0.10 * forward + 0.08 * np.clip((down - 70) / 40, 0, 1))
    far = np.hypot(points[..., 0], points[..., 2] - CENTRE[2])
    points[..., [0, 2]] = (points[..., [0, 2]] - [0, CENTRE[2]]) * np.minimum(1, HOOD_WIDTH / far)[..., None] + [
        0,
        CENTRE[2],
    ]
    points[..., 1] += 0.05
    plane = (points - np.array([0, 7.2, 0.98])) @ np.array([0, -0.22, 0.975])
    shade = np.clip(1 - 0.25 * np.clip(0.1 - plane, 0, 0.1) / 0.1 * (np.abs(plane + 0.05) < 0.012), 0, 1)
    return (_grid(ground, "hood", points, shade, around, part="cloth", faces=_wearing(ground), keep=-plane),)


def _sphere(rows: int, columns: int, last: float | int) -> tuple[np.ndarray, np.ndarray]:
    down, around = np.meshgrid(np.linspace(0.5, last, rows), np.arange(columns) * 360.0 / columns, indexing="ij")
    return around, down


def scarf(ground: Ground, reach: Reach, variant: str) -> tuple[Proxy, ...]:
    """Wool around neck and chin ("chin") or up to the nose ("mouth")."""
    loose = reach.loose(1, 1.4)
    columns, rows = 44, 13
    around = np.arange(columns) * 360.0 / columns
    front = (1 + np.cos(np.radians(around))) / 2
    top = (6.42 if variant == "chin" else 6.88) * front**0.7 + 6.50 * (1 - front**0.7)
    bottom = 5.82 + 0.25 * (1 - front)
    first, last = loose.down_to(around, top), loose.down_to(around, bottom)
    share = np.linspace(0, 1, rows)[:, None]
    down = first + (last - first) * share
    wide = np.broadcast_to(around, down.shape)
    wave = np.sin(share * 3 * np.pi + np.radians(wide) * 1.0) * 0.035 + 0.02 * np.sin(np.radians(wide) * 5 + share * 4)
    points = loose.points(wide, down, 0.05 + 0.10 * np.sin(np.pi * np.clip(share * 1.2, 0, 1)) ** 0.6 + wave)
    inner = loose.points(wide[:1], down[:1] + 5, 0.0)
    shade = np.concatenate([np.full((1, columns), 0.4), 0.75 + wave * 6])
    points, wide = np.concatenate([inner, points]), np.concatenate([wide[:1], wide])
    return (
        _grid(
            ground,
            "scarf",
            points,
            np.clip(shade, 0.3, 1),
            wide,
            part="colour",
            region="face_mask",
            faces=jaw_faces(ground),
        ),
    )


def jaw_faces(ground: Ground) -> np.ndarray:
    """Faces below the eyes that a mask may hang on."""
    centre = ground.centres[ground.body_faces]
    ear = (np.abs(centre[:, 0]) > 0.70) & (centre[:, 1] > 6.75)
    near = (centre[:, 1] > 5.3) & (centre[:, 1] < 7.3) & (np.abs(centre[:, 0]) < 1.3)
    lips = (centre[:, 2] > 1.3) & (np.abs(centre[:, 0]) < 0.28) & (centre[:, 1] > 6.45) & (centre[:, 1] < 6.72)
    return ground.body_faces[near & ~ear & ~lips]
