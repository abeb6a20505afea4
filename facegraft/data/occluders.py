"""Occluders with exact masks, pasted into a picture and its truth alike (data for occlusion-aware swaps).

`draw` looks at a face and makes one `Occluder`: what it shows, its coverage, its shadow. `paste` lays it over any
picture of the same size. Where neither coverage nor shadow reach, not a bit changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from facegraft.data.camera import noise_field
from facegraft.data.cutouts import Cutout, choose, placed, scattered
from facegraft.data.drawn_hands import hand
from facegraft.data.drawn_things import blob, cup, microphone, phone, sticker
from facegraft.data.drawn_worn import glasses, hair_strands, mask_over_mouth, scarf
from facegraft.data.site import Layer, Site, look_at

DRAWERS: Mapping[str, Callable[[Site, np.random.Generator], Layer]] = {
    "hand": hand,
    "glasses": glasses,
    "mask": mask_over_mouth,
    "scarf": scarf,
    "microphone": microphone,
    "phone": phone,
    "cup": cup,
    "hair": hair_strands,
    "sticker": sticker,
    "blob": blob,
}
"""What can be drawn without any file."""
MIX: Mapping[str, float] = {
    "hand": 0.30,
    "glasses": 0.12,
    "mask": 0.06,
    "scarf": 0.05,
    "microphone": 0.09,
    "phone": 0.09,
    "cup": 0.08,
    "hair": 0.08,
    "sticker": 0.04,
    "blob": 0.09,
}
"""Shares of the kinds: hands first, they are what hides faces most."""
CUTOUT_SHARE = 0.5
"""How often a hand, a mask or a thing comes from a cut-out where there are any."""
_WORN = {"glasses", "mask", "scarf", "hair"}
_FLAT = {"sticker"}
_COVERED = (0.03, 0.25)
_TRIES = 4
_OWN_BLUR_PX = 0.45
_LEAST_SHADOW = 1 / 255


@dataclass(frozen=True)
class Occluder:
    """Something in front of a face, of the size of the picture it was drawn for.

    Attributes:
        rgb: Its colour, -1..1; without meaning where alpha is 0.
        alpha: Coverage, 0..1.
        shadow: Share of the light it takes from what is behind it, 0..1.
        kind: What it is.
        covered: Share of the face it covers, 0..1.
    """

    rgb: Float[Tensor, "3 h w"]
    alpha: Float[Tensor, "h w"]
    shadow: Float[Tensor, "h w"]
    kind: str
    covered: float

    @property
    def mask(self) -> Bool[Tensor, "h w"]:
        """Pixels that show the occluder for the greater part."""
        return self.alpha >= 0.5

    @property
    def touched(self) -> Bool[Tensor, "h w"]:
        """Pixels that `paste` may change, shadow included; all others stay as they are."""
        return (self.alpha > 0) | (self.shadow > 0)


def paste(
    images: Float[Tensor, "*b 3 h w"], occluder: Occluder
) -> tuple[Float[Tensor, "*b 3 h w"], Float[Tensor, "h w"]]:
    """Lays an occluder over pictures of its size: attribute image, truth, or a batch of them.

    Returns:
        The pictures, -1..1, and the coverage, 0..1.
    """
    rgb, alpha = occluder.rgb.to(images), occluder.alpha.to(images)
    shaded = (images + 1) * (1 - occluder.shadow.to(images)) - 1
    mixed = shaded * (1 - alpha) + rgb * alpha
    return torch.where(occluder.touched.to(images.device), mixed, images), alpha


def draw(
    image: Float[Tensor, "3 h w"],
    landmarks: Float[Tensor, "68 2"],
    seed: int,
    *,
    cutouts: Sequence[Cutout] = (),
    mix: Mapping[str, float] = MIX,
) -> Occluder:
    """Draws an occluder for a face: lit, blurred and grained as the picture is.

    Three in four of the things that are held or laid before a face cover 3 to 25 % of it; what is worn covers what it
    covers, and the rest may lie anywhere near.

    Args:
        image: RGB, -1..1.
        landmarks: x, y in pixels.
        seed: Chooses everything; `Change.seed`.
        cutouts: From `read_cutouts`; without them all is drawn.
        mix: Shares of the kinds: names of `DRAWERS`, and "thing" for cut-outs of things.
    """
    rng = np.random.default_rng(seed)
    frame = (image.detach().cpu().permute(1, 2, 0).numpy() * 0.5 + 0.5).clip(0, 1).astype(np.float32)
    site = look_at(frame, landmarks.detach().cpu().double().numpy())
    names = list(mix)
    shares = np.array([mix[name] for name in names], np.float64)
    kind = str(rng.choice(names, p=shares / shares.sum()))
    strict = kind not in _WORN and rng.random() < 0.75
    for _ in range(_TRIES):
        layer = _layer(kind, site, rng, cutouts)
        covered = _covered(layer, site)
        if not strict or _COVERED[0] <= covered <= _COVERED[1]:
            break
    return _finished(layer, site, rng, kind)


def draw_faceshifter(
    size_hw: tuple[int, int], seed: int, *, hands: Sequence[Cutout], things: Sequence[Cutout]
) -> list[Occluder]:
    """FaceShifter's recipe for HEAR-Net's data: nothing, a hand, a thing or both, a quarter each, pasted anywhere.

    After the unofficial code's `utils/Dataset.py` (Li et al., 2020): plain alpha, no light, no shadow.
    """
    rng = np.random.default_rng(seed)
    choice = int(rng.integers(4))
    pools = [pool for bit, pool in ((1, hands), (2, things)) if choice & bit and pool]
    return [_plain(scattered(pool[int(rng.integers(len(pool)))], size_hw, rng), pool[0].kind) for pool in pools]


def fsgan_ellipse(face: Bool[np.ndarray, "h w"], seed: int) -> Bool[np.ndarray, "h w"]:
    """FSGAN's hair-like hole in a face: an ellipse about a point of the outline, cut to the face.

    Nirkin et al., ICCV 2019, `fsgan/utils/seg_utils.py`: the left or right end of a random row, half axes of a
    quarter to half of the face's width, any angle. An empty face gives an empty hole.
    """
    rng = np.random.default_rng(seed)
    rows = np.nonzero(face.any(1))[0]
    if not len(rows):
        return np.zeros_like(face)
    y = int(rng.choice(rows))
    columns = np.nonzero(face[y])[0]
    x = int(columns[0] if rng.random() < 0.5 else columns[-1])
    width = int(np.ptp(np.nonzero(face.any(0))[0])) + 1
    axes = [max(1, int(value)) for value in rng.uniform(width / 4, width / 2, 2)]
    hole = np.zeros(face.shape, np.uint8)
    cv2.ellipse(hole, (x, y), (axes[0], axes[1]), float(rng.uniform(0, 360)), 0, 360, 1, -1)
    return (hole > 0) & face


def _layer(kind: str, site: Site, rng: np.random.Generator, cutouts: Sequence[Cutout]) -> Layer:
    cutout = choose(cutouts, kind, rng) if kind not in DRAWERS or rng.random() < CUTOUT_SHARE else None
    if cutout is not None:
        return placed(cutout, site, rng)
    if kind not in DRAWERS:
        return blob(site, rng)
    return DRAWERS[kind](site, rng)


def _covered(layer: Layer, site: Site) -> float:
    face = int(site.face.sum())
    return float((layer.alpha[site.face] >= 0.5).sum()) / face if face else 0.0


def _finished(layer: Layer, site: Site, rng: np.random.Generator, kind: str) -> Occluder:
    """Brings a layer to the picture's blur and noise, to sRGB, and gives it a shadow."""
    sigma = np.sqrt(max(site.blur_px**2 - _OWN_BLUR_PX**2, 0.0))
    alpha, colour = layer.alpha, layer.colour
    if sigma > 0.2:
        weighed = cv2.GaussianBlur(np.dstack([colour * alpha[..., None], alpha]), (0, 0), float(sigma))
        alpha = np.where(weighed[..., 3] > _LEAST_SHADOW, weighed[..., 3], 0)
        colour = weighed[..., :3] / np.maximum(weighed[..., 3:], 1e-4)
    srgb = _to_srgb(colour)
    if site.noise > 0:
        field = noise_field([int(rng.integers(2**62))], *site.size_hw)[0].permute(1, 2, 0).numpy()
        srgb = srgb + field * np.float32(site.noise)
    rgb = np.ascontiguousarray((srgb.clip(0, 1) * 2 - 1).transpose(2, 0, 1), np.float32)
    shadow = np.zeros(site.size_hw, np.float32) if kind in _FLAT else _shadow(alpha, site, rng)
    done = Layer(layer.colour, alpha.astype(np.float32))
    return Occluder(
        torch.from_numpy(rgb), torch.from_numpy(done.alpha), torch.from_numpy(shadow), kind, _covered(done, site)
    )


