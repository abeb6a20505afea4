"""What hides faces in a parser's training crops, with exact labels: things drawn or cut out, and plain covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from facegraft.data.cutouts import Cutout
from facegraft.data.regions import REGIONS
from facegraft.frozen.parser import CLASS_OF_REGION, CLASSES, INNER_REGIONS
from facegraft.train.eyes.face_wear import REGION_OF_KIND, paste_occluders

NOTHING = 255
"""Label of pixels where nothing was pasted."""
OCCLUDER = CLASSES.index("occluder")


@dataclass(frozen=True)
class Hidden:
    """Crops with things before the faces.

    Attributes:
        images: RGB 0..1.
        pasted: The class of what was pasted, where it covers at least half of the pixel; `NOTHING` elsewhere.
    """

    images: Float[Tensor, "b 3 h w"]
    pasted: UInt8[Tensor, "b h w"]


def class_table() -> UInt8[Tensor, "r"]:
    """Region number of data/regions.py -> class number of the parser."""
    table = torch.zeros(max(REGIONS.values()) + 1, dtype=torch.uint8)
    for name, number in REGIONS.items():
        table[number] = CLASSES.index(CLASS_OF_REGION[name])
    return table


def inner_table() -> Bool[Tensor, "r"]:
    """Region number -> whether it is the inner face."""
    table = torch.zeros(max(REGIONS.values()) + 1, dtype=torch.bool)
    table[[REGIONS[name] for name in INNER_REGIONS]] = True
    return table


def hide(
    images: Float[Tensor, "b 3 h w"],
    landmarks68: Float[Tensor, "b 68 d"],
    generator: torch.Generator,
    *,
    share: float | int,
    covered: float | int,
    cutouts: Sequence[Cutout] = (),
    textures: UInt8[Tensor, "m 3 s s"] | None = None,
) -> Hidden:
    """Puts things before some of the faces and covers before others; labels follow to the pixel.

    Args:
        images: RGB 0..1, before `wear`.
        landmarks68: In pixels of the crops; rows with NaN get nothing.
        generator: Chooses whom and what.
        share: Of crops that get a thing: see data/occluders.py.
        covered: Of crops that get a cover, half of which hide the whole face.
        cutouts: For the things.
        textures: What covers show; one colour each without them.
    """
    made = paste_occluders(images, landmarks68, generator, share=share, cutouts=cutouts)
    labels = [CLASS_OF_REGION[REGION_OF_KIND.get(kind, "occluder")] if kind else "" for kind in made.kinds]
    numbers = torch.tensor([CLASSES.index(name) if name else NOTHING for name in labels], dtype=torch.uint8)
    pasted = torch.where(made.alpha >= 0.5, numbers.to(images.device)[:, None, None], NOTHING)
    alpha = cover_alpha(landmarks68, images.shape[-1], generator, share=covered)
    shown = _textures(len(images), images.shape[-1], textures, generator).to(images)
    mixed = made.images * (1 - alpha[:, None]) + shown * alpha[:, None]
    return Hidden(mixed, torch.where(alpha >= 0.5, OCCLUDER, pasted).to(torch.uint8))


def cover_alpha(
    landmarks68: Float[Tensor, "b 68 d"], size_px: int, generator: torch.Generator, *, share: float | int
) -> Float[Tensor, "b s s"]:
    """Coverage by superellipses, 0..1: about half of them hide all of the face, the others a part; 0 for other rows."""
    count = len(landmarks68)
    u = torch.rand((8, count), generator=generator).to(landmarks68)
    low, high = landmarks68[..., :2].amin(1), landmarks68[..., :2].amax(1)
    side = (high - low).amax(1)
    whole = u[1] < 0.5
    off = torch.where(whole, 0.1, 0.6)[:, None] * (2 * u[2:4].T - 1) * side[:, None]
    middle = (low + high) / 2 + off - torch.stack([torch.zeros_like(side), 0.1 * side], 1)  # the forehead too
    half = (torch.where(whole, 0.9, 0.25)[:, None] + 0.4 * u[4:6].T) * side[:, None]
    angle, power = (2 * u[6] - 1) * 0.6, 2 + 6 * u[7]
    at = torch.arange(size_px, device=landmarks68.device) + 0.5
    x = at[None, None, :] - middle[:, 0, None, None]
    y = at[None, :, None] - middle[:, 1, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    across = (x * cosine + y * sine).abs() / half[:, 0, None, None]
    along = (y * cosine - x * sine).abs() / half[:, 1, None, None]
    power = power[:, None, None]
    radius = (across.pow(power) + along.pow(power)).pow(1 / power)
    alpha = ((1 - radius) * half.amin(1)[:, None, None] + 0.5).clamp(0, 1)
    chosen = (u[0] < share) & landmarks68.isfinite().flatten(1).all(1)
    return torch.where(chosen[:, None, None], alpha, 0.0)


def _textures(
    count: int, size_px: int, textures: UInt8[Tensor, "m 3 s s"] | None, generator: torch.Generator
) -> Float[Tensor, "b 3 s s"]:
    plain = torch.rand((count, 3, 1, 1), generator=generator)
    if textures is None:
        return plain.expand(-1, -1, size_px, size_px)
    rows = torch.randint(len(textures), (count,), generator=generator)
    shown = torch.nn.functional.interpolate(textures[rows].float() / 255, (size_px, size_px), mode="nearest")
    is_plain = torch.rand(count, generator=generator) < 0.3
    return torch.where(is_plain[:, None, None, None], plain, shown)
