"""What the assets bring ready-made: hair of strips, eyes, teeth, tongue, lashes, the fedora; and their textures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32
from scipy.spatial import cKDTree

from facegraft.core.errors import BadInputError
from facegraft.core.image import read_picture
from facegraft.data.synth.formats import read_proxy
from facegraft.data.synth.ground import BODY_COUNT, Ground
from facegraft.data.synth.hair import comb_uvs, hairline_distance, scalp_shadow
from facegraft.data.synth.patch import patch_proxy
from facegraft.data.synth.proxy import Proxy, from_fitting, keep_triangles, mirrored
from facegraft.data.synth.strands import TILE_DM

CORNEA_UV, CORNEA_RADIUS = np.array([0.93, 0.07]), 0.09
"""The cornea's triangles lie on this disc of the eye texture, which is see-through."""
LOWEST = 2.9
"""Hair below this height (decimetres) is never in the picture, and the body there is not posed."""
HIGHEST_PX = 512
DARKEST = 1e-3
"""Mean luminance below which a texture says nothing but its alpha."""


def fitted(ground: Ground, path: str, *, texture: str, part: str, region: str, layer: str) -> Proxy:
    """The proxy of a .mhclo file below data/."""
    file = ground.assets / "data" / path
    if not file.is_file():
        raise BadInputError(f"{ground.assets}: expected data/{path} in MakeHuman's assets; fetch them again")
    fitting = read_proxy(file, BODY_COUNT)
    return from_fitting(
        fitting, file.stem, ground.base.vertices, texture=texture, part=part, region=region, layer=layer
    )


def card_hair(ground: Ground, style: str, alpha: Float32[np.ndarray, "h w"], *, mirror: bool) -> tuple[Proxy, ...]:
    """Soft hairline, undercoat and strips.

    Args:
        ground: From `read_ground`.
        style: One of CARD_STYLES.
        alpha: Of the style's texture: what is solid decides where hair grows below it.
        mirror: Parting and fringe on the other side.
    """
    cards = fitted(
        ground, f"hair/{style}/{style}.mhclo", texture=f"hair/{style}", part="hair", region="hair", layer="alpha"
    )
    cards = keep_triangles(cards, cards.place[cards.triangles][..., 1].min(1) > LOWEST)
    cards = replace(cards, cut=_face_free(cards.place), shade=_depth_shade(ground, cards.place))
    if mirror:
        cards = mirrored(cards, ground.twin)
    patch = ground.scalp
    distance, _ = cKDTree(_solid_points(cards, alpha)).query(patch.place)
    below = np.where(hairline_distance(patch.place, "square") > 0.12, 0.12, -0.5)
    inside = np.maximum(0.065 - distance, below)
    inside[(patch.place[:, 1] < 7.0) & (patch.place[:, 2] > 0.3)] = -0.5
    uvs, _ = comb_uvs(patch, "whorl", TILE_DM["straight"])
    coat = patch_proxy(
        patch,
        style + "-coat",
        np.full(len(inside), 0.014),
        inside > 0,
        uvs=uvs,
        cut=0.05 + 1.2 * np.clip(1 - inside / 0.06, 0, 4),
        shade=np.full(len(inside), 0.55),
        texture="straight",
        part="hair",
        region="hair",
        layer="alpha",
        sharpness=4.0,
    )
    return scalp_shadow(patch, style, inside), coat, cards


def _face_free(place: np.ndarray) -> np.ndarray:
    """Cut that thins out what hangs before the eyes, nose and mouth."""
    from_middle = np.hypot(place[:, 0] / 0.62, (place[:, 1] - 6.85) / 0.72)
    return np.where(place[:, 2] > 1.05, np.clip((1 - from_middle) * 3.5, 0, 1), 0).astype(np.float32)


def _depth_shade(ground: Ground, place: np.ndarray) -> np.ndarray:
    """Strands close to the head lie in the shadow of those above."""
    distance, _ = cKDTree(ground.base.vertices[:13380]).query(place)
    near = (place[:, 1] > 6.6) | (place[:, 2] < 0.2)
    return np.where(near, 0.6 + 0.4 * np.clip(distance / 0.16, 0, 1), 0.9).astype(np.float32)


def _solid_points(cards: Proxy, alpha: np.ndarray) -> np.ndarray:
    """Points of the strips where their texture is solid, on the unshaped body."""
    mixes = np.array([[4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 2, 2], [3, 3, 0], [0, 3, 3], [3, 0, 3]]) / 6
    corners, uvs = cards.place[cards.triangles], cards.uvs[cards.triangles]
    points = np.einsum("mk,tkj->tmj", mixes, corners).reshape(-1, 3)
    at = np.einsum("mk,tkj->tmj", mixes, uvs).reshape(-1, 2) % 1
    rows = ((1 - at[:, 1]) * (alpha.shape[0] - 1)).astype(int)
    solid = alpha[rows, (at[:, 0] * (alpha.shape[1] - 1)).astype(int)] > 0.5
    return points[solid]


