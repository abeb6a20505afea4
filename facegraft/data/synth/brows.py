"""MakeHuman's eyebrow cards, laid onto the skin's texture by the closest point."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial import cKDTree

from facegraft.core.image import read_picture
from facegraft.data.synth.formats import read_proxy
from facegraft.data.synth.skin_space import SkinSpace, read_base

REACH_DM = 0.05
"""Skin farther than this from the card gets no hair."""
BESIDE_DM = 0.008
"""Skin farther than this beside the card's edge gets none either, or the texture's border would smear."""


def brow_alpha(assets: Path, style: str, space: SkinSpace) -> Float32[np.ndarray, "h w"]:
    """Opacity of a style's hair on the atlas."""
    _, vertices = read_base(assets)
    folder = assets / "data" / "eyebrows" / f"eyebrow{style}"
    proxy = read_proxy(folder / f"eyebrow{style}.mhclo", len(vertices))
    points, uvs, normals = _spread(proxy.fit(vertices), proxy.mesh.uvs, proxy.mesh.faces, proxy.mesh.face_uvs)
    alpha = read_picture(folder / f"eyebrow{style}.png").pixels[..., 3].astype(np.float32) / 255
    low, high = points.min(0) - REACH_DM, points.max(0) + REACH_DM
    near = space.head.copy()
    for axis in range(3):
        near &= (space.places[axis] > low[axis]) & (space.places[axis] < high[axis])
    out = np.zeros(space.size_hw, np.float32)
    out[near] = _filtered(alpha, space, points, uvs, normals, np.flatnonzero(near))
    return out


def _filtered(
    alpha: Float32[np.ndarray, "s t"],
    space: SkinSpace,
    points: Float[np.ndarray, "n 3"],
    uvs: Float[np.ndarray, "n 2"],
    normals: Float[np.ndarray, "n 3"],
    texels: np.ndarray,
) -> Float32[np.ndarray, "m"]:
    """Mean opacity inside each texel: the card's texture is blurred to the texel's size, then looked up."""
    size = np.array(alpha.shape[::-1])
    length = np.linalg.norm(np.ptp(points, axis=0)[:1]) / max(float(np.ptp(uvs[:, 0])), 1e-3)
    sigma = 0.35 * space.texel_dm / (length / size[0])
    blurred = cv2.GaussianBlur(alpha, (0, 0), sigma) if sigma > 0.4 else alpha
    places = space.places.reshape(3, -1)[:, texels].T
    distance, nearest = cKDTree(points).query(places, k=3)
    away = places - points[nearest[:, 0]]
    away -= (away * normals[nearest[:, 0]]).sum(1, keepdims=True) * normals[nearest[:, 0]]
    beside = np.linalg.norm(away, axis=1) > BESIDE_DM
    weights = 1 / (distance + 1e-4)
    place = (uvs[nearest] * weights[..., None]).sum(1) / weights.sum(1, keepdims=True)
    spread = np.ptp(uvs[nearest], axis=1).max(1)
    place = np.where(spread[:, None] > 0.05, uvs[nearest[:, 0]], place)
    x, y = (place * (1, -1) + (0, 1)).T * size[:, None] - 0.5
    found = cv2.remap(blurred, x.astype(np.float32)[None], y.astype(np.float32)[None], cv2.INTER_LINEAR)[0]
    near = np.clip((REACH_DM - distance[:, 0]) / (0.3 * REACH_DM), 0, 1)
    return np.where(beside, 0, found * near).astype(np.float32)


def _spread(
    vertices: Float[np.ndarray, "v 3"], uvs: Float[np.ndarray, "t 2"], faces: np.ndarray, face_uvs: np.ndarray
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 2"], Float[np.ndarray, "n 3"]]:
    """Points close together all over the quads, with their texture places and normals."""
    steps = (np.arange(24) + 0.5) / 24
    s, t = (grid.ravel() for grid in np.meshgrid(steps, steps))
    weights = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], 1)
    corners = vertices[faces]
    points = np.einsum("kc,fcd->fkd", weights, corners).reshape(-1, 3)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    places = np.einsum("kc,fcd->fkd", weights, uvs[face_uvs]).reshape(-1, 2)
    return points, places, np.repeat(normals, len(weights), axis=0)