def _shadow(alpha: np.ndarray, site: Site, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """Away from the light, soft by 6 % of the eyes' distance, on the face and a little round it."""
    offset = site.width * rng.uniform(0.02, 0.05) * 1.5
    away = -site.light_direction[:2] / max(float(np.linalg.norm(site.light_direction[:2])), 0.2) * offset
    matrix = np.array([[1, 0, away[0]], [0, 1, away[1]]])
    moved = cv2.warpAffine(alpha.astype(np.float32), matrix, site.size_hw[::-1], borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(moved, (0, 0), max(0.06 * site.eye_distance, 0.5))
    ground = cv2.GaussianBlur(site.face.astype(np.float32), (0, 0), max(0.06 * site.width, 0.5))
    shadow = soft * np.clip(ground * 1.5, 0, 1) * rng.uniform(0.2, 0.4)
    return np.where(shadow > _LEAST_SHADOW, shadow, 0).astype(np.float32)


def _plain(layer: Layer, kind: str) -> Occluder:
    rgb = np.ascontiguousarray((_to_srgb(layer.colour) * 2 - 1).transpose(2, 0, 1), np.float32)
    alpha = torch.from_numpy(np.ascontiguousarray(layer.alpha, np.float32))
    return Occluder(torch.from_numpy(rgb), alpha, torch.zeros_like(alpha), kind, 0.0)


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    light = linear.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-8) ** (1 / 2.4) - 0.055)