def eyes(ground: Ground) -> tuple[Proxy, Proxy]:
    """Eyeballs without the parts that no eye shows, and corneas apart."""
    both = fitted(
        ground, "eyes/high-poly/high-poly.mhclo", texture="eye/brown", part="eye", region="eye", layer="opaque"
    )
    middle = both.uvs[both.triangles].mean(1)
    is_cornea = np.hypot(*(middle - CORNEA_UV).T) < CORNEA_RADIUS
    ball, cornea = keep_triangles(both, ~is_cornea), keep_triangles(both, is_cornea)
    ahead = ball.place[ball.triangles].mean(1)
    centre = np.where(ahead[:, :1] > 0, 1, -1) * np.array([[_eye_x(ball), 0, 0]]) + [[0, *_eye_yz(ball)]]
    ahead = ahead - centre
    seen = ahead[:, 2] / np.linalg.norm(ahead, axis=1) > -0.3
    return keep_triangles(ball, seen), replace(cornea, name="cornea", texture="", layer="alpha")


def _eye_x(ball: Proxy) -> float:
    x = ball.place[ball.place[:, 0] > 0, 0]
    return float((x.min() + x.max()) / 2)


def _eye_yz(ball: Proxy) -> np.ndarray:
    return np.asarray((ball.place[:, 1:].min(0) + ball.place[:, 1:].max(0)) / 2)


def teeth(ground: Ground, style: int) -> Proxy:
    """Upper and lower teeth of style 0 to 5, without what faces away from the lips."""
    name = "teeth_base" if style == 0 else f"teeth_shape0{style}"
    out = fitted(ground, f"teeth/{name}/{name}.mhclo", texture="teeth", part="teeth", region="mouth", layer="opaque")
    a, b, c = out.place[out.triangles].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    away = (a + b + c) / 3 - [0, 6.6, 0.9]
    away[:, 1] *= 0.4
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return keep_triangles(out, (normal * away).sum(1) > -0.45)


def tongue(ground: Ground) -> Proxy:
    return fitted(
        ground, "tongue/tongue01/tongue01.mhclo", texture="tongue", part="tongue", region="mouth", layer="opaque"
    )


def lashes(ground: Ground, style: str) -> Proxy:
    """Style "01" to "04"."""
    name = f"eyelashes{style}"
    return fitted(
        ground, f"eyelashes/{name}/{name}.mhclo", texture=f"lash/{style}", part="lash", region="lash", layer="alpha"
    )


def fedora(ground: Ground) -> Proxy:
    return fitted(
        ground, "clothes/fedora01/fedora.mhclo", texture="fedora", part="texture", region="hat", layer="opaque"
    )


def asset_texture(assets: Path, key: str) -> Float32[np.ndarray, "c h w"]:
    """See `Wardrobe.texture`."""
    kind, _, name = key.partition("/")
    files = {
        "hair": f"hair/{name}/{name.replace('afro01', 'afro')}_diffuse.png",
        "eye": f"eyes/materials/{name}_eye.png",
        "lash": f"eyelashes/eyelashes{name}/eyelashes{name}.png",
        "teeth": "teeth/materials/teeth.png",
        "tongue": "tongue/tongue01/tongue01_diffuse.png",
        "fedora": "clothes/fedora01/materials/fedora_texture_grey.png",
    }
    if kind not in files or not (assets / "data" / files[kind]).is_file():
        raise BadInputError(f"no texture is called {key!r} in {assets}; expected one that a proxy names")
    pixels = read_picture(assets / "data" / files[kind]).pixels.astype(np.float32) / 255
    rgb = to_linear(pixels[..., :3])
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else np.ones(rgb.shape[:2], np.float32)
    if kind in ("hair", "lash"):
        return _luminance(rgb.mean(-1), alpha)
    small = _halved(np.dstack([rgb * alpha[..., None], alpha]))
    out = small[..., :3] / np.maximum(small[..., 3:], 1e-3)
    return np.ascontiguousarray(out.transpose(2, 0, 1), np.float32)


def _luminance(light: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Light spread into the see-through parts, so that filtering shows no fringe; mean 1 where solid."""
    blurred = cv2.GaussianBlur(alpha, (0, 0), 6)
    spread = cv2.GaussianBlur(light * alpha, (0, 0), 6) / np.maximum(blurred, 1e-4)
    light = np.where((alpha < 0.1) & (blurred > 1e-3), spread, light)
    light, alpha = (_halved(x) for x in (light * alpha + light * 1e-4, alpha + 1e-4))
    light, alpha = light / alpha, np.clip(alpha - 1e-4, 0, 1)
    usual = float(light[alpha > 0.6].mean()) if (alpha > 0.6).any() else 0.0
    if usual < DARKEST:  # lashes are black on black: all colour comes from the tint
        light, usual = np.ones_like(alpha), 1.0
    return np.stack([light / usual, alpha]).astype(np.float32)


def _halved(image: np.ndarray) -> np.ndarray:
    while image.shape[0] > HIGHEST_PX:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return image


def to_linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
